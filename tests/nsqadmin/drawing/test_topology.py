import re

import pytest
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.collect.snapshot import LookupdState, NodeState, Snapshot
from nsqadmin.drawing.topology import BOX, MAX_ROWS, breadth, cut, cut_host, fit, lay_out
from nsqcore.cluster.merge import merge_topic
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import TopicStats


def cluster(nodes=3, topics=4, channels=2):
    states = []
    for number in range(nodes):
        producer = Producer(
            broadcast_address=f"10.0.0.{number}", http_port=4151, hostname=f"n{number}"
        )
        raw = [
            topic(f"t{t:03d}", [channel(f"c{c}", [client()]) for c in range(channels)])
            for t in range(topics)
        ]
        found = tuple(TopicStats.from_json(item, producer) for item in raw)
        states.append(NodeState(producer=producer, topics=found))
    names = {f"t{t:03d}": [state.topics[t] for state in states] for t in range(topics)}
    lookupd = LookupdState(address="l:4161", nodes=frozenset(s.address for s in states[1:]))
    merged = {name: merge_topic(name, parts) for name, parts in names.items()}
    return Snapshot(version=1, nodes=tuple(states), lookupds=(lookupd,), topics=merged)


def overlaps(drawing):
    columns = {}
    for box in drawing.boxes:
        columns.setdefault(box.kind, []).append(box.y)
    return any(
        second - first < BOX
        for heights in columns.values()
        for first, second in zip(sorted(heights), sorted(heights)[1:], strict=False)
    )


def test_small_and_large_clusters_are_drawn_without_overlaps():
    for nodes in (1, 3, 50):
        drawing = lay_out(cluster(nodes=nodes))
        assert sum(box.kind == "node" for box in drawing.boxes) == nodes
        assert not overlaps(drawing)
        assert all(0 < box.y < drawing.height - BOX for box in drawing.boxes)


def test_every_line_joins_two_boxes():
    drawing = lay_out(cluster())
    ids = {box.id for box in drawing.boxes}
    assert drawing.edges
    assert all(edge.start in ids and edge.end in ids for edge in drawing.edges)
    assert all(re.fullmatch(r"M[\d .C]+", edge.path) for edge in drawing.edges)


def test_a_node_that_an_nsqlookupd_does_not_know_is_a_missing_line():
    states = [edge.state for edge in lay_out(cluster()).edges if edge.start == "lookupd:l:4161"]
    assert sorted(states) == ["missing", "registered", "registered"]


def test_too_many_topics_are_left_out_and_counted():
    drawing = lay_out(cluster(topics=200, channels=1))
    assert drawing.topics == MAX_ROWS
    assert drawing.left_out == 200 - MAX_ROWS


def test_the_busiest_topics_are_drawn():
    snapshot = cluster(topics=200, channels=1)
    snapshot.topics["t150"].rate = 99.0
    assert "topic:t150" in {box.id for box in lay_out(snapshot).boxes}


def test_a_search_draws_what_fits():
    drawing = lay_out(cluster(), "t002")
    assert [box.name for box in drawing.boxes if box.kind == "topic"] == ["t002"]


@pytest.mark.parametrize(
    ("hosts", "ports", "shown"),
    [
        (("a", "b"), (4150, 4150), ["a", "b"]),
        (("vm", "vm"), (4150, 5150), ["vm:4150", "vm:5150"]),
        (("vm", "vm"), (4150, 4150), ["10.0.0.0:4151", "10.0.0.1:4151"]),
    ],
)
def test_nodes_have_names_that_tell_them_apart(hosts, ports, shown):
    nodes = tuple(
        NodeState(producer=Producer(
            broadcast_address=f"10.0.0.{number}", http_port=4151, hostname=host, tcp_port=port,
        ))
        for number, (host, port) in enumerate(zip(hosts, ports, strict=True))
    )  # fmt: skip
    boxes = lay_out(Snapshot(version=1, nodes=nodes)).boxes
    assert [box.shown for box in boxes if box.kind == "node"] == shown


def test_a_name_is_shown_as_far_as_its_letters_leave_room():
    assert fit("illicit.filter-list", 9.0, cut) == "illicit.filter-list"
    assert fit("wwwwwwwww", 9.0, cut) == "wwwwwwwww"
    for name in ("ホスト名.例え.jp" * 3, "w" * 64, "i" * 64, "topic-17.orders-of-the-day"):
        assert breadth(fit(name, 9.0, cut)) <= 9.0
        assert "…" in fit(name, 9.0, cut)


def test_an_empty_cluster_is_drawn_too():
    assert lay_out(Snapshot()).boxes == []


def test_a_long_name_keeps_its_beginning_and_end():
    assert cut("a-very-long-name-of-a-topic", 11) == "a-ver…topic"[:11]
    assert len(cut("x" * 100, 20)) == 20
    assert cut("short", 20) == "short"


async def test_the_drawing_leads_to_pages(site):
    async with site() as s:
        page = await s.page("/topology")
        assert 'href="/topics/orders/billing"' in page
        assert f'href="/nodes/{s.nsqds[0].address.replace(":", "%3A")}"' in page
        assert "Nothing fits" in await s.page("/topology?q=nothing-like-this")


async def test_who_consumes_is_drawn_with_the_channel(site):
    crowd = [client(number, hostname=f"w{number % 2}") for number in range(5)]
    async with site([FakeNsqd([topic("t", [channel("c", crowd), channel("d")])])]) as s:
        page = await s.page("/topology")
        assert "+1 · 5" in page
        assert "no consumers" in page


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nsqd-17.example", "nsqd-17.example"),
        ("nsqd-17.dc1.example.net", "nsqd-17.dc1…"),
        ("nsqd-17.dc1.example.net:4150", "nsqd-17…:4150"),
        ("10.100.200.300:41500", "10.100.…0:41500"),
        ("ahostwithoutanydomain", "ahostwi…ydomain"),
        ("fe80::1234:5678:9abc:def0", "fe80::1…bc:def0"),
    ],
)
def test_hosts_with_too_long_a_name_lose_their_domain(name, shown):
    assert cut_host(name, 15) == shown


def test_thirty_topics_are_two_screens_with_nsqlookupd_on_the_first():
    drawing = lay_out(cluster(topics=30, channels=1))
    assert drawing.height < 1400
    assert all(box.y < 600 for box in drawing.boxes if box.kind == "lookupd")


def test_containers_go_by_the_name_they_announce():
    def name(hostname, announced):
        producer = Producer(broadcast_address=announced, http_port=4151, hostname=hostname)
        return NodeState(producer=producer).name

    assert name("0f3a9c2b7d11", "nsqd-1") == "nsqd-1"
    assert name("0f3a9c2b7d11", "10.0.0.7") == "0f3a9c2b7d11"
    assert name("db-host", "nsqd-1") == "db-host"
    assert name("", "10.0.0.7") == "10.0.0.7:4151"
