"""Questions and actions against daemons that answer over HTTP."""

import json

import pytest
import trio
from tests.fakes.fake_cluster import channel, client, running, topic
from tests.fakes.fake_http import fake_server
from tests.fakes.fake_lookupd import FakeLookupd
from tests.fakes.fake_nsqd import FakeNsqd

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.nsqd import nsqd_stats
from nsqcore.cluster.upstream import AllFailed, Upstream, UpstreamError

DEAD = "127.0.0.1:1"


async def test_topics_of_all_nsqlookupds_are_united():
    one = FakeLookupd(inactive={"b": [], "a": []})
    two = FakeLookupd(inactive={"b": [], "c": []})
    async with running(one, two), Upstream() as upstream:
        answer = await Cluster(upstream, lookupds=(one.address, two.address)).topics()
    assert answer.value == ["a", "b", "c"]


async def test_a_dead_nsqlookupd_is_named_and_the_others_answer():
    alive = FakeLookupd(inactive={"t": []})
    async with running(alive), Upstream() as upstream:
        answer = await Cluster(upstream, lookupds=(DEAD, alive.address)).topics()
    assert answer.value == ["t"]
    assert [(f.address, "connection refused" in str(f)) for f in answer.failures] == [(DEAD, True)]


async def test_when_nobody_answers_the_question_fails():
    async with Upstream() as upstream:
        with pytest.raises(AllFailed, match="failed to query any nsqlookupd"):
            await Cluster(upstream, lookupds=(DEAD,)).topics()


async def test_producers_without_nsqlookupd_are_the_nsqds_that_have_the_topic():
    has, has_not = FakeNsqd([topic("t")]), FakeNsqd([topic("other")])
    async with running(has, has_not), Upstream() as upstream:
        cluster = Cluster(upstream, nsqds=(has.address, has_not.address))
        found = (await cluster.producers("t")).value
        assert [producer.http_address for producer in found] == [has.address]


async def test_statistics_can_be_asked_without_clients():
    nsqd = FakeNsqd([topic("t", [channel("c", [client()])])])
    async with running(nsqd), Upstream() as upstream:
        producers = (await Cluster(upstream, nsqds=(nsqd.address,)).nodes()).value
        without = (await nsqd_stats(upstream, producers)).value
        with_them = (await nsqd_stats(upstream, producers, clients=True)).value
    assert without[0].channels[0].clients is None
    assert [c.client_id for c in with_them[0].channels[0].clients or ()] == ["c0"]


async def test_deleting_a_topic_reaches_nsqlookupds_and_its_nsqds():
    nsqds = [FakeNsqd([topic("t"), topic("u")]) for _ in range(2)]
    lookupd = FakeLookupd(nsqds)
    async with running(*nsqds, lookupd), Upstream() as upstream:
        assert await Cluster(upstream, lookupds=(lookupd.address,)).delete("t") == ()
        assert [[item["topic_name"] for item in n.topics] for n in nsqds] == [["u"], ["u"]]
        assert lookupd.server is not None
        assert "/topic/delete topic=t" in lookupd.server.paths("POST")


async def test_an_action_can_be_limited_to_one_node():
    nsqds = [FakeNsqd([topic("t", [channel("c")])]) for _ in range(2)]
    lookupd = FakeLookupd(nsqds)
    async with running(*nsqds, lookupd), Upstream() as upstream:
        cluster = Cluster(upstream, lookupds=(lookupd.address,))
        await cluster.act("pause", "t", "c", node=nsqds[1].address)
    assert [n.topics[0]["channels"][0]["paused"] for n in nsqds] == [False, True]


@pytest.mark.parametrize("action", ["pause", "unpause", "empty", "delete"])
async def test_only_nsqds_that_have_the_channel_are_asked_to_change_it(action):
    """The others answered 404, and it was "done, but not everywhere"."""
    has, has_not = FakeNsqd([topic("t", [channel("c")])]), FakeNsqd([topic("t")])
    lookupd = FakeLookupd([has, has_not])
    async with running(has, has_not, lookupd), Upstream() as upstream:
        cluster = Cluster(upstream, lookupds=(lookupd.address,))
        if action == "delete":
            assert await cluster.delete("t", "c") == ()
            assert not has.topics[0]["channels"]
        else:
            assert await cluster.act(action, "t", "c") == ()
            assert has.topics[0]["channels"][0]["paused"] == (action == "pause")
        assert has_not.server is not None
        assert has_not.server.paths("POST") == []


async def test_a_channel_that_nobody_has_is_said_to_be_unknown():
    nsqd = FakeNsqd([topic("t")])
    lookupd = FakeLookupd([nsqd])
    async with running(nsqd, lookupd), Upstream() as upstream:
        failures = await Cluster(upstream, lookupds=(lookupd.address,)).act("pause", "t", "c")
    assert [failure.status for failure in failures] == [404]


async def test_a_sick_nsqd_that_may_have_the_channel_is_named():
    has, sick = FakeNsqd([topic("t", [channel("c")])]), FakeNsqd([topic("t")])
    lookupd = FakeLookupd([has, sick])
    async with running(has, sick, lookupd), Upstream() as upstream:
        sick.broken = True
        failures = await Cluster(upstream, lookupds=(lookupd.address,)).act("pause", "t", "c")
        assert [failure.address for failure in failures] == [sick.address]
    assert has.topics[0]["channels"][0]["paused"]


@pytest.mark.parametrize("action", ["pause", "delete"])
async def test_an_action_waits_for_a_frozen_nsqd_once(action):
    has, frozen = FakeNsqd([topic("t", [channel("c")])]), FakeNsqd([topic("t", [channel("c")])])
    lookupd = FakeLookupd([has, frozen])
    async with running(has, frozen, lookupd), Upstream(request_timeout=0.3) as upstream:
        cluster = Cluster(upstream, lookupds=(lookupd.address,))
        assert frozen.server is not None
        frozen.server.released = trio.Event()
        if action == "delete":
            failures = await cluster.delete("t", "c")
            assert not has.topics[0]["channels"]
        else:
            failures = await cluster.act(action, "t", "c")
            assert has.topics[0]["channels"][0]["paused"]
        assert [failure.address for failure in failures] == [frozen.address]
        assert frozen.server.paths("POST") == []
        frozen.server.released.set()


async def test_an_action_never_goes_to_an_address_outside_the_cluster():
    nsqd, stranger = FakeNsqd([topic("t")]), FakeNsqd([topic("t")])
    lookupd = FakeLookupd([nsqd])
    async with running(nsqd, stranger, lookupd), Upstream() as upstream:
        cluster = Cluster(upstream, lookupds=(lookupd.address,))
        with pytest.raises(AllFailed, match="does not have this topic"):
            await cluster.act("pause", "t", node=stranger.address)
        with pytest.raises(AllFailed, match="no nsqd of this cluster"):
            await cluster.tombstone("t", stranger.address)
        assert stranger.server is not None
        assert stranger.server.asked == []


async def test_creating_a_channel_creates_it_where_its_topic_is():
    nsqd = FakeNsqd([topic("t")])
    lookupd = FakeLookupd([nsqd])
    async with running(nsqd, lookupd), Upstream() as upstream:
        await Cluster(upstream, lookupds=(lookupd.address,)).create("t", "c")
    assert [c["channel_name"] for c in nsqd.topics[0]["channels"]] == ["c"]
    assert lookupd.inactive == {"t": ["c"]}


async def test_without_nsqlookupd_a_topic_is_created_on_the_nsqds():
    nsqd = FakeNsqd()
    async with running(nsqd), Upstream() as upstream:
        await Cluster(upstream, nsqds=(nsqd.address,)).create("t", "c")
    assert [item["topic_name"] for item in nsqd.topics] == ["t"]


async def test_an_action_names_the_daemons_it_did_not_reach():
    nsqd = FakeNsqd([topic("t")])
    lookupd = FakeLookupd([nsqd])
    async with running(nsqd, lookupd), Upstream() as upstream:
        failures = await Cluster(upstream, lookupds=(DEAD, lookupd.address)).act("pause", "t")
    assert {failure.address for failure in failures} == {DEAD}
    assert nsqd.topics[0]["paused"] is True


async def test_a_tombstoned_node_loses_the_topic():
    nsqd = FakeNsqd([topic("t")])
    lookupd = FakeLookupd([nsqd])
    async with running(nsqd, lookupd), Upstream() as upstream:
        await Cluster(upstream, lookupds=(lookupd.address,)).tombstone("t", nsqd.address)
    assert nsqd.topics == []
    assert lookupd.tombstones == {("t", nsqd.address)}


async def test_a_daemon_that_never_answers_is_given_up(nursery):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with Upstream(request_timeout=0.05) as upstream, listeners[0]:
        with pytest.raises(UpstreamError, match="no answer in time"):
            await upstream.get(address, "/stats")


@pytest.mark.parametrize("content", [b"[1]", b"null", b'{"topics": 5}', b"{}", b'"topics"'])
async def test_an_answer_of_another_shape_is_a_failure_and_no_empty_cluster(content):
    """What is no answer of NSQ was taken for an empty list."""
    async with fake_server(lambda asked: (200, content)) as server, Upstream() as upstream:
        lookupd = Cluster(upstream, lookupds=(server.address,))
        nsqd = Cluster(upstream, nsqds=(server.address,))
        for ask in (lookupd.topics, lookupd.nodes, nsqd.topics, nsqd.nodes):
            with pytest.raises(AllFailed, match="no answer of an nsq"):
                await ask()


@pytest.mark.parametrize("content", [b'{"topics": [5, null, "a b", ""]}', b'{"topics": null}'])
async def test_entries_that_are_no_topics_are_left_out(content):
    async with fake_server(lambda asked: (200, content)) as server, Upstream() as upstream:
        assert (await Cluster(upstream, lookupds=(server.address,)).topics()).value == []
        producers = (await Cluster(upstream, nsqds=(server.address,)).nodes()).value
        assert (await nsqd_stats(upstream, producers)).value == []


@pytest.mark.parametrize("content", [b"<html>", b'{"topics": '])
async def test_an_answer_that_is_no_json_is_a_failure(content):
    async with fake_server(lambda asked: (200, content)) as server, Upstream() as upstream:
        with pytest.raises(UpstreamError, match="no JSON"):
            await upstream.get(server.address, "/topics")


async def test_an_error_answer_is_told_with_its_status_and_text():
    async with fake_server(lambda asked: (500, {"message": "OUT_OF_LUCK"})) as server:
        async with Upstream() as upstream:
            with pytest.raises(UpstreamError, match=r"got response 500 .*OUT_OF_LUCK"):
                await upstream.get(server.address, "/stats")


GOOD = {
    "broadcast_address": "10.0.0.1", "http_port": 4151, "tcp_port": 4150, "hostname": "good",
    "version": "1.3.0", "topics": ["t"], "tombstones": [False],
}  # fmt: skip
BAD = [
    {"http_port": 0},
    {"http_port": 99999},
    {"http_port": "4151"},
    {"http_port": 10**39},
    {"broadcast_address": ""},
    {"broadcast_address": None},
    {"broadcast_address": "a..b"},
    {"broadcast_address": "/run/nsqd.sock"},
    {"broadcast_address": "user:pw@127.0.0.1:25030/adm?"},
    {"broadcast_address": "\ud800x"},
    {"broadcast_address": ["10.0.0.2"]},
]


@pytest.mark.parametrize("bad", [*({**GOOD, **change} for change in BAD), None, 5, [], {}, "x"])
async def test_one_bad_producer_hides_no_other(bad):
    """One registration hid a topic, or had us ask at a path of its choice."""
    content = {"channels": [], "topics": ["t"], "producers": [bad, GOOD]}
    async with fake_server(lambda asked: (200, content)) as server, Upstream() as upstream:
        cluster = Cluster(upstream, lookupds=(server.address,))
        for answer in (await cluster.producers("t"), await cluster.nodes()):
            assert [found.http_address for found in answer.value] == ["10.0.0.1:4151"]
            assert not answer.failures


@pytest.mark.parametrize("version", ["9" * 5000 + ".0.0", "\ud800", None, 5, "x" * 60_000])
async def test_a_version_beyond_all_bounds_blinds_nobody(version):
    """5000 digits ended every look of nsqadmin."""
    content = {"producers": [{**GOOD, "version": version, "hostname": "\ud800x"}, GOOD]}
    async with fake_server(lambda asked: (200, content)) as server, Upstream() as upstream:
        (found,) = (await Cluster(upstream, lookupds=(server.address,)).nodes()).value
        json.dumps(found.to_json(), ensure_ascii=False).encode()
        assert len(found.version) <= 64
