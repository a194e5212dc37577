"""Bodies that are values: encoded when published, decoded when asked for."""

import os

import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def main() -> None:
    json = nsqclient.codecs.json
    async with (
        nsqclient.open_producer(NSQD, encode=json.encode) as producer,
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD, decode=json.decode) as consumer,
    ):
        await producer.publish("orders", {"number": 1, "what": "coffee"})
        async with (await anext(consumer)).process() as message:
            print("order", message.value["number"], message.value["what"])


trio.run(main)
