"""What comes into a topic is seen once, in whichever queue it is."""

import pytest
from tests.fakes.fake_cluster import channel, client, message, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.collect import tail as tail_module
from nsqadmin.collect.tail import Source, Tail, sources


def ids(found: list[dict[str, object]]) -> list[int]:
    return [int(str(one["id"]), 16) for one in found]


def tail_of(s, part: str = "") -> Tail:
    nodes = [nsqd.address for nsqd in s.nsqds]
    return Tail(s.admin.upstream, "orders", part, nodes, lambda: s.admin.collector.snapshot)


async def test_a_durable_topic_is_seen_in_its_log_and_others_in_their_channels(site):
    many = [channel(f"c{number}", [client()], depth=number) for number in range(5)]
    plain = topic("plain", [*many, channel("idle")])
    durable = topic("orders", many, durability="always")
    async with site([FakeNsqd([plain, durable])]) as s:
        found = s.admin.collector.snapshot
        assert sources(found, "orders", "") == [Source("log")]
        looked_at = sources(found, "plain", "")
        assert [one.channel for one in looked_at] == ["idle", "idle", "c4", "c4", "c3", "c3", ""]
        states = [one.state for one in sources(found, "orders", "c1")]
        assert states == ["queued", "in_flight"]


@pytest.mark.slow
async def test_a_message_in_several_queues_is_seen_once_and_the_oldest_comes_first(site):
    parts = [channel("a"), channel("b")]
    first = [message(2), message(1)]
    async with site([FakeNsqd([topic("orders", parts)], messages={"orders": first})]) as s:
        tail = tail_of(s)
        assert ids(await tail.look()) == [1, 2]
        assert await tail.look() == []
        s.nsqds[0].messages["orders"].append(message(3))
        assert ids(await tail.look()) == [3]


async def test_more_than_a_look_shows_are_reached_by_the_next_ones(site, monkeypatch):
    monkeypatch.setattr(tail_module, "PER_LOOK", 2)
    letters = [message(number) for number in range(5)]
    nsqd = FakeNsqd([topic("orders", durability="os")], messages={"orders": letters})
    async with site([nsqd]) as s:
        tail = tail_of(s)
        assert [ids(await tail.look()) for _ in range(4)] == [[0, 1], [2, 3], [4], []]
        nsqd.messages["orders"] += [message(5), message(6)]
        assert [ids(await tail.look()) for _ in range(2)] == [[5], [6]]


async def test_a_cursor_that_is_refused_is_begun_anew(site, monkeypatch):
    monkeypatch.setattr(tail_module, "PER_LOOK", 2)
    letters = [message(number) for number in range(3)]
    nsqd = FakeNsqd([topic("orders", durability="os")], messages={"orders": letters})
    async with site([nsqd]) as s:
        tail = tail_of(s)
        await tail.look()
        nsqd.refuses_cursors = True
        assert await tail.look() == []
        nsqd.messages["orders"].insert(0, message(9))
        assert ids(await tail.look()) == [9]
