"""Producers with ``copies=2``: to two nsqds, and handled once; and how many publishes may wait."""

import anyio
import pytest
import trio
from tests.e2e.daemons import wait_until
from tests.fakes.fake_nsqd import fake_cluster, until
from tests.nsqclient.backends import on_every_loop

from nsqclient import ConnectionLost, Overloaded, open_consumer, open_producer
from nsqclient.consuming.max_attempts import MaxAttempts, drop
from nsqclient.messages.copies import COPY_KEY
from nsqd.testing import open_nsqd


@pytest.mark.slow
async def test_a_message_is_at_two_nsqds_and_is_handled_once(daemon):
    nsqds = [await trio.to_thread.run_sync(daemon, "nsqd", "--durability=os") for _ in range(2)]
    addresses = [nsqd.tcp for nsqd in nsqds]
    for nsqd in nsqds:
        nsqd.create("orders", "c")
    async with open_producer(addresses, copies=2) as producer:
        await producer.publish("orders", b"one", headers={"user": "17"})
        await producer.publish_many("orders", [b"two", b"three"])
    for nsqd in nsqds:
        assert nsqd.channel("orders", "c")["depth"] == 3
    seen = []
    async with open_consumer("orders", "c", nsqd=addresses) as consumer:
        async for message in consumer:
            async with message.process():
                seen.append((message.body, message.headers.get("user")))
            if len(seen) == 3:
                break
        await consumer.until_idle(quiet=0.1)
        await trio.to_thread.run_sync(
            wait_until,
            lambda: not any(nsqd.channel("orders", "c")["in_flight_count"] for nsqd in nsqds),
        )
        assert consumer.stats().received > 3
    assert sorted(seen) == [(b"one", "17"), (b"three", None), (b"two", None)]


@pytest.mark.slow
async def test_the_second_copy_comes_if_the_first_was_lost_with_its_nsqd(daemon):
    nsqds = [await trio.to_thread.run_sync(daemon, "nsqd", "--durability=os") for _ in range(2)]
    addresses = [nsqd.tcp for nsqd in nsqds]
    for nsqd in nsqds:
        nsqd.create("orders", "c")
    async with open_producer(addresses, copies=2) as producer:
        await producer.publish("orders", b"one")
    async with open_consumer("orders", "c", nsqd=addresses) as consumer:
        first = await anext(consumer)
        lost = next(nsqd for nsqd in nsqds if nsqd.tcp == first.nsqd)
        await trio.to_thread.run_sync(lost.kill)
        second = await anext(consumer)
        assert (second.body, second.nsqd != first.nsqd) == (b"one", True)
        await second.finish()


@on_every_loop
async def test_copies_with_equal_ids_are_two_all_the_same():
    headers = {COPY_KEY: "k"}
    async with fake_cluster() as cluster:
        one, other = [
            cluster.nsqd(f"fake:{number}", identify={"headers": True}, keep_requeued=True)
            for number in (1, 2)
        ]
        async with open_consumer(
            "orders", "c", nsqd=[one.address, other.address], options=cluster.options()
        ) as consumer:
            one.put(b"one", headers=headers)
            message = await anext(consumer)
            with anyio.fail_after(10):
                other.put(b"one", headers=headers)
                await until(lambda: other.requeued)  # it waits there
                await message.finish()
                other.put(b"one", headers=headers)
                await until(lambda: other.finished)  # unseen


@on_every_loop
async def test_deliveries_that_nobody_tried_count_for_the_nsqd_they_came_from():
    async with fake_cluster() as cluster:
        one, other = [cluster.nsqd(f"fake:{number}") for number in (1, 2)]
        async with open_consumer(
            "orders", "c", nsqd=[one.address, other.address], options=cluster.options()
        ) as consumer:
            one.put(b"one")
            other.put(b"other")
            messages = [await anext(consumer), await anext(consumer)]
            assert messages[0].id == messages[1].id
            limit = MaxAttempts(1, drop)
            limit.not_tried(messages[0])
            assert [limit.is_reached(message) for message in messages] == [False, True]
            for message in messages:
                await message.finish()


@on_every_loop
async def test_one_nsqd_is_too_few_for_two_copies():
    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options(), copies=2) as producer,
    ):
        with pytest.raises(ConnectionLost, match="1 of 2 copies published") as raised:
            await producer.publish("orders", b"one")
        assert raised.value.sent


@on_every_loop
async def test_one_publish_more_than_may_wait_is_refused_at_once():
    outcomes = []

    async def publish(producer):
        try:
            await producer.publish("orders", b"one")
        except Overloaded as error:
            outcomes.append(str(error))
        else:
            outcomes.append("published")

    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options(), max_waiting=2) as producer,
    ):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(publish, producer)
        assert sorted(outcomes) == ["2 publishes wait already", "published", "published"]
        await publish(producer)
        assert outcomes[3] == "published"


@on_every_loop
async def test_limits_that_make_no_sense_are_refused_at_the_call():
    for arguments in ({"max_waiting": 0}, {"max_waiting": 1.5}, {"copies": 0}):
        with pytest.raises((ValueError, TypeError)):
            async with open_producer("127.0.0.1:1", **arguments):
                pass
