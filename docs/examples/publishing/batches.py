"""Batches: many messages with one insert."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def insert(rows: list[bytes]) -> None:
    print("inserted", len(rows), "rows")


async def main() -> None:
    async with nsqclient.open_producer(NSQD) as producer:
        await producer.publish_many("orders", [b"%d" % n for n in range(250)])

    left = 250
    async with nsqclient.open_consumer(
        "orders", "warehouse", nsqd=NSQD, max_in_flight=200
    ) as consumer:
        async for batch in consumer.batches(max_size=100, max_wait=1.0):
            async with batch.process():  # finishes all of them, or requeues all
                await insert([message.body for message in batch])
            left -= len(batch)
            if not left:
                break


trio.run(main)
