"""pynsq at work: `python -m bench.clients.pynsq ADDRESS tornado WHAT COUNT`.

Prints the seconds it took, and those of CPU. The same work as `bench.clients.ours`.
"""

import sys
from collections.abc import Callable
from typing import Any

import nsq
import tornado.ioloop

from bench.clients.work import BATCH, BODY, CHANNEL, IN_FLIGHT, TOPIC, WORKERS, Stopwatch, Taken


def _publish(address: str, chains: int, rounds: int, send: Callable[[Any, Any], None]) -> Taken:
    """What it takes for ``chains`` chains of ``rounds`` calls of ``send(writer, callback)``."""
    loop = tornado.ioloop.IOLoop.current()
    writer = nsq.Writer([address])
    left = chains * rounds
    watch = Stopwatch()

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
        nonlocal watch
        if not writer.conns:
            loop.call_later(0.01, start)
            return
        watch = Stopwatch()
        for _ in range(chains):
            send(writer, published)

    loop.call_later(0.5, start)
    loop.start()
    return watch.read()


def publish_many(address: str, count: int) -> Taken:
    """Batches of 200, two at a time."""
    batch = [BODY] * BATCH
    return _publish(address, 2, count // BATCH // 2, lambda w, done: w.mpub(TOPIC, batch, done))


def publish(address: str, count: int) -> Taken:
    """Single messages, 32 unanswered on one connection."""
    return _publish(address, WORKERS, count // WORKERS, lambda w, done: w.pub(TOPIC, BODY, done))


def publish_one(address: str, count: int) -> Taken:
    """Single messages, one after the other."""
    return _publish(address, 1, count, lambda w, done: w.pub(TOPIC, BODY, done))


def consume(address: str, count: int) -> Taken:
    """A Reader with a handler that does nothing but count."""
    seen = 0
    taken: Taken | None = None

    def handle(message: Any) -> bool:
        nonlocal seen, taken
        seen += 1
        if seen == count:
            taken = watch.read()
            # The answer to the last message still has to leave.
            tornado.ioloop.IOLoop.current().call_later(0.2, tornado.ioloop.IOLoop.current().stop)
        return True

    watch = Stopwatch()
    nsq.Reader(
        message_handler=handle,
        nsqd_tcp_addresses=[address],
        topic=TOPIC,
        channel=CHANNEL,
        max_in_flight=IN_FLIGHT,
    )
    tornado.ioloop.IOLoop.current().start()
    assert taken is not None
    return taken


WORK = {f.__name__: f for f in (publish_many, publish, publish_one, consume)}


def main() -> int:
    """Do one kind of work and print what it took."""
    address, _, what, count = sys.argv[1:]
    print(*WORK[what](address, int(count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
