"""A program written with pynsq: publishes lines of its input, or prints what it consumes.

    pynsq_peer.py publish ADDRESS TOPIC [OPTION=VALUE …] < bodies
    pynsq_peer.py consume TOPIC CHANNEL COUNT [OPTION=VALUE …]
    pynsq_peer.py fail TOPIC CHANNEL COUNT [OPTION=VALUE …]
    pynsq_peer.py publish-batches TOPIC NSQD_TCP… < batches
    pynsq_peer.py publish-on NSQD_TCP TOPIC FILE
    pynsq_peer.py record-from NSQD_TCP TOPIC CHANNEL FILE
    pynsq_peer.py record TOPIC CHANNEL FILE LOOKUPD_HTTP…

The options are those of `nsq.Writer` and `nsq.Reader`, as JSON. `publish-batches` takes a JSON list
of batches of texts, sends each with one MPUB, to the nsqds in turn, and ends when all are
acknowledged. `record` appends [id, text] of every message to FILE and ends on SIGTERM. Texts are
latin-1. `publish-on` publishes messages, whatever happens to nsqd, and appends ["try", body] to
FILE before each, ["ok", body] or ["unknown", body] after it; `record-from` appends [monotonic time,
attempts, body]. Both end on SIGTERM.
"""

import asyncio
import json
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import nsq
import tornado.ioloop


def options(arguments: list[str]) -> dict[str, Any]:
    found = {name: json.loads(value) for name, _, value in (a.partition("=") for a in arguments)}
    if found.get("tls_v1"):
        found["tls_options"] = {"cert_reqs": ssl.CERT_NONE}
    return found


def publish(address: str, topic: str, *more: str) -> None:
    bodies = sys.stdin.buffer.read().splitlines()
    loop = tornado.ioloop.IOLoop.current()
    writer = nsq.Writer([address], **options(list(more)))
    left = len(bodies)

    def published(connection: Any, data: Any) -> None:
        nonlocal left
        if isinstance(data, Exception) or data != b"OK":
            sys.exit(f"publish failed: {data!r}")
        left -= 1
        if not left:
            loop.stop()

    def start() -> None:
        if not writer.conns:
            loop.call_later(0.05, start)
            return
        for body in bodies:
            writer.pub(topic, body, published)

    loop.call_later(0.05, start)
    loop.start()


def consume(topic: str, channel: str, count: str, *more: str) -> None:
    loop = tornado.ioloop.IOLoop.current()
    left = int(count)

    def handle(message: Any) -> bool:
        nonlocal left
        if not left:
            message.enable_async()  # not ours any more: nsqd gives it to others when we are gone
            return True
        sys.stdout.buffer.write(message.body + b"\n")
        left -= 1
        if not left:
            sys.stdout.buffer.flush()
            loop.call_later(0.3, loop.stop)  # the last FIN still has to leave
        return True

    nsq.Reader(
        message_handler=handle,
        topic=topic,
        channel=channel,
        lookupd_poll_interval=1,
        **options(list(more)),
    )
    loop.start()


def fail(topic: str, channel: str, count: str, *more: str) -> None:
    """Fail ``count`` deliveries, each with a REQ, and print body and attempts."""
    loop = tornado.ioloop.IOLoop.current()
    left = int(count)

    def handle(message: Any) -> bool:
        nonlocal left
        sys.stdout.buffer.write(b"%s %d\n" % (message.body, message.attempts))
        left -= 1
        if left == 0:
            sys.stdout.buffer.flush()
            loop.call_later(0.3, loop.stop)  # the last REQ still has to leave
        return False

    given = {"requeue_delay": 0, "max_backoff_duration": 0.01} | options(list(more))
    nsq.Reader(message_handler=handle, topic=topic, channel=channel, **given)
    loop.start()


async def send(writer: Any, topic: str, batch: list[bytes]) -> Any:
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    writer.mpub(topic, batch, callback=lambda _, data: outcome.set_result(data))
    return await outcome


async def publish_batches(topic: str, *addresses: str) -> None:
    batches = [[text.encode("latin-1") for text in batch] for batch in json.load(sys.stdin)]
    writers = [nsq.Writer([address]) for address in addresses]
    for writer in writers:
        while not writer.conns:  # noqa: ASYNC110 - pynsq tells nobody that it is connected
            await asyncio.sleep(0.01)
    for number, batch in enumerate(batches):
        outcome = await send(writers[number % len(writers)], topic, batch)
        if outcome != b"OK":
            sys.exit(f"publishing failed: {outcome!r}")


async def record(topic: str, channel: str, path: str, *lookupds: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with Path(path).open("a", buffering=1) as file:  # noqa: ASYNC230 - before anything arrives

        def handle(message: Any) -> bool:
            file.write(json.dumps([message.id.decode(), message.body.decode("latin-1")]) + "\n")
            return True

        nsq.Reader(
            topic,
            channel,
            handle,
            lookupd_http_addresses=list(lookupds),
            lookupd_poll_interval=1,
            lookupd_poll_jitter=0.0,
            max_in_flight=200,
            max_tries=100,
        )
        await stop.wait()


async def publish_on(address: str, topic: str, path: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    writer = nsq.Writer([address], reconnect_interval=0.1)
    with Path(path).open("a", buffering=1) as file:  # noqa: ASYNC230 - a line now and then
        number = 0
        while not stop.is_set():
            if not writer.conns:
                await asyncio.sleep(0.01)
                continue
            number += 1
            body = f"pynsq {number}"
            file.write(json.dumps(["try", body]) + "\n")
            outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

            def published(_: Any, data: Any, outcome: asyncio.Future[Any] = outcome) -> None:
                if not outcome.done():
                    outcome.set_result(data)

            writer.pub(topic, body.encode(), callback=published)
            try:
                data = await asyncio.wait_for(outcome, 2)
            except TimeoutError:
                data = None
            file.write(json.dumps(["ok" if data == b"OK" else "unknown", body]) + "\n")
            if data != b"OK":
                # wait_for gives the loop no turn for what is known at once, as it is while a
                # connection is dead and its end not heard of: it would not be heard of, ever
                await asyncio.sleep(0.01)


async def record_from(address: str, topic: str, channel: str, path: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with Path(path).open("a", buffering=1) as file:  # noqa: ASYNC230 - before anything arrives

        def handle(message: Any) -> bool:
            line = [time.monotonic(), message.attempts, message.body.decode("latin-1")]
            file.write(json.dumps(line) + "\n")
            return True

        nsq.Reader(
            topic, channel, handle, nsqd_tcp_addresses=[address], max_in_flight=100, max_tries=0
        )
        await stop.wait()


ON_ASYNCIO = {
    "publish-batches": publish_batches,
    "publish-on": publish_on,
    "record": record,
    "record-from": record_from,
}

if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command in ON_ASYNCIO:
        asyncio.run(ON_ASYNCIO[command](*arguments))
    else:
        {"publish": publish, "consume": consume, "fail": fail}[command](*arguments)
