"""A service: a handler, some workers, a clean stop on SIGTERM."""

import os
import signal

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def handle(message: nsqclient.Message) -> None:
    order = message.json()
    await trio.sleep(0.01)  # the work
    print("handled order", order["id"])
    if order["id"] == 5:
        os.kill(os.getpid(), signal.SIGTERM)  # what systemd or Docker would do


async def stop_on_signal(consumer: nsqclient.Consumer) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            consumer.stop()  # no new messages; those in hand are finished
            return


async def main() -> None:
    async with nsqclient.open_producer(NSQD) as producer:
        for number in range(1, 6):
            await producer.publish("orders", b'{"id": %d}' % number)

    async with (
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD, max_in_flight=50) as consumer,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(stop_on_signal, consumer)
        await consumer.run(handle, concurrency=1)
    print("stopped")


trio.run(main)
