"""Producers and consumers without a block, until nothing is left, and how they are."""

import anyio
import pytest
from tests.fakes.fake_lookupd import fake_lookupd
from tests.fakes.fake_nsqd import fake_cluster, fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import Closed, Health, open_consumer, open_producer
from nsqcore.wire.errors import PubFailed
from nsqcore.wire.frames import error_frame


@on_every_loop
async def test_started_producer_and_consumer_live_until_they_are_closed_in_any_task():
    async with fake_nsqd() as (cluster, nsqd):
        opened = []

        async def open_both() -> None:
            options = cluster.options()
            opened.append(await open_producer(nsqd.address, options=options).start())
            opened.append(await cluster.consumer(nsqd).start())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_both)
        producer, consumer = opened
        await producer.publish("orders", b"x")
        nsqd.put(b"y")
        async with (await anext(consumer)).process() as message:
            assert message.body == b"y"
        async with anyio.create_task_group() as tasks:
            for one in (producer, consumer, producer):
                tasks.start_soon(one.aclose)
        assert (nsqd.published, nsqd.finished, nsqd.sessions) == ([b"x"], [b"y"], [])
        await producer.aclose()
        with pytest.raises(Closed):
            await producer.publish("orders", b"z")
        with pytest.raises(StopAsyncIteration):
            await anext(consumer)


@on_every_loop
async def test_what_a_block_opened_may_be_closed_inside_it():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.publish("orders", b"x")
            await producer.aclose()
            assert not nsqd.sessions


@virtual_time
async def test_until_idle_returns_when_all_is_answered_and_nothing_more_comes():
    async with fake_nsqd() as (cluster, nsqd), anyio.create_task_group() as tasks:
        nsqd.put(b"1", b"2", b"3")
        async with cluster.consumer(nsqd) as consumer:

            async def handle(message) -> None:
                await anyio.sleep(5)
                if message.body == b"3":
                    nsqd.put(b"4")

            tasks.start_soon(consumer.run, handle)
            began = anyio.current_time()
            async with anyio.create_task_group() as waiters:
                for _ in range(2):
                    waiters.start_soon(consumer.until_idle)
            assert sorted(nsqd.finished) == [b"1", b"2", b"3", b"4"]
            assert 20 < anyio.current_time() - began < 23
            consumer.stop()
        with pytest.raises(Closed):
            await consumer.until_idle()


@virtual_time
async def test_until_idle_waits_for_the_end_of_a_backoff():
    async with fake_nsqd() as (cluster, nsqd), anyio.create_task_group() as tasks:
        nsqd.put(b"1")
        async with cluster.consumer(nsqd) as consumer:

            async def handle(message) -> None:
                if message.attempts < 3:
                    raise ValueError

            tasks.start_soon(consumer.run, handle)
            await consumer.until_idle(quiet=0.5)
            assert nsqd.finished == [b"1"]


@on_every_loop
async def test_health_tells_who_is_connected_and_what_is_wrong():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1", up=False)
        options = cluster.options()
        lookupd.knows("orders", "a:1", "b:1")
        lookupds = [lookupd.address, "127.0.0.1:1"]
        async with (
            open_producer(["a:1", "b:1"], options=options) as producer,
            open_consumer("orders", "billing", lookupd=lookupds, options=options) as consumer,
        ):
            await until(lambda: len(producer.health().problems) == 1 and producer.health().ok)
            assert producer.health().connected == ["a:1"]
            assert producer.health().problems[0].startswith("nsqd b:1: cannot connect")
            await until(lambda: len(consumer.health().problems) == 2 and consumer.health().ok)
            nsqd_line, lookupd_line = consumer.health().problems
            assert nsqd_line.startswith("nsqd b:1: cannot connect")
            assert "127.0.0.1:1" in lookupd_line
            b.up = True
            await until(lambda: not producer.health().problems)
            await until(lambda: len(consumer.health().problems) == 1)
            assert consumer.health().connected == ["a:1", "b:1"]
            for nsqd in (a, b):
                nsqd.up = False
                nsqd.hang_up()
            await until(lambda: not producer.health().ok and not consumer.health().ok)
            assert "no nsqd has confirmed the subscription" in consumer.health().problems
            consumer.stop()
            await until(lambda: "stopped" in consumer.health().problems)
        assert producer.health().problems[0] == "closed"


@on_every_loop
async def test_producer_whose_nsqd_cannot_take_messages_is_not_well():
    async with fake_nsqd(always=error_frame(PubFailed("disk full"))) as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            with pytest.raises(Exception, match="E_PUB_FAILED"):
                await producer.publish("orders", b"x")
            await producer.wait_until_connected()
            problem = f"nsqd {nsqd.address}: could not take a message"
            assert producer.health() == Health(
                ok=False, connected=[nsqd.address], problems=[problem]
            )
