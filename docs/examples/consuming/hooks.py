"""Hooks: metrics and tracing."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from prometheus_client import Counter, Histogram, generate_latest

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")

answers = Counter("orders_answered", "Messages by answer", ["state"])
duration = Histogram("orders_seconds", "Time a handler takes")


@contextmanager
def span(message: nsqclient.Message) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        duration.observe(time.perf_counter() - began)


hooks = nsqclient.Hooks(
    handling=span,  # round every handler: a span of OpenTelemetry fits here
    answered=lambda message: answers.labels(message.state.value).inc(),
    disconnected=lambda address, error: print("lost", address, error),
)


async def main() -> None:
    async with (
        nsqclient.open_producer(NSQD) as producer,
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD, hooks=hooks) as consumer,
    ):
        await producer.publish("orders", b"one")
        async with (await anext(consumer)).process():
            pass
    print([line for line in generate_latest().decode().splitlines() if "answered_total{" in line])


trio.run(main)
