"""All topics whose names fit a pattern, found through nsqlookupd as they come."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")
LOOKUPD = os.environ.get("LOOKUPD", "127.0.0.1:4161")


async def main() -> None:
    async with nsqclient.open_producer(NSQD) as producer:
        await producer.publish("order_eu", b"from Europe")
        await producer.publish("order_us", b"from the States")

    topics: set[str] = set()
    async with nsqclient.open_consumer(
        channel="archive", topics="order_*", lookupd=LOOKUPD, lookupd_poll_interval=1.0
    ) as consumer:
        while len(topics) < 2:
            async with (await anext(consumer)).process() as message:
                topics.add(message.topic)
    print(sorted(topics))


trio.run(main)
