"""Metrics of a producer and a consumer for Prometheus."""

import os

import trio
from prometheus_client import generate_latest

import nsqclient
from nsqclient.prometheus import metrics

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def main() -> None:
    hooks = metrics()
    async with (
        nsqclient.open_producer(NSQD, hooks=hooks) as producer,
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD, hooks=hooks) as consumer,
    ):
        await producer.publish("orders", b"one")
        async for message in consumer:
            async with message.process():
                print(message.body.decode())
            break
    print(generate_latest().decode())  # prometheus_client.start_http_server(8000) serves it


trio.run(main)
