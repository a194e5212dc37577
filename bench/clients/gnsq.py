"""gnsq at work: `python -m bench.clients.gnsq ADDRESS gevent WHAT COUNT`.

Prints the seconds it took, and those of CPU. The same work as `bench.clients.ours`.
"""

import sys
from collections.abc import Callable
from typing import Any

import gevent
import gevent.pool
import gnsq

from bench.clients.work import BATCH, BODY, CHANNEL, IN_FLIGHT, TOPIC, WORKERS, Stopwatch, Taken


def _publish(address: str, workers: int, rounds: int, send: Callable[[Any], object]) -> Taken:
    """What it takes ``workers`` greenlets to call ``send(producer)`` ``rounds`` times each."""
    producer = gnsq.Producer(address)
    producer.start()

    def work() -> None:
        for _ in range(rounds):
            send(producer)

    watch = Stopwatch()
    gevent.joinall([gevent.spawn(work) for _ in range(workers)], raise_error=True)
    taken = watch.read()
    producer.close()
    producer.join()
    return taken


def publish_many(address: str, count: int) -> Taken:
    """Batches of 200, two at a time."""
    batch = [BODY] * BATCH
    return _publish(address, 2, count // BATCH // 2, lambda p: p.multipublish(TOPIC, batch))


def publish(address: str, count: int) -> Taken:
    """Single messages, 32 greenlets on one connection."""
    return _publish(address, WORKERS, count // WORKERS, lambda p: p.publish(TOPIC, BODY))


def publish_one(address: str, count: int) -> Taken:
    """Single messages, one after the other."""
    return _publish(address, 1, count, lambda p: p.publish(TOPIC, BODY))


def consume(address: str, count: int) -> Taken:
    """A Consumer with a handler that does nothing but count."""
    consumer = gnsq.Consumer(TOPIC, CHANNEL, nsqd_tcp_addresses=[address], max_in_flight=IN_FLIGHT)
    seen = 0
    taken: Taken | None = None

    @consumer.on_message.connect
    def handle(_: Any, message: Any) -> None:
        nonlocal seen, taken
        seen += 1
        if seen == count:
            taken = watch.read()
            gevent.spawn_later(0.2, consumer.close)  # the answer to the last one has to leave

    watch = Stopwatch()
    consumer.start()
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
