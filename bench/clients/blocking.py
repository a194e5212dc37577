"""nsqclient.sync at work: `python -m bench.clients.blocking ADDRESS threads WHAT COUNT`.

Prints the seconds it took, and those of CPU, of the event loop's thread, too.
"""

import sys

import nsqclient.sync
from bench.clients.work import BODY, CHANNEL, IN_FLIGHT, TOPIC, Stopwatch, Taken


def publish_one(address: str, count: int) -> Taken:
    """Single messages, one after the other."""
    with nsqclient.sync.open_producer(address) as producer:
        producer.wait_until_connected()
        watch = Stopwatch()
        for _ in range(count):
            producer.publish(TOPIC, BODY)
        return watch.read()


def consume(address: str, count: int) -> Taken:
    """`run` with a handler that does nothing but count, in one thread."""
    seen = 0
    taken: Taken | None = None

    def handle(message: nsqclient.sync.Message) -> None:
        nonlocal seen, taken
        seen += 1
        if seen == count:
            taken = watch.read()
            consumer.stop()

    watch = Stopwatch()
    with nsqclient.sync.open_consumer(
        TOPIC, CHANNEL, nsqd=address, max_in_flight=IN_FLIGHT
    ) as consumer:
        consumer.run(handle)
    assert taken is not None
    return taken


def iterate(address: str, count: int) -> Taken:
    """``for`` and ``with message.process()``."""
    seen = 0
    watch = Stopwatch()
    with nsqclient.sync.open_consumer(
        TOPIC, CHANNEL, nsqd=address, max_in_flight=IN_FLIGHT
    ) as consumer:
        for message in consumer:
            with message.process():
                seen += 1
            if seen == count:
                break
        return watch.read()


WORK = {f.__name__: f for f in (publish_one, consume, iterate)}


def main() -> int:
    """Do one kind of work and print what it took."""
    address, _, what, count = sys.argv[1:]
    print(*WORK[what](address, int(count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
