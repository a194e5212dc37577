"""nsqclient at work: `python -m bench.clients.ours ADDRESS trio|asyncio WHAT COUNT`.

Prints the seconds it took, and those of CPU. What was published and what came is counted.
"""

import sys

import anyio

import nsqclient
from bench.clients.work import BATCH, BODY, CHANNEL, IN_FLIGHT, TOPIC, WORKERS, Stopwatch, Taken


async def publish_many(address: str, count: int) -> Taken:
    """Batches of 200, two at a time."""

    async def publish(batches: int) -> None:
        for _ in range(batches):
            await producer.publish_many(TOPIC, [BODY] * BATCH)

    async with nsqclient.open_producer(address) as producer:
        await producer.wait_until_connected()
        watch = Stopwatch()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(publish, count // BATCH // 2)
        return watch.read()


async def publish(address: str, count: int) -> Taken:
    """Single messages, 32 tasks on one connection."""

    async def publish(messages: int) -> None:
        for _ in range(messages):
            await producer.publish(TOPIC, BODY)

    async with nsqclient.open_producer(address) as producer:
        await producer.wait_until_connected()
        watch = Stopwatch()
        async with anyio.create_task_group() as tasks:
            for _ in range(WORKERS):
                tasks.start_soon(publish, count // WORKERS)
        return watch.read()


async def publish_one(address: str, count: int) -> Taken:
    """Single messages, one after the other."""
    async with nsqclient.open_producer(address) as producer:
        await producer.wait_until_connected()
        watch = Stopwatch()
        for _ in range(count):
            await producer.publish(TOPIC, BODY)
        return watch.read()


async def consume(address: str, count: int) -> Taken:
    """`run` with a handler that does nothing but count."""
    seen = 0
    taken: Taken | None = None

    async def handle(message: nsqclient.Message) -> None:
        nonlocal seen, taken
        seen += 1
        if seen == count:
            taken = watch.read()
            consumer.stop()

    watch = Stopwatch()
    async with nsqclient.open_consumer(
        TOPIC, CHANNEL, nsqd=address, max_in_flight=IN_FLIGHT
    ) as consumer:
        await consumer.run(handle)
    assert taken is not None
    return taken


async def iterate(address: str, count: int) -> Taken:
    """``async for`` and ``async with message.process()``."""
    seen = 0
    watch = Stopwatch()
    async with nsqclient.open_consumer(
        TOPIC, CHANNEL, nsqd=address, max_in_flight=IN_FLIGHT
    ) as consumer:
        async for message in consumer:
            async with message.process():
                seen += 1
            if seen == count:
                break
        return watch.read()


WORK = {f.__name__: f for f in (publish_many, publish, publish_one, consume, iterate)}


def main() -> int:
    """Do one kind of work and print what it took."""
    address, backend, what, count = sys.argv[1:]
    print(*anyio.run(WORK[what], address, int(count), backend=backend))
    return 0


if __name__ == "__main__":
    sys.exit(main())
