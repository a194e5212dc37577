"""Publish: one message, many, later."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def main() -> None:
    async with nsqclient.open_producer([NSQD]) as producer:
        await producer.publish("orders", b"one")
        await producer.publish_many("orders", [b"two", b"three"])
        await producer.publish("orders", b"in a second", defer=1.0)
    print("published 4 messages")


trio.run(main)
