"""Producers that find nsqds by nsqlookupd."""

import anyio
import pytest
from tests.fakes.fake_lookupd import fake_lookupd
from tests.fakes.fake_nsqd import fake_cluster, until
from tests.nsqclient.backends import on_every_loop

import nsqclient.sync
from nsqclient import Closed, ConnectionLost, HttpError, open_consumer, open_producer


@on_every_loop
async def test_producer_publishes_to_what_any_nsqlookupd_names():
    async with fake_cluster() as cluster, fake_lookupd() as one, fake_lookupd() as two:
        a, b, c = (cluster.nsqd(f"{name}:1") for name in "abc")
        one.has("a:1")
        two.has("a:1", "b:1")
        lookupds = [one.address, f"http://{two.address}/"]
        async with open_producer("c:1", lookupd=lookupds, options=cluster.options()) as producer:
            await until(lambda: len(producer.connected) == 3)
            for _ in range(6):
                await producer.publish("orders", b"x")
        assert [len(nsqd.published) for nsqd in (a, b, c)] == [2, 2, 2]


@on_every_loop
async def test_first_publish_waits_for_what_nsqlookupd_names():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.has("a:1")
        lookupds = ["127.0.0.1:1", lookupd.address]  # nobody answers at the first
        async with open_producer(lookupd=lookupds, options=cluster.options()) as producer:
            await producer.publish("orders", b"x")
        assert nsqd.published == [b"x"]


@on_every_loop
async def test_settled_is_when_all_that_can_be_reached_is_connected():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        for name in "abc":
            cluster.nsqd(f"{name}:1")
        cluster.nsqd("down:1").up = False
        lookupd.has("a:1", "b:1", "c:1", "down:1")
        lookupds = [lookupd.address, "127.0.0.1:1"]
        options = cluster.options()
        async with open_producer("fixed:1", lookupd=lookupds, options=options) as producer:
            await producer.wait_until_settled()
            assert sorted(producer.connected) == ["a:1", "b:1", "c:1"]
            assert sorted(producer.known) == ["a:1", "b:1", "c:1", "down:1", "fixed:1"]
            async with open_consumer(
                "news", "reader", nsqd=producer.known, options=options
            ) as consumer:
                await consumer.wait_until_connected(to=producer.connected)
                assert consumer.health().connected == ["a:1", "b:1", "c:1"]
        with pytest.raises(Closed):
            await producer.wait_until_settled()


@on_every_loop
async def test_nsqd_that_left_is_used_only_if_no_other_can_be_and_dropped_with_its_connection():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        lookupd.has("a:1")
        async with open_producer(
            lookupd=lookupd.address, lookupd_poll_interval=0.01, options=cluster.options()
        ) as producer:
            await producer.publish("orders", b"1")
            lookupd.has("b:1")
            await until(lambda: len(producer.connected) == 2)
            for body in (b"2", b"3", b"4"):
                await producer.publish("orders", body)
            assert (a.published, b.published) == ([b"1"], [b"2", b"3", b"4"])
            b.up = False
            b.hang_up()
            await until(lambda: producer.connected == ["a:1"])
            await producer.publish("orders", b"5")
            assert a.published == [b"1", b"5"]
            b.up = True
            await until(lambda: len(producer.connected) == 2)
            a.hang_up()
            await until(lambda: producer.connected == ["b:1"])
            asked = len(lookupd.asked)
            await until(lambda: len(lookupd.asked) > asked + 20)
            assert a.dials == 1
            lookupd.has("a:1", "b:1")
            await until(lambda: len(producer.connected) == 2)


@on_every_loop
async def test_nsqd_that_is_lost_makes_nsqlookupd_be_asked_at_once():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        lookupd.has("a:1")
        async with open_producer(lookupd=lookupd.address, options=cluster.options()) as producer:
            await producer.publish("orders", b"1")
            lookupd.has("b:1")
            a.up = False
            a.hang_up()
            await until(lambda: producer.connected == ["b:1"])
            await producer.publish("orders", b"2")
        assert b.published == [b"2"]


@on_every_loop
async def test_publish_with_nowhere_to_go_asks_again_before_it_fails():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.has()
        async with open_producer(lookupd=lookupd.address, options=cluster.options()) as producer:
            with pytest.raises(ConnectionLost, match="nsqlookupd names none") as lost:
                await producer.publish("orders", b"x")
            assert not lost.value.sent
            lookupd.has("a:1")
            await producer.wait_until_connected()
            await producer.publish("orders", b"x")
        assert nsqd.published == [b"x"]


@on_every_loop
async def test_publish_waits_for_a_registration_when_told_to():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.has()
        async with (
            open_producer(
                lookupd=lookupd.address, wait_when_down=True, options=cluster.options()
            ) as producer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(producer.publish, "orders", b"x")
            await until(lambda: len(lookupd.asked) > 1)
            lookupd.has("a:1")
        assert nsqd.published == [b"x"]


@on_every_loop
async def test_silent_nsqlookupd_takes_no_nsqd_away():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.has("a:1")
        async with open_producer(
            lookupd=lookupd.address, lookupd_poll_interval=0.01, options=cluster.options()
        ) as producer:
            await producer.publish("orders", b"1")
            lookupd.raw = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
            asked = len(lookupd.asked)
            await until(lambda: len(lookupd.asked) > asked + 2)
            nsqd.hang_up()
            await until(lambda: nsqd.dials == 2)
            await producer.publish("orders", b"2")
        assert nsqd.published == [b"1", b"2"]


@on_every_loop
async def test_publishes_stay_in_the_zone_then_the_region_while_they_can():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        near = [cluster.nsqd(f"near{n}:1", identify=_at("eu", "a")) for n in (1, 2)]
        region = [cluster.nsqd(f"region{n}:1", identify=_at("eu", "b")) for n in (1, 2)]
        far = cluster.nsqd("far:1", identify=_at("us", "a"))
        lookupd.has(*cluster.nsqds)
        options = cluster.options(topology_region="eu", topology_zone="a")
        async with open_producer(lookupd=lookupd.address, options=options) as producer:
            await until(lambda: len(producer.connected) == 5)

            async def published() -> list[int]:
                before = [len(nsqd.published) for nsqd in cluster.nsqds.values()]
                for _ in range(4):
                    await producer.publish("orders", b"x")
                after = [len(nsqd.published) for nsqd in cluster.nsqds.values()]
                return [now - then for now, then in zip(after, before, strict=True)]

            async def without(*nsqds) -> None:
                for nsqd in nsqds:
                    nsqd.up = False
                    nsqd.hang_up()
                await until(lambda: not {nsqd.address for nsqd in nsqds} & {*producer.connected})

            assert await published() == [2, 2, 0, 0, 0]
            await without(near[0])
            assert await published() == [0, 4, 0, 0, 0]
            await without(near[1])
            assert await published() == [0, 0, 2, 2, 0]
            await without(*region)
            assert await published() == [0, 0, 0, 0, 4]
            near[0].up = True
            await until(lambda: len(producer.connected) == 2)
            assert await published() == [4, 0, 0, 0, 0]
            assert far.published


@pytest.mark.slow
@on_every_loop
async def test_what_is_no_nsqlookupd_is_told_also_to_those_who_wait():
    async with fake_lookupd() as other:
        other.answers["/nodes"] = b"<html>"
        async with open_producer(lookupd=other.address, wait_when_down=True) as producer:
            with pytest.raises(ConnectionLost, match="not JSON") as lost:
                await producer.publish("orders", b"x")
            assert isinstance(lost.value.__cause__, HttpError)
            with pytest.raises(ConnectionLost, match="not JSON"):
                await producer.wait_until_connected()


def test_wrong_arguments_are_refused_before_anything_is_asked():
    for settings, error, said in [
        ({}, ValueError, "nowhere to publish to"),
        ({"lookupd": "ftp://host:4161"}, ValueError, "not an HTTP address"),
        ({"lookupd": b"host:4161"}, TypeError, "lookupd is an address"),
        ({"lookupd": "host:4161", "lookupd_poll_interval": 0}, ValueError, "lookupd_poll_interval"),
        ({"lookupd": "host:4161", "lookupd_tls": True}, TypeError, "lookupd_tls"),
    ]:
        with pytest.raises(error, match=said), nsqclient.sync.open_producer(**settings):
            pass


def _at(region: str, zone: str) -> dict[str, str]:
    return {"topology_region": region, "topology_zone": zone}
