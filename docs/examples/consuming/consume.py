"""Consume: iterate over the messages of a channel."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")
LOOKUPD = os.environ.get("LOOKUPD", "127.0.0.1:4161")


async def main() -> None:
    async with nsqclient.open_producer(NSQD) as producer:
        await producer.publish_many("orders", [b"one", b"two", b"three"])

    seen = 0
    async with nsqclient.open_consumer("orders", "billing", lookupd=LOOKUPD) as consumer:
        async for message in consumer:
            async with message.process():  # FIN if the block succeeds, REQ if it raises
                print(message.body.decode(), "attempt", message.attempts)
            seen += 1
            if seen == 3:
                break


trio.run(main)
