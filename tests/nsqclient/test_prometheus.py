"""Metrics of producers and consumers, in Prometheus' registry."""

import pytest
from prometheus_client import CollectorRegistry
from tests.nsqclient.backends import on_every_loop

import nsqclient.sync
from nsqclient import ClientError, Hooks, open_consumer, open_producer
from nsqclient.prometheus import metrics
from nsqd.testing import open_nsqd


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@on_every_loop
async def test_what_is_published_and_handled_in_batches_is_counted(registry) -> None:
    hooks = metrics(registry=registry)
    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options(), hooks=hooks) as producer,
        open_consumer(
            "orders",
            "c",
            nsqd=nsqd.address,
            options=nsqd.options(),
            hooks=metrics(registry=registry),
        ) as consumer,
    ):
        await producer.publish_many("orders", [b"one", b"two", b"three"])
        with pytest.raises(ClientError):
            await producer.publish("orders", b"")
        with pytest.raises(ClientError):
            await producer.publish("orders", b"late", defer=1e9)
        async for batch in consumer.batches(max_size=3, max_wait=1.0):
            async with batch.process():
                pass
            break

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"nsqclient_{name}", labels)

        assert value("published_total", topic="orders") == 3
        assert value("publish_failures_total", topic="orders", error="PublishError") == 1
        assert value("publish_seconds_count", topic="orders") == 2
        assert value("received_total", topic="orders") == 3
        assert value("answered_total", topic="orders", state="finished") == 3
        assert value("handling_seconds_count", topic="orders") == 3
        assert value("connects_total", nsqd=nsqd.address) >= 2


@pytest.mark.slow
def test_without_an_event_loop_others_are_called_as_well(daemon, registry) -> None:
    nsqd = daemon("nsqd")
    seen = []
    hooks = metrics(Hooks(answered=lambda message: seen.append(message.body)), registry=registry)
    with (
        nsqclient.sync.open_producer(nsqd.tcp, hooks=hooks) as producer,
        nsqclient.sync.open_consumer("orders", "c", nsqd=nsqd.tcp, hooks=hooks) as consumer,
    ):
        producer.publish("orders", b"one")
        for message in consumer:
            with message.process():
                pass
            break
    assert seen == [b"one"]
    labels = {"topic": "orders", "state": "finished"}
    assert registry.get_sample_value("nsqclient_answered_total", labels) == 1
    assert registry.get_sample_value("nsqclient_handling_seconds_count", {"topic": "orders"}) == 1
