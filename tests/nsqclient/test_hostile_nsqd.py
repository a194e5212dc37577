"""An nsqd that is wrong in some frame or field, beside one that is well.

Whatever it says, the program sees errors of the client or none, nothing takes
long, and all messages go through the nsqd that is well.
"""

import gc
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.e2e.daemons import PATIENCE
from tests.fakes.fake_nsqd import FakeCluster, fake_cluster, fake_nsqd, until
from tests.nsqclient.backends import on_every_loop

from nsqclient import ClientError, ConnectionOptions, ProtocolError, open_consumer, open_producer
from nsqclient.connection.connection import Connection
from nsqclient.messages.message import Message
from nsqcore.wire.frames import CLOSE_WAIT_FRAME, HEARTBEAT_FRAME, OK_FRAME, response_frame
from nsqcore.wire.hot import encode_messages
from nsqd.testing import MemoryStream, stream_pair

RECORD = bytes(8) + b"\0\1" + b"0123456789abcdef" + b"body"


def frame(kind: int, data: bytes, size: int | None = None) -> bytes:
    return (4 + len(data) if size is None else size).to_bytes(4, "big", signed=True) + (
        kind.to_bytes(4, "big", signed=True) + data
    )


ODD_VALUES = [
    None,
    True,
    -1,
    0,
    10,
    1e308,
    2**63,
    10**400,
    "1",
    "x" * 5000,
    [],
    {},
    [[[]]],
    "\ud800",
]

FIELDS = [
    "max_rdy_count",
    "msg_timeout",
    "max_msg_timeout",
    "deflate",
    "deflate_level",
    "snappy",
    "tls_v1",
    "auth_required",
    "version",
    "sample_rate",
]

TOGETHER = {"deflate_level": {"deflate": True}}

GREETINGS = {
    "nothing, then the end": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "size below zero": frame(0, b"{}", -5),
    "size too small": frame(0, b"", 3),
    "size of gigabytes": frame(0, b"{}", 2**31 - 1),
    "unknown type": frame(7, b"{}"),
    "type below zero": frame(-1, b"{}"),
    "message": encode_messages([RECORD]),
    "short message": frame(2, b"short"),
    "no JSON": response_frame(b"{"),
    "list": response_frame(b"[1]"),
    "deep": response_frame(b"[" * 50_000),
    "bytes that are no text": response_frame(b'{"version": "\xff\xfe"}'),
    "error without a code": frame(1, b""),
    "error that is no text": frame(1, b"\xff\xfe\x00"),
    "error of 60 kB": frame(1, b"E_" + b"X" * 60_000),
    "heartbeats": HEARTBEAT_FRAME * 1000,
    "ok": OK_FRAME,
}

AFTER = {
    "nothing": b"",
    "unasked ok": OK_FRAME * 5,
    "response that is no ok": response_frame(b"MAYBE"),
    "empty response": response_frame(b""),
    "response of a megabyte": response_frame(b"x" * 1_000_000),
    "close_wait": CLOSE_WAIT_FRAME,
    "error without a code": frame(1, b""),
    "error that is no text": frame(1, b"\xff\xfe"),
    "fin failed": frame(1, b"E_FIN_FAILED x") * 50,
    "touch failed": frame(1, b"E_TOUCH_FAILED \xff") * 50,
    "size below zero": frame(0, b"OK", -1),
    "size of gigabytes": frame(2, b"x", 2**31 - 1),
    "unknown type": frame(9, b"OK"),
    "short message": frame(2, bytes(25)),
    "empty message": frame(2, RECORD[:26]),
    "message with an odd id": frame(2, bytes(10) + b"\xff" * 16 + b"x"),
    "message from the far future": frame(2, b"\x7f" + b"\xff" * 9 + RECORD[10:]),
    "messages beyond RDY": encode_messages([RECORD] * 1000),
    "the same message twice": encode_messages([RECORD, RECORD]),
    "half a frame": OK_FRAME[:7],
    "noise": bytes(range(256)) * 20,
}


@asynccontextmanager
async def hostile(
    cluster: FakeCluster, greeting: bytes, after: bytes, *, stay: bool
) -> AsyncIterator[ConnectionOptions]:
    """Options of a client for which ``bad:1`` says these things, and ``good:1`` is well."""
    streams: list[MemoryStream] = []

    async def serve(stream: MemoryStream) -> None:
        try:
            await stream.receive()
            stream.send_nowait(greeting)
            if after:
                await stream.receive()
                stream.send_nowait(after)
            while stay:
                await stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass
        finally:
            stream.close()

    async def dial(address: str) -> MemoryStream:
        if address == "good:1":
            return await cluster.dial(address)
        ours, theirs = stream_pair()
        streams.append(theirs)
        cluster.tasks.start_soon(serve, theirs)
        return ours

    yield ConnectionOptions(dial=dial, connect_timeout=0.5, max_reconnect_delay=0.2, deflate=1)  # type: ignore[arg-type]
    for stream in streams:
        stream.close()


async def try_it(greeting: bytes, after: bytes = b"", *, stay: bool = True) -> None:
    async with fake_cluster() as cluster:
        good = cluster.nsqd("good:1", identify={"deflate": False})
        async with hostile(cluster, greeting, after, stay=stay) as options:
            both = ["bad:1", "good:1"]
            with anyio.fail_after(PATIENCE):
                await produce(both, options)
                await consume(both, options)
                assert good.published.count(b"x") >= 1


async def produce(addresses: list[str], options: ConnectionOptions) -> None:
    async with open_producer(addresses, options=options) as producer:
        await until(lambda: "good:1" in producer.connected)
        for _ in range(6):
            try:
                with anyio.move_on_after(0.1):  # an nsqd may never answer
                    await producer.publish("orders", b"x")
            except ClientError:
                continue


async def consume(addresses: list[str], options: ConnectionOptions) -> None:
    async with (
        open_producer("good:1", options=options, wait_when_down=True) as producer,
        open_consumer(
            "orders", "billing", nsqd=addresses, options=options, drain_timeout=0.1
        ) as consumer,
    ):
        await producer.publish("orders", b"x")
        try:
            with anyio.move_on_after(0.1):
                async for message in consumer:
                    async with message.process():
                        repr(message)
        except ClientError:
            return


@pytest.mark.parametrize("name", GREETINGS)
@on_every_loop
async def test_greeting_that_is_wrong_spoils_nothing_else(name: str):
    await try_it(GREETINGS[name], stay=name != "nothing, then the end")


@pytest.mark.parametrize("name", AFTER)
@on_every_loop
async def test_frame_that_is_wrong_spoils_nothing_else(name: str):
    await try_it(response_frame(b'{"max_rdy_count": 2500}'), AFTER[name])


@pytest.mark.parametrize("odd", [b"MAYBE", b"", b"OK ", b"ok", b"CLOSE_WAIT"])
@on_every_loop
async def test_an_odd_answer_to_sub_is_no_subscription(odd: bytes):
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.on_subscribe = response_frame(odd)
        async with cluster.consumer(nsqd) as consumer:
            with anyio.fail_after(PATIENCE), pytest.raises(ProtocolError, match="response"):
                await consumer.wait_until_connected()
            assert consumer.health().problems


@pytest.mark.parametrize("odd", [b"MAYBE", b"", b"OK ", b"ok", b"CLOSE_WAIT"])
@on_every_loop
async def test_an_odd_answer_to_pub_is_no_success(odd: bytes):
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.always = response_frame(odd)
        async with open_producer("a:1", options=cluster.options()) as producer:
            with anyio.fail_after(PATIENCE), pytest.raises(ClientError):
                await producer.publish("orders", b"x")


@pytest.mark.parametrize("field", FIELDS)
@on_every_loop
async def test_field_that_is_wrong_spoils_nothing_else(field: str):
    for value in ODD_VALUES:
        # a level counts where there is compression
        answer = json.dumps(
            {"max_rdy_count": 2500, **TOGETHER.get(field, {}), field: value}
        ).encode()
        async with fake_cluster() as cluster:
            cluster.nsqd("good:1", identify={"deflate": False})
            async with (
                hostile(cluster, response_frame(answer), b"", stay=False) as options,
                open_producer(["bad:1", "good:1"], options=options) as producer,
            ):
                with anyio.fail_after(PATIENCE):
                    await until(lambda producer=producer: "good:1" in producer.connected)
                    with anyio.move_on_after(0.05):
                        try:
                            await producer.publish("orders", b"x")
                        except ClientError:
                            continue


@pytest.mark.slow
@pytest.mark.usefixtures("tuned_collector")
@on_every_loop
async def test_bomb_of_an_nsqd_does_not_stop_the_event_loop():
    """A hundred megabytes of heartbeats in 100 kB, twice packed as deflate goes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(OK_FRAME + HEARTBEAT_FRAME * 4_000_000) + packer.flush()
    greeting = response_frame(b'{"max_rdy_count": 2500, "deflate": true}')
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()  # the machine may have other things to do
            await anyio.sleep(0.01)
            longest = max(longest, time.thread_time() - before)

    async with fake_cluster() as cluster:
        cluster.nsqd("good:1", identify={"deflate": False})
        async with (
            hostile(cluster, greeting + bomb, b"", stay=True) as options,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(watch)
            async with open_producer(["bad:1", "good:1"], options=options) as producer:
                await until(lambda: "good:1" in producer.connected)
                await anyio.sleep(1)
            tasks.cancel_scope.cancel()
    assert longest < 0.5


WAYS_TO_END = {
    "closed by nsqd": b"",
    "refused": frame(1, b"E_INVALID no"),
    "noise": b"\xff" * 100,
    "half a frame": OK_FRAME[:7],
    "messages": encode_messages([RECORD] * 10),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS_TO_END)
async def test_connection_that_ended_leaves_nothing_in_memory(way: str):
    """Nothing of it refers to itself: it goes without the garbage collector."""

    def alive() -> int:
        kinds = (Connection, Message)
        return sum(isinstance(one, kinds) for one in gc.get_objects())

    async def session() -> None:
        greeting = response_frame(b'{"max_rdy_count": 2500}')
        async with fake_cluster() as cluster:
            cluster.nsqd("good:1", identify={"deflate": False})
            async with hostile(cluster, greeting, WAYS_TO_END[way], stay=False) as options:
                for _ in range(20):
                    async with open_producer("bad:1", options=options) as producer:
                        with anyio.move_on_after(0.01):
                            try:
                                await producer.publish("orders", b"x")
                            except ClientError:
                                continue
                for _ in range(5):
                    async with open_consumer(
                        "orders", "billing", nsqd="bad:1", options=options, drain_timeout=0.01
                    ):
                        await anyio.sleep(0.01)

    await session()
    gc.collect()
    before = alive()
    gc.disable()
    try:
        await session()
        await anyio.sleep(0.05)
        assert alive() - before < 10
    finally:
        gc.enable()
