"""ansq at work: `python -m bench.clients.ansq ADDRESS asyncio WHAT COUNT`.

Prints the seconds it took, and those of CPU. The same work as `bench.clients.ours`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ansq

from bench.clients.work import BATCH, BODY, CHANNEL, IN_FLIGHT, TOPIC, WORKERS, Stopwatch, Taken


async def _publish(
    address: str, workers: int, rounds: int, send: Callable[[Any], Awaitable[object]]
) -> Taken:
    """What it takes ``workers`` tasks to await ``send(writer)`` ``rounds`` times each."""
    writer = await ansq.create_writer(nsqd_tcp_addresses=[address])

    async def work() -> None:
        for _ in range(rounds):
            await send(writer)

    watch = Stopwatch()
    await asyncio.gather(*(work() for _ in range(workers)))
    taken = watch.read()
    await writer.close()
    return taken


async def publish_many(address: str, count: int) -> Taken:
    """Batches of 200, two at a time."""
    batch = [BODY] * BATCH
    return await _publish(address, 2, count // BATCH // 2, lambda w: w.mpub(TOPIC, batch))


async def publish(address: str, count: int) -> Taken:
    """Single messages, 32 tasks on one connection."""
    return await _publish(address, WORKERS, count // WORKERS, lambda w: w.pub(TOPIC, BODY))


async def publish_one(address: str, count: int) -> Taken:
    """Single messages, one after the other."""
    return await _publish(address, 1, count, lambda w: w.pub(TOPIC, BODY))


async def consume(address: str, count: int) -> Taken:
    """The messages of a connection, each finished: a reader of it has one in flight."""
    watch = Stopwatch()
    host, _, port = address.rpartition(":")
    connection = await ansq.open_connection(host, int(port))
    await connection.subscribe(TOPIC, CHANNEL, IN_FLIGHT)
    seen = 0
    async for message in connection.messages():
        await message.fin()
        seen += 1
        if seen == count:
            break
    taken = watch.read()
    await connection.close()
    return taken


WORK = {f.__name__: f for f in (publish_many, publish, publish_one, consume)}


def main() -> int:
    """Do one kind of work and print what it took."""
    address, _, what, count = sys.argv[1:]
    print(*asyncio.run(WORK[what](address, int(count))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
