"""A program written with pynsq: publishes lines of its input, or prints what it consumes.

    pynsq_peer.py publish ADDRESS TOPIC [OPTION=VALUE …] < bodies
    pynsq_peer.py consume TOPIC CHANNEL COUNT [OPTION=VALUE …]

The options are those of `nsq.Writer` and `nsq.Reader`, as JSON.
"""

import json
import ssl
import sys
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


if __name__ == "__main__":
    {"publish": publish, "consume": consume}[sys.argv[1]](*sys.argv[2:])
