"""The same client under asyncio: nothing changes but the run."""

import asyncio
import os

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def main() -> None:
    async with (
        nsqclient.open_producer(NSQD) as producer,
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD) as consumer,
    ):
        await asyncio.gather(*(producer.publish("orders", b"%d" % n) for n in range(10)))
        total = 0
        for _ in range(10):
            async with (await anext(consumer)).process() as message:
                total += int(message.body)
    print("total", total)


asyncio.run(main())
