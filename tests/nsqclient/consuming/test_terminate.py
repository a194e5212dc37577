"""Messages that a consumer gives up: nsqd has dead letters, or the consumer deals with them."""

import pytest
from tests.fakes.fake_nsqd import fake_cluster, until
from tests.nsqclient.backends import on_every_loop

from nsqclient import AlreadyAnswered, dead_letter, open_consumer, open_producer
from nsqd.testing import open_nsqd


def bodies(nsqd, topic):
    found = nsqd.broker.create_channel(topic, "look")
    nsqd.broker.dispatch(0)
    return [record[26:] for record in found.queue.take(100)]


@on_every_loop
async def test_nsqd_moves_what_is_terminated():
    async with open_nsqd() as nsqd:
        nsqd.create_channel("orders", "billing")
        nsqd.publish("orders", b"poison")
        async with open_consumer(
            "orders", "billing", nsqd=nsqd.address, options=nsqd.options()
        ) as consumer:
            message = await anext(consumer)
            assert message.headers == {}
            await message.terminate("no such\norder")
            with pytest.raises(AlreadyAnswered, match="terminated"):
                await message.finish()
            await until(lambda: "orders.dead" in nsqd.broker.topics)
        assert bodies(nsqd, "orders.dead") == [b"poison"]


@on_every_loop
async def test_dead_letter_leaves_it_to_an_nsqd_that_has_dead_letters():
    async with open_nsqd() as nsqd:
        nsqd.create_channel("orders", "billing")
        nsqd.publish("orders", b"poison")
        async with (
            open_producer(nsqd.address, options=nsqd.options()) as producer,
            open_consumer(
                "orders",
                "billing",
                nsqd=nsqd.address,
                options=nsqd.options(),
                max_attempts=1,
                on_give_up=dead_letter(producer, "orders.dead"),
            ) as consumer,
        ):
            (await anext(consumer)).requeue_nowait()
            await until(lambda: "orders.dead" in nsqd.broker.topics)
        channel = nsqd.broker.topics["orders"].channels["billing"]
        assert channel.departures.deaths.dead == 1
        assert bodies(nsqd, "orders.dead") == [b"poison"]


@on_every_loop
async def test_for_an_nsqd_that_has_none_the_consumer_deals_with_it():
    given_up = []

    async def give_up(message):
        given_up.append(message.body)

    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put(b"poison")
        async with open_consumer(
            "orders",
            "billing",
            nsqd="a:1",
            options=cluster.options(),
            max_attempts=9,
            on_give_up=give_up,
        ) as consumer:
            await (await anext(consumer)).terminate()
            await until(lambda: nsqd.finished == [b"poison"])
    assert given_up == [b"poison"]


@on_every_loop
async def test_where_nobody_deals_with_it_the_message_is_not_lost():
    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put(b"poison")
        async with cluster.consumer(nsqd, max_backoff=0, drain_timeout=0.1) as consumer:
            await (await anext(consumer)).terminate()
            assert (await anext(consumer)).attempts == 2
