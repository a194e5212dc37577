"""Whole answers of nsqd and nsqlookupd, however odd, are read or refused, and blind nobody."""

import json
import math
from contextlib import suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.fake_cluster import channel, client, topic

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.merge import group_topics, merge_topic
from nsqcore.cluster.nsqd import nsqd_info, nsqd_stats
from nsqcore.cluster.upstream import AllFailed, Upstream, UpstreamError
from nsqcore.http.client import HttpAnswer, RequestFailed

PRODUCER = {
    "broadcast_address": "10.0.0.1", "http_port": 4151, "tcp_port": 4150, "hostname": "good",
    "version": "1.3.0", "topics": ["t"], "tombstones": [False], "remote_address": "10.0.0.1:5",
    "topology_zone": "", "topology_region": "",
}  # fmt: skip
LATENCY = {"count": 3, "percentiles": [{"quantile": 0.99, "value": 5}]}
STATS = {
    "version": "1.3.0", "health": "OK", "start_time": 1,
    "topics": [
        topic("t", [channel("c", [client()], e2e_processing_latency=LATENCY)], message_count=5),
        topic("u", e2e_processing_latency=LATENCY),
    ],
}  # fmt: skip
WHOLE = {
    "/topics": {"topics": ["t", "u"]},
    "/channels": {"channels": ["c"]},
    "/nodes": {"producers": [PRODUCER, {**PRODUCER, "broadcast_address": "10.0.0.2"}]},
    "/lookup": {"channels": ["c"], "producers": [PRODUCER]},
    "/info": PRODUCER,
    "/stats": STATS,
}
ODD = st.sampled_from([
    None, True, -1, 0, 10**39, -(2**63), 2**63, 1e308, 99999, "", "\ud800x", "a..b", "u:p@h/x?",
    "x" * 5000, "9" * 5000 + ".0.0", "<script>", "a\nb", [], {}, [[]], [None], {"data": 5},
]) | st.floats() | st.text(max_size=5)  # fmt: skip


@st.composite
def mutated(draw, value):
    """``value`` with an odd one somewhere, or something left out or doubled."""
    if isinstance(value, dict) and value and draw(st.integers(0, 7)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 9)):
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: draw(mutated(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 7)):
        index = draw(st.integers(0, len(value) - 1))
        changed = draw(mutated(value[index]))
        return [*value[:index], changed, *value[index + draw(st.integers(0, 1)) :]]
    return draw(ODD)


ANSWERS = st.fixed_dictionaries({path: mutated(value) for path, value in WHOLE.items()})


class Daemon:
    """A client of daemons that all answer the same, without sockets."""

    def __init__(self, answers):
        self.answers = answers

    async def request(self, method, url, *, params=None, body=None, headers=None):
        await trio.lowlevel.checkpoint()
        path = "/" + url.split("/")[3].partition("?")[0]
        if path not in self.answers:
            raise RequestFailed("nobody there")
        text = json.dumps(self.answers[path]).replace("NaN", "1e999").replace("Infinity", "1e999")
        return HttpAnswer(200, text.encode())

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def look(answers):
    """Everything nsqadmin and nsqctl ask of a cluster."""
    async with Upstream() as upstream:
        upstream.http = Daemon(answers)
        for cluster in (Cluster(upstream, lookupds=("l:1",)), Cluster(upstream, nsqds=("n:1",))):
            found = []
            with suppress(AllFailed):
                await cluster.topics()
            for ask in (cluster.nodes, lambda cluster=cluster: cluster.producers("t")):
                with suppress(AllFailed):
                    found += (await ask()).value
            check_producers(found)
            with suppress(AllFailed):
                check_stats((await nsqd_stats(upstream, found, clients=True)).value)
        with suppress(UpstreamError):
            check_producers([await nsqd_info(upstream, "n:1")])


def check_producers(producers):
    for producer in producers:
        assert 0 < producer.http_port < 65536
        assert 0 <= producer.tcp_port < 65536
        assert not set(producer.broadcast_address) & set("/?#@ \n")
        assert producer.broadcast_address.isascii()
        check_shown(producer.to_json())


def check_stats(topics):
    for name, parts in group_topics(topics).items():
        shown = merge_topic(name, parts).to_json(10**18)
        check_shown(shown)
        assert 0 <= shown["depth"] < 2**63 * len(parts)


def check_shown(value):
    """It can be answered as JSON, written as UTF-8, and no number of it overflows."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list):
            pending += item.values() if isinstance(item, dict) else item
        elif isinstance(item, str):
            assert len(item) <= 5000
        elif isinstance(item, float):
            assert math.isfinite(item)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_no_answer_is_too_odd_to_be_read_or_refused(answers):
    trio.run(look, answers)


def test_what_is_right_is_read_whole():
    async def main():
        async with Upstream() as upstream:
            upstream.http = Daemon(WHOLE)
            nodes = (await Cluster(upstream, lookupds=("l:1",)).nodes()).value
            assert [node.http_address for node in nodes] == ["10.0.0.1:4151", "10.0.0.2:4151"]
            stats = (await nsqd_stats(upstream, nodes, clients=True)).value
            assert len(stats) == 4
            check_stats(stats)

    trio.run(main)
