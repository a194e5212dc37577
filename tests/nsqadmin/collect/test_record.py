import math

import pytest
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.collect.record import deletions


def last(history, entity, name, now):
    points = history.points(entity, name, "30m", now=now)
    return points[-1][1] if points else math.nan


async def test_a_snapshot_goes_into_the_history_of_everything_in_it(site):
    latency = {"count": 2, "percentiles": [{"quantile": q, "value": 3e6 * q} for q in (0.5, 1)]}
    found = channel("c", [client()], depth=5, in_flight_count=1, e2e_processing_latency=latency)
    async with site([FakeNsqd([topic("t", [found], depth=2)])]) as s:
        history, snapshot = s.admin.history, s.admin.collector.snapshot
        s.admin.on_round(snapshot)
        now = snapshot.taken / 1e9
        node = s.nsqds[0].address
        assert last(history, ("topic", "t"), "depth", now) == 7
        assert last(history, ("channel", "t", "c"), "in_flight", now) == 1
        assert last(history, ("channel", "t", "c"), "latency", now) == 3
        assert math.isnan(last(history, ("topic", "t"), "latency", now))
        assert last(history, ("node", node), "clients", now) == 1
        assert last(history, ("cluster",), "depth", now) == 7
        assert history.recent(("channel", "t", "c", node), "depth", now=now)[-1] == 5


async def test_a_node_that_does_not_answer_leaves_a_gap(site):
    async with site() as s:
        s.nsqds[1].broken = True
        await s.admin.collector.round()
        snapshot = s.admin.collector.snapshot
        s.admin.on_round(snapshot)
        now = snapshot.taken / 1e9
        assert math.isnan(last(s.admin.history, ("node", s.nsqds[1].address), "rate", now))
        assert not math.isnan(last(s.admin.history, ("node", s.nsqds[0].address), "rate", now))


async def test_topics_nobody_produces_have_no_history(site):
    async with site() as s:
        s.admin.on_round(s.admin.collector.snapshot)
        now = s.admin.collector.snapshot.taken / 1e9
        assert math.isnan(last(s.admin.history, ("topic", "forgotten"), "depth", now))


@pytest.mark.slow
async def test_the_first_look_knows_no_rates(site):
    async with site() as s:
        history, node = s.admin.history, s.nsqds[0].address
        rated = (("topic", "orders"), ("node", node), ("cluster",), ("topic", "orders", node))
        s.admin.on_round(s.admin.collector.snapshot)
        now = s.admin.collector.snapshot.taken / 1e9
        assert all(history.recent(entity, "rate", now=now) == [] for entity in rated)
        assert last(history, ("topic", "orders"), "depth", now) > 0
        await s.admin.collector.round()
        s.admin.on_round(s.admin.collector.snapshot)
        now = s.admin.collector.snapshot.taken / 1e9
        assert all(history.recent(entity, "rate", now=now)[-1] == 0 for entity in rated)


@pytest.mark.slow
async def test_what_no_daemon_knows_any_more_counts_as_deleted(site):
    async with site() as s:
        await s.admin.collector.round()
        is_deleted = deletions(s.admin.collector.snapshot)
        assert not is_deleted(("topic", "orders"))
        assert not is_deleted(("channel", "orders", "billing"))
        assert not is_deleted(("topic", "forgotten"))  # an nsqlookupd remembers it
        assert not is_deleted(("channel", "forgotten", "old"))
        assert is_deleted(("topic", "gone"))
        assert is_deleted(("channel", "orders", "gone"))
        assert not is_deleted(("node", "gone:4151"))
        s.nsqds[0].broken = True
        await s.admin.collector.round()
        assert not deletions(s.admin.collector.snapshot)(("topic", "gone"))
