"""One trace from who publishes a message to who handles it."""

import os

import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import nsqclient
from nsqclient.otel import tracing

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")

trace.set_tracer_provider(TracerProvider())  # with an exporter, where there is somebody to read it


async def main() -> None:
    hooks = tracing()
    async with (
        nsqclient.open_producer(NSQD, hooks=hooks) as producer,
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD, hooks=hooks) as consumer,
    ):
        await producer.publish("orders", b"one")
        async with (await anext(consumer)).process():
            print("handled in", trace.get_current_span())


trio.run(main)
