"""No block: opened when a service starts, closed when it stops; and a probe."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


class Service:
    async def start(self) -> None:
        self.producer = await nsqclient.open_producer(NSQD).start()
        self.consumer = await nsqclient.open_consumer("orders", "billing", nsqd=NSQD).start()

    async def stop(self) -> None:
        await self.consumer.aclose()
        await self.producer.aclose()

    def is_well(self) -> bool:
        return self.producer.health().ok and self.consumer.health().ok


async def handle(message: nsqclient.Message) -> None:
    print("handled", message.body.decode())


async def main() -> None:
    service = Service()
    await service.start()
    await service.producer.publish("orders", b"one")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.consumer.run, handle)
        await service.consumer.until_idle(quiet=0.5)
        print("well:", service.is_well())
        await service.stop()


trio.run(main)
