"""Give up on a message after some attempts: publish it to another topic."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def handle(message: nsqclient.Message) -> None:
    if message.body == b"poison":
        raise ValueError("this never works")


async def main() -> None:
    async with (
        nsqclient.open_producer(NSQD) as producer,
        nsqclient.open_consumer(
            "orders",
            "billing",
            nsqd=NSQD,
            max_attempts=3,
            on_give_up=nsqclient.dead_letter(producer, "orders.dead"),
            requeue_delay=0.1,
            max_backoff=0.1,
        ) as consumer,
        nsqclient.open_consumer("orders.dead", "inspect", nsqd=NSQD) as graveyard,
        trio.open_nursery() as nursery,
    ):
        await producer.publish("orders", b"poison")
        nursery.start_soon(consumer.run, handle)
        async with (await anext(graveyard)).process() as message:
            print("buried:", message.body.decode())
        consumer.stop()


trio.run(main)
