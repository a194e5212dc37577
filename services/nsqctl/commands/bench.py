"""``nsqctl bench``: what an nsqd can do, measured with the client library from here.

Three measurements: publishing, consuming what was published, and the time from
publish to receipt at a low rate. They use a topic of their own, deleted afterwards
over HTTP, also when interrupted. The client is part of what is measured.
"""

import argparse
import contextlib
import math
import secrets
import signal
import struct
import sys
import time
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import trio

import nsqclient
from nsqctl.shared.connecting import connection_options
from nsqctl.shared.errors import CommandFailed
from nsqctl.shared.options import default_lookupds
from nsqctl.shared.output import print_json, table, wide_console

CHANNEL = "bench"

# For deleting the topic, also when the measurement was interrupted.
CLEANUP_TIMEOUT = 5.0
# A topic is gone for good when it was not there so often, at intervals of so many seconds.
ABSENT, ABSENT_INTERVAL = 3, 0.05

# A consumer waits for its nsqd for ever; a measurement does not.
STALLED = 20.0


class BenchFailed(CommandFailed):
    """The measurement has come to nothing; the text says why."""


async def bench(given: argparse.Namespace) -> int:
    """Measure the nsqd at ``given.nsqd_tcp_address``; print the figures."""
    received: list[int] = []
    figures: dict[str, Any] = {}
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def obey() -> None:
                async for number in signals:
                    received.append(number)
                    nursery.cancel_scope.cancel()

            nursery.start_soon(obey)
            figures = await _measure(given)
            nursery.cancel_scope.cancel()
    if received:
        return 128 + received[0]
    if given.json:
        print_json(figures)
    else:
        rows = [(name.replace("_", " "), _rounded(name, value)) for name, value in figures.items()]
        wide_console().print(table("", ("figure", "value"), rows))
    return 0


def _rounded(name: str, value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:.2f}" if name.endswith("_ms") else round(value)


async def _measure(given: argparse.Namespace) -> dict[str, Any]:
    topic = f"nsqctl-bench-{secrets.token_hex(4)}"
    options = connection_options(given)
    shown: dict[str, Any] = {"auth_secret": options.auth_secret, "timeout": CLEANUP_TIMEOUT}
    shown["tls"] = options.tls or None
    async with nsqclient.NsqdHttp(given.nsqd_http_address, **shown) as http:
        await http.ping()
        try:
            await http.create_topic(topic)
            await http.create_channel(topic, CHANNEL)
            rates = await _rates(given, topic, options)
            latencies = await _latencies(given, topic, options)
        finally:
            with trio.CancelScope(shield=True):
                await _delete(http, topic)
                await _forget(given.lookupd_http_address or default_lookupds(), topic, shown)
    about = {"nsqd": given.nsqd_tcp_address, "size": given.size, "batch": given.batch}
    return {**about, **rates, **latencies}


async def _delete(http: nsqclient.NsqdHttp, topic: str) -> None:
    """Delete ``topic`` until it stays away: what was published is perhaps still being read."""
    absent = 0
    while absent < ABSENT:
        try:
            await http.delete_topic(topic)
            absent = 0
        except nsqclient.HttpError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                print(f"nsqctl: the topic {topic} could not be deleted: {error}", file=sys.stderr)
                return
            absent += 1
        await trio.sleep(ABSENT_INTERVAL)


async def _forget(lookupds: list[str], topic: str, shown: Mapping[str, Any]) -> None:
    """Have the nsqlookupds forget the name, which they keep when an nsqd has deleted it."""
    for address in lookupds:
        # the nsqd measured may not belong to any: nothing is wrong then
        with contextlib.suppress(nsqclient.HttpError):
            async with nsqclient.LookupdHttp(address, **shown) as http:
                await http.delete_topic(topic)


async def _rates(
    given: argparse.Namespace, topic: str, options: nsqclient.ConnectionOptions
) -> dict[str, float]:
    """Publishing ``given.count`` messages, then consuming them."""
    bodies = [secrets.token_bytes(given.size)] * given.batch
    full, rest = divmod(given.count, given.batch)
    sizes = iter([given.batch] * full + [rest] * bool(rest))
    nsqd = [given.nsqd_tcp_address]
    async with nsqclient.open_producer(nsqd, options=options) as producer:
        await producer.wait_until_connected()

        async def publish() -> None:
            for size in sizes:  # the publishers share them
                await producer.publish_many(topic, bodies[:size])

        began = time.perf_counter()
        async with trio.open_nursery() as publishers:
            for _ in range(given.publishers):
                publishers.start_soon(publish)
        published = time.perf_counter() - began
    async with nsqclient.open_consumer(
        topic, CHANNEL, nsqd=nsqd, max_in_flight=given.max_in_flight, options=options
    ) as consumer:
        began = time.perf_counter()
        await _consume(consumer, given.count)
        consumed = time.perf_counter() - began
    return {
        "messages": given.count,
        "published_per_second": given.count / published,
        "consumed_per_second": given.count / consumed,
    }


async def _consume(consumer: nsqclient.Consumer, count: int) -> None:
    """Return when ``count`` messages have come. Raises BenchFailed when they do not."""
    seen = 0

    async def handle(message: nsqclient.Message) -> None:
        nonlocal seen
        seen += 1
        if seen >= count:
            consumer.stop()

    async def watch() -> None:
        before = -1
        while seen > before:
            before = seen
            await trio.sleep(STALLED)
        raise BenchFailed(f"no message for {STALLED:.0f} s, after {seen:,} of {count:,}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await consumer.run(handle, concurrency=1)
        nursery.cancel_scope.cancel()


async def _latencies(
    given: argparse.Namespace, topic: str, options: nsqclient.ConnectionOptions
) -> dict[str, float]:
    """Milliseconds from publish to receipt, at ``given.rate`` messages a second."""
    samples: list[float] = []
    wanted = max(int(given.rate * given.seconds), 1)
    nsqd = [given.nsqd_tcp_address]
    async with (
        nsqclient.open_consumer(topic, CHANNEL, nsqd=nsqd, options=options) as consumer,
        nsqclient.open_producer(nsqd, options=options) as producer,
    ):
        await producer.wait_until_connected()

        async def receive() -> None:
            async for message in consumer:
                (sent,) = struct.unpack_from(">d", message.body)
                samples.append((time.perf_counter() - sent) * 1000)
                await message.finish()
                if len(samples) >= wanted:
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            publish = partial(producer.publish, topic)
            start = trio.current_time()
            for number in range(wanted):
                await trio.sleep_until(start + number / given.rate)
                stamp = struct.pack(">d", time.perf_counter())
                await publish(stamp.ljust(given.size, b"\0"))
    return {f"latency_p{p}_ms": percentile(samples, p) for p in (50, 90, 99)}


def percentile(samples: list[float], percent: int) -> float:
    """The value that ``percent`` of ``samples`` (one at least) do not exceed."""
    return sorted(samples)[max(math.ceil(len(samples) * percent / 100), 1) - 1]
