"""pynsq at work: `python -m bench.clients.pynsq ADDRESS tornado WHAT COUNT`.

Prints the seconds it took. The same work as `bench.clients.ours`.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import nsq
import tornado.ioloop

from bench.clients.work import BATCH, BODY, CHANNEL, IN_FLIGHT, TOPIC, WORKERS


def _publish(address: str, chains: int, rounds: int, send: Callable[[Any, Any], None]) -> float:
    """Seconds for ``chains`` chains of ``rounds`` calls of ``send(writer, callback)``."""
    loop = tornado.ioloop.IOLoop.current()
    writer = nsq.Writer([address])
    left = chains * rounds
    began = 0.0

    def published(connection: Any, data: Any) -> None:
        nonlocal left
        if isinstance(data, Exception):
            raise data
        left -= 1
        if left <= 0:
            loop.stop()
        elif left >= chains:
            send(writer, published)

    def start() -> None:
        nonlocal began
        if not writer.conns:
            loop.call_later(0.01, start)
            return
        began = time.perf_counter()
        for _ in range(chains):
            send(writer, published)

    loop.call_later(0.5, start)
    loop.start()
    return time.perf_counter() - began


def publish_many(address: str, count: int) -> float:
    """Batches of 200, two at a time."""
    batch = [BODY] * BATCH
    return _publish(address, 2, count // BATCH // 2, lambda w, done: w.mpub(TOPIC, batch, done))


def publish(address: str, count: int) -> float:
    """Single messages, 32 unanswered on one connection."""
    return _publish(address, WORKERS, count // WORKERS, lambda w, done: w.pub(TOPIC, BODY, done))


def publish_one(address: str, count: int) -> float:
    """Single messages, one after the other."""
    return _publish(address, 1, count, lambda w, done: w.pub(TOPIC, BODY, done))


def consume(address: str, count: int) -> float:
    """A Reader with a handler that does nothing but count."""
    seen = 0
    ended = 0.0

    def handle(message: Any) -> bool:
        nonlocal seen, ended
        seen += 1
        if seen == count:
            ended = time.perf_counter()
            # The answer to the last message still has to leave.
            tornado.ioloop.IOLoop.current().call_later(0.2, tornado.ioloop.IOLoop.current().stop)
        return True

    began = time.perf_counter()
    nsq.Reader(
        message_handler=handle,
        nsqd_tcp_addresses=[address],
        topic=TOPIC,
        channel=CHANNEL,
        max_in_flight=IN_FLIGHT,
    )
    tornado.ioloop.IOLoop.current().start()
    return ended - began


WORK = {f.__name__: f for f in (publish_many, publish, publish_one, consume)}


def main() -> int:
    """Do one kind of work and print the seconds."""
    address, _, what, count = sys.argv[1:]
    print(WORK[what](address, int(count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
