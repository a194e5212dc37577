"""The one task that looks at the cluster."""

import pytest
import trio
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.collect import collector as collector_module
from nsqadmin.collect import polls
from nsqadmin.collect.snapshot import Snapshot, channel_parts
from nsqcore.cluster.stats import ChannelStats


def count_clients(found: ChannelStats) -> int:
    return sum(len(part.clients or ()) for part in channel_parts(found))


async def test_a_snapshot_sums_the_cluster(site):
    async with site() as s:
        snapshot: Snapshot = s.admin.collector.snapshot
    assert [node.producer.hostname for node in snapshot.nodes] == ["host-0", "host-1"]
    found = snapshot.channel("orders", "billing")
    assert (found.depth, found.client_count) == (6, 2)
    assert snapshot.topics["orders"].message_count == 20
    assert snapshot.failures == ()


async def test_topics_nobody_produces_are_known_with_their_channels(site):
    async with site() as s:
        assert s.admin.collector.snapshot.inactive == {"forgotten": ("old",)}
        assert s.admin.collector.snapshot.topics["forgotten"].nodes == []


async def test_a_node_that_does_not_answer_is_named_and_the_rest_is_shown(site):
    async with site() as s:
        s.nsqds[1].broken = True
        await s.admin.collector.round()
        snapshot = s.admin.collector.snapshot
        assert snapshot.topics["orders"].message_count == 10
        assert [bool(node.error) for node in snapshot.nodes] == [False, True]
        assert s.nsqds[1].address in snapshot.failures[0]
        s.nsqds[1].broken = False
        await s.admin.collector.round()
        assert s.admin.collector.snapshot.failures == ()


async def test_nodes_stay_known_while_no_nsqlookupd_answers(site):
    async with site() as s:
        s.lookupd.broken = True
        await s.admin.collector.round()
        snapshot = s.admin.collector.snapshot
        assert len(snapshot.nodes) == 2
        assert snapshot.topics["orders"].message_count == 20
        assert s.lookupd.address in snapshot.failures[0]


async def test_an_nsqd_that_has_left_the_nsqlookupds_is_forgotten(site):
    async with site() as s:
        s.lookupd.nsqds = s.nsqds[:1]
        await s.admin.collector.round()
        assert [node.producer.hostname for node in s.admin.collector.snapshot.nodes] == ["host-0"]


async def test_without_nsqlookupds_the_configured_nsqds_are_asked(site):
    async with site(mode="nsqd") as s:
        snapshot = s.admin.collector.snapshot
        assert [node.producer.hostname for node in snapshot.nodes] == ["host-0", "host-1"]
        assert [topic.topic for topic in snapshot.nodes[0].producer.topics] == ["orders"]
        s.nsqds[0].broken = True
        await s.admin.collector.round()
        assert sum(bool(node.error) for node in s.admin.collector.snapshot.nodes) == 1


async def test_a_configured_nsqd_that_never_answered_is_listed_by_its_address(site):
    async with site(mode="nsqd", nsqd_http_addresses=("127.0.0.1:1",)) as s:
        (node,) = s.admin.collector.snapshot.nodes
        assert (node.address, "connection refused" in node.error) == ("127.0.0.1:1", True)


@pytest.mark.slow
async def test_lists_of_clients_take_turns_when_there_are_many(site, monkeypatch):
    monkeypatch.setattr(collector_module, "CLIENT_BUDGET", 5)
    crowd = [client(number) for number in range(4)]
    nsqds = [FakeNsqd([topic("t", [channel("c", crowd)])], hostname=f"h{n}") for n in range(3)]
    async with site(nsqds) as s:
        for _ in range(3):
            await s.admin.collector.round()
        found = s.admin.collector.snapshot.channel("t", "c")
        assert found.client_count == count_clients(found) == 12
        for nsqd in nsqds:
            nsqd.server.asked.clear()
        await s.admin.collector.round()
        full = [n for n in nsqds if "include_clients" not in str(n.server.asked)]
        assert len(full) == 1
        assert count_clients(s.admin.collector.snapshot.channel("t", "c")) == 12


async def test_who_waits_for_a_change_gets_it(site, nursery):
    async with site() as s:
        seen = []

        async def watch():
            seen.append(await s.admin.collector.changed(s.admin.collector.snapshot.version))

        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        await s.admin.collector.round()
        await trio.testing.wait_all_tasks_blocked()
        assert len(seen) == 1


@pytest.mark.slow
async def test_a_refresh_shows_what_was_done_before_it(site, nursery):
    async with site() as s:
        nursery.start_soon(s.admin.collector.run, s.admin.on_round)
        s.nsqds[0].topics[0]["paused"] = True
        await s.admin.collector.refresh()
        assert s.admin.collector.snapshot.topics["orders"].paused is True
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_the_load_on_the_cluster_does_not_grow_with_the_browsers(site):
    async with site() as s:
        taken = s.admin.collector.snapshot.taken
        s.admin.collector.wall = lambda: taken  # the snapshot stays fresh, however slow we are
        s.nsqds[0].server.asked.clear()
        for _ in range(20):
            await s.page("/")
            await s.page("/topics/orders")
        assert s.nsqds[0].server.asked == []


@pytest.mark.slow
async def test_a_look_that_fails_is_not_the_last(site, nursery, caplog):
    async with site(collect_interval=0.2) as s:
        looks = []

        def on_round(snapshot):
            looks.append(snapshot)
            if len(looks) == 1:
                raise RuntimeError("strange")

        nursery.start_soon(s.admin.collector.run, on_round)
        s.admin.collector.watchers = 1
        with trio.fail_after(60):
            await s.admin.collector.changed(s.admin.collector.snapshot.version)
            await s.admin.collector.changed(s.admin.collector.snapshot.version)
        assert "a look at the cluster failed" in caplog.text
        nursery.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lookupd", "nsqd"])
async def test_daemons_that_hang_hold_up_nobody_and_are_heard_when_they_answer(
    site, nursery, mode, monkeypatch
):
    monkeypatch.setattr(polls, "PATIENCE", 0.1)
    options = {"http_client_request_timeout": 300.0, "collect_interval": 0.2}
    async with site(mode=mode, **options) as s:
        collector = s.admin.collector
        collector.watchers = 1
        nursery.start_soon(collector.run, s.admin.on_round)
        released = trio.Event()
        for daemon in (s.nsqds[1], s.lookupd):
            daemon.server.released = released

        async def until(condition):
            with trio.fail_after(60):
                while not condition(collector.snapshot.topics["orders"]):
                    await collector.changed(collector.snapshot.version)

        for count in (100, 200):
            s.nsqds[0].topics[0]["message_count"] = count
            await until(lambda orders, count=count: orders.message_count == count + 10)
        assert len([a for a in s.nsqds[1].server.asked if a.path == "/stats"]) < 4
        s.nsqds[1].topics[0]["message_count"] = 50
        released.set()
        await until(lambda orders: orders.message_count == 250)
        nursery.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lookupd", "nsqd"])
async def test_a_node_that_answers_again_is_shown_again(site, nursery, mode):
    async with site(mode=mode, collect_interval=0.2) as s:
        collector = s.admin.collector
        collector.watchers = 1
        s.nsqds[1].broken = True
        nursery.start_soon(collector.run, s.admin.on_round)
        with trio.fail_after(60):
            while not collector.snapshot.failures:
                await collector.changed(collector.snapshot.version)
            s.nsqds[1].broken = False
            while collector.snapshot.failures:
                await collector.changed(collector.snapshot.version)
        assert collector.snapshot.topics["orders"].message_count == 20
        nursery.cancel_scope.cancel()
