"""nsqclient at work: `python -m bench.clients.ours ADDRESS trio|asyncio WHAT COUNT`.

Prints the seconds it took. What was published and what came is counted.
"""

import sys
import time

import anyio

import nsqclient
from bench.clients.work import BATCH, BODY, CHANNEL, IN_FLIGHT, TOPIC, WORKERS


async def publish_many(address: str, count: int) -> float:
    """Batches of 200, two at a time."""

    async def publish(batches: int) -> None:
        for _ in range(batches):
            await producer.publish_many(TOPIC, [BODY] * BATCH)

    async with nsqclient.open_producer(address) as producer:
        await producer.wait_until_connected()
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(publish, count // BATCH // 2)
        return time.perf_counter() - began


async def publish(address: str, count: int) -> float:
    """Single messages, 32 tasks on one connection."""

    async def publish(messages: int) -> None:
        for _ in range(messages):
            await producer.publish(TOPIC, BODY)

    async with nsqclient.open_producer(address) as producer:
        await producer.wait_until_connected()
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(WORKERS):
                tasks.start_soon(publish, count // WORKERS)
        return time.perf_counter() - began


async def publish_one(address: str, count: int) -> float:
    """Single messages, one after the other."""
    async with nsqclient.open_producer(address) as producer:
        await producer.wait_until_connected()
        began = time.perf_counter()
        for _ in range(count):
            await producer.publish(TOPIC, BODY)
        return time.perf_counter() - began


async def consume(address: str, count: int) -> float:
    """`run` with a handler that does nothing but count."""
    seen = 0
    ended = 0.0

    async def handle(message: nsqclient.Message) -> None:
        nonlocal seen, ended
        seen += 1
        if seen == count:
            ended = time.perf_counter()
            consumer.stop()

    began = time.perf_counter()
    async with nsqclient.open_consumer(
        TOPIC, CHANNEL, nsqd=address, max_in_flight=IN_FLIGHT
    ) as consumer:
        await consumer.run(handle)
    return ended - began


async def iterate(address: str, count: int) -> float:
    """``async for`` and ``async with message.process()``."""
    seen = 0
    began = time.perf_counter()
    async with nsqclient.open_consumer(
        TOPIC, CHANNEL, nsqd=address, max_in_flight=IN_FLIGHT
    ) as consumer:
        async for message in consumer:
            async with message.process():
                seen += 1
            if seen == count:
                break
        return time.perf_counter() - began


WORK = {f.__name__: f for f in (publish_many, publish, publish_one, consume, iterate)}


def main() -> int:
    """Do one kind of work and print the seconds."""
    address, backend, what, count = sys.argv[1:]
    print(anyio.run(WORK[what], address, int(count), backend=backend))
    return 0


if __name__ == "__main__":
    sys.exit(main())
