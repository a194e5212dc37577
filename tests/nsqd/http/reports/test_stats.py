"""/stats, in JSON and in text."""

import json
import sys

import pytest
import trio

from nsqcore.metrics.quantile import LatencyWindow
from nsqd.http.reports.stats import StatsQuestion, human_duration, json_pieces

SECOND = 1_000_000_000
IDENTIFY = b'{"client_id":"cc","hostname":"host","user_agent":"ua/1"}'


def identify(body=IDENTIFY):
    return b"IDENTIFY\n" + len(body).to_bytes(4, "big") + body


def pub(topic, body=b"x"):
    return b"PUB %s\n" % topic + len(body).to_bytes(4, "big") + body


async def make(nsqd, topic, *channels):
    await nsqd.post(f"/topic/create?topic={topic}")
    for channel in channels:
        await nsqd.post(f"/channel/create?topic={topic}&channel={channel}")


async def test_fresh_nsqd_has_nothing_to_tell(nsqd):
    stats = await nsqd.stats()
    memory = stats.pop("memory")
    assert list(stats.items()) == [
        ("version", "1.3.0"),
        ("health", "OK"),
        ("start_time", 1_700_000_000),
        ("topics", []),
        ("producers", None),
    ]
    assert len(memory) == 9
    assert all(type(value) is int for value in memory.values())


_opened: list[str] | None = None


def _note_opened(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_note_opened)  # there is no way to remove it


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_look_reads_nothing_of_the_installed_package(nsqd, monkeypatch, form):
    """That takes as long as twenty looks."""
    await make(nsqd, "t", "c")
    monkeypatch.setitem(globals(), "_opened", [])
    answer = await nsqd.get(f"/stats?format={form}")
    assert answer.status == 200
    assert [path for path in _opened if not path.startswith("/proc/")] == []


async def test_consumer_and_producer_are_told_of_with_every_key(nsqd):
    await make(nsqd, "t", "c")
    nsqd.connect(identify() + pub(b"t") + pub(b"u") + pub(b"t"), port=7)
    nsqd.connect(identify() + b"SUB t c\nRDY 1\n", port=8)
    stats = await nsqd.stats()
    common = {
        "client_id": "cc",
        "hostname": "host",
        "version": "V2",
        "finish_count": 0,
        "requeue_count": 0,
        "connect_ts": 1_700_000_005,
        "sample_rate": 0,
        "deflate": False,
        "snappy": False,
        "user_agent": "ua/1",
        "topology_zone": "",
        "topology_region": "",
        "tls": False,
        "tls_cipher_suite": "",
        "tls_version": "",
        "tls_negotiated_protocol": "",
        "tls_negotiated_protocol_is_mutual": False,
    }
    assert stats["producers"] == [
        common
        | {
            "remote_address": "127.0.0.1:7",
            "state": 0,
            "ready_count": 0,
            "in_flight_count": 0,
            "message_count": 0,
            "pub_counts": [{"topic": "t", "count": 2}, {"topic": "u", "count": 1}],
        }
    ]
    channel = stats["topics"][0]["channels"][0]
    assert channel["client_count"] == 1
    assert channel["clients"] == [
        common
        | {
            "remote_address": "127.0.0.1:8",
            "state": 3,
            "ready_count": 1,
            "in_flight_count": 1,
            "message_count": 1,
        }
    ]


async def test_topics_and_channels_are_sorted_by_name(nsqd):
    for topic in ("zeta", "Mid", "10", "9"):
        await make(nsqd, topic, "z", "a")
    topics = (await nsqd.stats())["topics"]
    assert [topic["topic_name"] for topic in topics] == ["10", "9", "Mid", "zeta"]
    assert [channel["channel_name"] for channel in topics[0]["channels"]] == ["a", "z"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("&topic=one", [["one", "a", "b"]]),
        ("&topic=one&channel=b", [["one", "b"]]),
        ("&topic=one&channel=zz", []),
        ("&topic=unknown", None),
        ("&channel=a", [["one", "a"], ["two", "a"]]),
        ("&topic=&channel=", [["one", "a", "b"], ["three"], ["two", "a"]]),
    ],
)
async def test_filters_narrow_the_answer(nsqd, query, names):
    await make(nsqd, "one", "a", "b")
    await make(nsqd, "two", "a")
    await make(nsqd, "three")
    topics = (await nsqd.stats(query))["topics"]
    shown = topics and [
        [topic["topic_name"], *(channel["channel_name"] for channel in topic["channels"])]
        for topic in topics
    ]
    assert shown == names


async def test_who_may_know_of_a_topic_alone_hears_of_its_publishers_alone(nsqd):
    nsqd.connect(pub(b"mine") + pub(b"other"))
    nsqd.connect(pub(b"other"))
    for limited, count in ((True, 1), (False, 2)):
        question = StatsQuestion("mine", "", clients=True, memory=False, limited=limited)
        told = json.loads("".join(json_pieces(nsqd.api, question)))
        assert len(told["producers"]) == count
        assert "other" not in json.dumps(told)


async def test_topic_filter_narrows_what_clients_published(nsqd):
    nsqd.connect(pub(b"t") + pub(b"u"))
    (producer,) = (await nsqd.stats("&topic=u"))["producers"]
    assert producer["pub_counts"] == [{"topic": "u", "count": 1}]
    (producer,) = (await nsqd.stats("&topic=other"))["producers"]
    assert "pub_counts" not in producer


@pytest.mark.parametrize("value", ["false", "0"])
async def test_without_clients_there_are_only_their_numbers(nsqd, value):
    nsqd.connect(pub(b"t") + b"SUB t c\n")
    stats = await nsqd.stats(f"&include_clients={value}")
    channel = stats["topics"][0]["channels"][0]
    assert (channel["client_count"], channel["clients"]) == (1, None)
    assert stats["producers"] is None


@pytest.mark.parametrize("value", ["true", "1", "nonsense", ""])
async def test_clients_are_included_unless_the_answer_is_no(nsqd, value):
    nsqd.connect(pub(b"t") + b"SUB t c\n")
    stats = await nsqd.stats(f"&include_clients={value}")
    assert len(stats["topics"][0]["channels"][0]["clients"]) == 1
    assert len(stats["producers"]) == 1


@pytest.mark.parametrize(("value", "included"), [("false", False), ("0", False), ("x", True)])
async def test_memory_is_included_unless_the_answer_is_no(nsqd, value, included):
    assert ("memory" in await nsqd.stats(f"&include_mem={value}")) is included
    assert ("Memory:" in (await nsqd.get(f"/stats?include_mem={value}")).text) is included


@pytest.mark.parametrize("name", ["text", "JSON", "xml", ""])
async def test_anything_but_json_is_text(nsqd, name):
    answer = await nsqd.get(f"/stats?format={name}")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"


async def test_undecodable_query_is_refused(nsqd):
    assert (await nsqd.get("/stats?topic=%zz")).refusal == (400, "INVALID_REQUEST")


async def test_text_of_a_fresh_nsqd(nsqd):
    nsqd.time[0] = int(62.5 * SECOND)
    first, started, *lines = (await nsqd.get("/stats?include_mem=false")).text.split("\n")
    assert first.startswith("nsqd v1.3.0 (built w/")
    assert started.startswith("start_time 2023-11-1")
    assert lines == [
        "uptime 1m2.5s", "", "Health: OK", "", "Topics: None", "", "Producers: None", "",
    ]  # fmt: skip


async def test_the_uptime_does_not_go_back_with_the_wall_clock(nsqd):
    nsqd.broker.wall_offset -= 3600 * SECOND
    assert "\nuptime 5s\n" in (await nsqd.get("/stats")).text


async def test_text_of_topics_channels_and_clients(nsqd):
    await make(nsqd, "alpha", "one", "two")
    await make(nsqd, "beta")
    nsqd.connect(identify() + pub(b"alpha") * 4, port=7)
    consumer = nsqd.connect(identify() + b"SUB alpha one\nRDY 2\n", port=8)
    first, second = consumer.client.consumer.in_flight
    consumer.received(b"REQ %s 60000\nFIN %s\n" % (first, second))
    await nsqd.post("/channel/pause?topic=alpha&channel=two")
    await nsqd.post("/topic/pause?topic=beta")
    nsqd.time[0] += 63 * SECOND

    lines = (await nsqd.get("/stats?include_mem=false")).text.split("\n")[6:]

    assert lines == [
        "Topics:",
        "   [alpha          ] depth: 0     be-depth: 0     msgs: 4        e2e%: ",
        "      [one                      ] depth: 0     be-depth: 0     inflt: 2    def: 1   "
        " re-q: 1     timeout: 0     msgs: 4        e2e%: ",
        "        [V2 host:8 ua/1          ] state: 3 inflt: 2    rdy: 2    fin: 1       "
        " re-q: 1        msgs: 4        connected: 1m3s",
        "   *P [two                      ] depth: 4     be-depth: 0     inflt: 0    def: 0   "
        " re-q: 0     timeout: 0     msgs: 4        e2e%: ",
        "",
        "*P [beta           ] depth: 0     be-depth: 0     msgs: 0        e2e%: ",
        "",
        "Producers:",
        "   [V2 host:7 ua/1          ] msgs: 4        topics: alpha=4 connected: 1m3s",
        "",
    ]


async def test_text_without_matching_topics_says_so(nsqd):
    await make(nsqd, "t", "c")
    for query in ("topic=unknown", "topic=t&channel=unknown"):
        assert "\n\nTopics: None\n" in (await nsqd.get(f"/stats?{query}")).text


async def test_memory_section_of_the_text_is_aligned(nsqd):
    text = (await nsqd.get("/stats")).text
    lines = [line for line in text.split("\n") if line.startswith("   ")]
    assert lines[0].startswith("   heap_objects             \t")
    assert len(lines) == 9
    assert all(line[28] == "\t" and line[29:].isdecimal() for line in lines)


async def test_latencies_are_shown_where_they_are_tracked(make_nsqd):
    nsqd = make_nsqd(latency=lambda: LatencyWindow((1.0,), 600 * SECOND))
    consumer = nsqd.connect(pub(b"t") + b"SUB t c\nRDY 1\n")
    (id,) = consumer.client.consumer.in_flight
    nsqd.time[0] += 2 * SECOND
    consumer.received(b"FIN %s\n" % id)
    (topic,) = (await nsqd.stats())["topics"]
    for shown in (topic, topic["channels"][0]):
        latency = shown["e2e_processing_latency"]
        assert latency["count"] == 1
        assert latency["percentiles"][0]["quantile"] == 1
        assert latency["percentiles"][0]["value"] == pytest.approx(2 * SECOND, rel=0.02)
    assert (await nsqd.get("/stats")).text.count("e2e%: 2.0s\n") == 2


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0.0ns"), (999, "999.0ns"), (1500, "1.5us"), (2_250_000, "2.2ms"), (6e10, "60.0s")],
)
def test_durations_are_shown_in_the_unit_that_suits_them(nanoseconds, text):
    assert human_duration(nanoseconds) == text


async def test_long_answer_is_made_while_others_go_on(nsqd):
    for number in range(60):
        nsqd.broker.create_channel(f"t{number:02}", "c")
    nsqd.api.at_once.now = iter(
        range(0, 10**12, 1_000_000)
    ).__next__  # a millisecond passes at each look
    session = nsqd.start("/stats?format=json&include_mem=false")
    assert session.outbox.size == 0
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await nsqd.effect.run()
        nursery.cancel_scope.cancel()
    nsqd.effect.resume()
    assert turns > 10
    assert session.outbox.take().count(b'"topic_name"') == 60


async def test_topic_deleted_while_the_answer_is_made_does_no_harm(nsqd):
    for number in range(60):
        nsqd.broker.create_channel(f"t{number:02}", "c")
    nsqd.api.at_once.now = iter(range(0, 10**12, 1_000_000)).__next__
    session = nsqd.start("/stats?format=json&include_mem=false")
    for topic in list(nsqd.broker.topics.values()):
        nsqd.broker.delete_topic(topic)
    await nsqd.effect.run()
    nsqd.effect.resume()
    assert b'"channels":[]' in session.outbox.take()


@pytest.mark.slow
async def test_stats_of_a_thousand_topics_are_told_at_once(nsqd):
    for number in range(1000):
        for channel in ("a", "b"):
            nsqd.broker.create_channel(f"topic{number:04}", channel)
    stats = await nsqd.stats()
    assert len(stats["topics"]) == 1000
    assert all(len(topic["channels"]) == 2 for topic in stats["topics"])


async def test_a_channel_and_its_consumers_are_told_of_one_moment(nsqd):
    """Also where there are so many that the answer is made in slices, while they come and go."""
    await make(nsqd, "t", "c")
    consumers = [nsqd.connect(identify() + b"SUB t c\nRDY 1\n") for _ in range(350)]
    question = StatsQuestion(topic="", channel="", clients=True, memory=False)
    parts = []
    for part in json_pieces(nsqd.api, question):
        parts.append(part)
        if consumers:
            consumers.pop().closed(None)
            nsqd.connect(identify() + b"SUB t c\n")
            nsqd.connect(identify() + b"SUB t c\n")
    (topic,) = json.loads("".join(parts))["topics"]
    (channel,) = topic["channels"]
    assert channel["client_count"] == len(channel["clients"]) > 300
    assert channel["in_flight_count"] == sum(c["in_flight_count"] for c in channel["clients"])


async def test_channels_that_policies_speak_of_tell_what_was_refused_and_how_old_the_first_is(nsqd):
    for topic in ("plain", "ruled"):
        await nsqd.post(f"/topic/create?topic={topic}")
        await nsqd.post(f"/channel/create?topic={topic}&channel=c")
    policy = {"pattern": "ruled", "definition": {"max_depth": 2}}
    named = {"pattern": "ruled:*", "definition": {"dead_letter_topic": "graves"}}
    await nsqd.put("/policy/set?name=named", json.dumps(named).encode())
    await nsqd.put("/policy/set?name=p", json.dumps(policy).encode())
    for topic in ("plain", "ruled"):
        for _ in range(3):
            nsqd.broker.publish(topic, [b"1"], nsqd.time[0], lambda failure: None)
            nsqd.broker.dispatch(nsqd.time[0])
    nsqd.time[0] += 1_500_000_000
    plain, ruled = (await nsqd.stats())["topics"]
    (plain,), (ruled,) = plain["channels"], ruled["channels"]
    assert (ruled["depth"], ruled["rejected_count"], ruled["oldest_age_ms"]) == (2, 1, 1500)
    assert ruled["dead_letter_topic"] == "graves"
    assert "dead_letter_topic" not in plain
    assert "rejected_count" not in plain
    assert "oldest_age_ms" not in plain
    metrics = (await nsqd.get("/metrics")).text
    label = '{topic="ruled",channel="c"}'
    assert f"nsqd_channel_rejected_total{label} 1\n" in metrics
    assert f"nsqd_channel_oldest_message_age_seconds{label} 1.5\n" in metrics
    assert 'oldest_message_age_seconds{topic="plain"' not in metrics
