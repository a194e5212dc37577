"""A test of your own code: the real engine in memory, an hour in a millisecond."""

import trio
import trio.testing

import nsqclient
from nsqd.testing import open_nsqd


async def handle(message: nsqclient.Message) -> None:
    if message.attempts < 3:
        raise ConnectionError("the database is away")


async def main() -> None:
    async with (
        open_nsqd() as nsqd,
        nsqclient.open_consumer(
            "orders", "billing", nsqd=nsqd.address, options=nsqd.options(), requeue_delay=900
        ) as consumer,
        trio.open_nursery() as nursery,
    ):
        nsqd.publish("orders", b"one")
        nursery.start_soon(consumer.run, handle)
        await trio.sleep(3600)
        consumer.stop()
        assert consumer.stats().requeued == 2
        assert consumer.stats().finished == 1
    print("an hour later: finished at the third attempt")


trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
