"""nsqlookupd's HTTP API, without sockets: a real registry behind real sessions."""

import json

import attrs
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families as parse

from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Peer, Wait
from nsqcore.wire.lookup import External
from nsqcore.wire.lookup import Peer as Nsqd
from nsqlookupd.context import Lookupd
from nsqlookupd.http import build_outside_router, build_router
from nsqlookupd.registry import Producer, Registry

SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND  # the wall clock when the monotonic one is 0


@attrs.define
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def refusal(self):
        assert list(self.json) == ["message"]
        return self.status, self.json["message"]


@attrs.define(eq=False)
class Daemon:
    """A registry and its API; ``time`` is its monotonic clock, in nanoseconds."""

    registry: Registry
    time: int = 0
    lookupd: Lookupd = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.lookupd = Lookupd(self.registry, lambda: self.time, lambda: WALL + self.time)

    async def ask(self, method, target, *, build=build_router):
        session = HttpSession(build(self.lookupd), Peer("127.0.0.1:9"))
        effect = session.received(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if isinstance(effect, Wait):
            await effect.run()
            effect.resume()
        head, _, body = session.outbox.take().decode().partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(int(status.split()[1]), headers, body)

    async def get(self, target):
        return await self.ask("GET", target)

    async def post(self, target):
        return await self.ask("POST", target)

    def producer(self, number, *registrations):
        peer = Nsqd(f"host{number}", 10 + number, 20 + number, "1.3.0", "n", topology_zone="z")
        made = Producer(f"10.0.0.{number}:1000", peer, self.time)
        self.registry.add(made)
        for registration in registrations:
            self.registry.register(made, *registration.split("/"))
        return made


@pytest.fixture
def daemon():
    return Daemon(Registry(300 * SECOND, 45 * SECOND))


async def test_lookup_tells_channels_and_everything_about_the_producers(daemon):
    daemon.producer(1, "t/c", "t/d#ephemeral")
    answer = await daemon.get("/lookup?topic=t")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
    assert answer.json == {
        "channels": ["c", "d#ephemeral"],
        "producers": [
            {
                "remote_address": "10.0.0.1:1000",
                "hostname": "n",
                "broadcast_address": "host1",
                "tcp_port": 11,
                "http_port": 21,
                "version": "1.3.0",
                "topology_region": "",
                "topology_zone": "z",
            }
        ],
    }


async def test_those_outside_are_told_of_external_addresses(daemon):
    inside = daemon.producer(1, "t/c")
    daemon.producer(2, "t/c")
    inside.peer = attrs.evolve(inside.peer, external=External("nsq.example.com", 9150, 0))
    for target in "/lookup?topic=t", "/nodes":
        answer = await daemon.ask("GET", target, build=build_outside_router)
        told = {(p["broadcast_address"], p["tcp_port"]) for p in answer.json["producers"]}
        assert told == {("nsq.example.com", 9150), ("host2", 12)}
        answer = await daemon.get(target)
        told = {(p["broadcast_address"], p["tcp_port"]) for p in answer.json["producers"]}
        assert told == {("host1", 11), ("host2", 12)}
        assert "external" not in answer.body


async def test_those_outside_can_only_ask(daemon):
    daemon.producer(1, "t/c")
    for target in "/topic/delete?topic=t", "/topic/tombstone?topic=t&node=host1:21", "/debug":
        answer = await daemon.ask("POST", target, build=build_outside_router)
        assert answer.status == 404
    assert (await daemon.get("/topics")).json == {"topics": ["t"]}


async def test_a_producer_is_written_in_the_order_of_the_original(daemon):
    daemon.producer(1, "t/c")
    (told,) = (await daemon.get("/lookup?topic=t")).json["producers"]
    names = "remote_address hostname broadcast_address tcp_port http_port version"
    assert list(told)[:6] == names.split()


async def test_lookup_tells_of_each_active_producer_once(daemon):
    daemon.producer(1, "t/a", "t/b")
    daemon.time = 200 * SECOND
    daemon.producer(2, "t/b", "t/c")
    found = (await daemon.get("/lookup?topic=t")).json
    assert sorted(found["channels"]) == ["a", "b", "c"]
    assert [producer["http_port"] for producer in found["producers"]] == [21, 22]
    daemon.time = 301 * SECOND
    found = (await daemon.get("/lookup?topic=t")).json
    assert [producer["http_port"] for producer in found["producers"]] == [22]


async def test_what_a_producer_says_of_itself_cannot_break_the_answer(daemon):
    odd = Producer("10.0.0.9:9", Nsqd('a"\\\n\udcff', 1, 2, "</script>"), 0)
    daemon.registry.add(odd)
    daemon.registry.register(odd, "t")
    (producer,) = (await daemon.get("/lookup?topic=t")).json["producers"]
    assert producer["broadcast_address"] == 'a"\\\n\udcff'
    assert len((await daemon.get("/nodes")).json["producers"]) == 1


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("/lookup", 400, "MISSING_ARG_TOPIC"),
        ("/lookup?topic=unknown", 404, "TOPIC_NOT_FOUND"),
        ("/lookup?topic=a%24", 404, "TOPIC_NOT_FOUND"),
        ("/lookup?topic=%zz", 400, "INVALID_REQUEST"),
        ("/channels", 400, "MISSING_ARG_TOPIC"),
        ("/nowhere", 404, "NOT_FOUND"),
        ("/topic/create?topic=x", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(daemon, target, status, message):
    assert (await daemon.get(target)).refusal == (status, message)


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("/topic/create", 400, "MISSING_ARG_TOPIC"),
        ("/topic/create?topic=a%24", 400, "INVALID_ARG_TOPIC"),
        ("/topic/delete", 400, "MISSING_ARG_TOPIC"),
        ("/topic/tombstone?node=a:1", 400, "MISSING_ARG_TOPIC"),
        ("/topic/tombstone?topic=t", 400, "MISSING_ARG_NODE"),
        ("/channel/create?channel=c", 400, "MISSING_ARG_TOPIC"),
        ("/channel/create?topic=t", 400, "MISSING_ARG_CHANNEL"),
        ("/channel/create?topic=%24&channel=c", 400, "INVALID_ARG_TOPIC"),
        ("/channel/create?topic=t&channel=%24", 400, "INVALID_ARG_CHANNEL"),
        ("/channel/delete?topic=t&channel=c", 404, "CHANNEL_NOT_FOUND"),
        ("/channel/delete?topic=t", 400, "MISSING_ARG_CHANNEL"),
        ("/lookup?topic=t", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_an_order_that_makes_no_sense_changes_nothing(daemon, target, status, message):
    assert (await daemon.post(target)).refusal == (status, message)
    assert not daemon.registry.topics


async def test_topics_and_channels_can_be_made_and_deleted(daemon):
    answer = await daemon.post("/channel/create?topic=t&channel=c")
    assert (answer.status, answer.body) == (200, "")
    await daemon.post("/topic/create?topic=u")
    assert (await daemon.get("/topics")).json == {"topics": ["t", "u"]}
    assert (await daemon.get("/channels?topic=t")).json == {"channels": ["c"]}
    assert (await daemon.post("/channel/delete?topic=t&channel=c")).status == 200
    assert (await daemon.get("/lookup?topic=t")).json == {"channels": [], "producers": []}
    assert (await daemon.post("/topic/delete?topic=t")).status == 200
    assert (await daemon.post("/topic/delete?topic=t")).status == 200
    assert (await daemon.get("/topics")).json == {"topics": ["u"]}
    assert (await daemon.get("/channels?topic=t")).json == {"channels": []}


async def test_a_tombstone_hides_a_producer_and_is_shown_among_the_nodes(daemon):
    daemon.producer(1, "t", "u")
    daemon.producer(2, "t")
    assert (await daemon.post("/topic/tombstone?topic=t&node=host1:21")).status == 200
    found = (await daemon.get("/lookup?topic=t")).json["producers"]
    assert [producer["http_port"] for producer in found] == [22]
    nodes = (await daemon.get("/nodes")).json["producers"]
    assert [(n["topics"], n["tombstones"]) for n in nodes] == [
        (["t", "u"], [True, False]),
        (["t"], [False]),
    ]
    daemon.time = 45 * SECOND
    assert len((await daemon.get("/lookup?topic=t")).json["producers"]) == 2


async def test_nodes_tells_of_active_producers_only(daemon):
    daemon.producer(1)
    assert (await daemon.get("/nodes")).json["producers"][0]["topics"] == []
    daemon.time = 301 * SECOND
    assert (await daemon.get("/nodes")).json == {"producers": []}


async def test_debug_tells_of_every_registration(daemon):
    assert (await daemon.get("/debug")).json == {}
    daemon.time = 7
    daemon.producer(1, "t/c")
    await daemon.post("/channel/create?topic=bare&channel=c")
    await daemon.post("/topic/tombstone?topic=t&node=host1:21")
    found = (await daemon.get("/debug")).json
    assert set(found) == {"client::", "topic:t:", "channel:t:c"}
    (topic,), (channel,) = found["topic:t:"], found["channel:t:c"]
    assert topic["id"] == "10.0.0.1:1000"
    assert (topic["tombstoned"], topic["tombstoned_at"]) == (True, WALL + 7)
    assert channel["tombstoned"] is False
    assert topic["last_update"] == WALL + 7


async def test_ping_info_and_probes_answer(daemon):
    assert (await daemon.get("/ping")).body == "OK"
    assert (await daemon.get("/info")).json == {"version": "1.3.0"}
    assert (await daemon.get("/livez")).status == 200
    assert (await daemon.get("/readyz")).json["status"] == "ready"


@pytest.mark.parametrize("trouble", [{"lag": 2.0}, {"stopping": True}])
async def test_who_is_late_or_stopping_is_not_ready(daemon, trouble):
    daemon.lookupd.lag.seconds = trouble.get("lag", 0.0)
    daemon.lookupd.stopping = trouble.get("stopping", False)
    answer = await daemon.get("/readyz")
    assert (answer.status, answer.json["status"]) == (503, "not ready")


async def test_metrics_count_what_is_registered(daemon):
    daemon.producer(1, "t/c", "u")
    await daemon.post("/topic/create?topic=bare")
    found = {
        sample.name: sample.value
        for family in parse((await daemon.get("/metrics")).body)
        for sample in family.samples
    }
    assert found["nsqlookupd_topics"] == 3
    assert found["nsqlookupd_topics_without_producers"] == 1
    assert found["nsqlookupd_registrations"] == 2
    assert found["nsqlookupd_channels"] == 1
    assert found["nsqlookupd_active_producers"] == 1
    assert found["nsqlookupd_build_info"] == 1
    assert found["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize(
    "name", ["", "/cmdline", "/symbol", "/goroutine", "/heap", "/block", "/threadcreate"]
)
async def test_the_process_can_be_looked_into(daemon, name):
    answer = await daemon.get(f"/debug/pprof{name}")
    assert answer.status == 200
    assert answer.body


async def test_a_profile_of_no_length_is_refused(daemon):
    answer = await daemon.get("/debug/pprof/profile?seconds=long")
    assert answer.status == 400
    assert answer.body.startswith("invalid seconds: ")


async def test_a_star_stands_for_every_topic(daemon):
    daemon.producer(1, "t/a", "u/b")
    daemon.producer(2, "u/c")
    await daemon.post("/channel/create?topic=v&channel=d")
    assert sorted((await daemon.get("/channels?topic=*")).json["channels"]) == ["a", "b", "c", "d"]
    found = (await daemon.get("/lookup?topic=*")).json
    assert sorted(found["channels"]) == ["a", "b", "c", "d"]
    assert [producer["http_port"] for producer in found["producers"]] == [21, 22]


async def test_a_star_finds_nothing_where_there_is_nothing(daemon):
    assert (await daemon.get("/channels?topic=*")).json == {"channels": []}
    assert (await daemon.get("/lookup?topic=*")).refusal == (404, "TOPIC_NOT_FOUND")


async def test_a_star_deletes_every_topic(daemon):
    one = daemon.producer(1, "a/x", "b/y")
    daemon.registry.create("c", "z")
    assert (await daemon.post("/topic/delete?topic=*")).status == 200
    assert (await daemon.get("/topics")).json == {"topics": []}
    assert (await daemon.get("/channels?topic=*")).json == {"channels": []}
    (node,) = (await daemon.get("/nodes")).json["producers"]
    assert (node["hostname"], node["topics"]) == (one.peer.hostname, [])
    daemon.registry.register(one, "a")
    assert (await daemon.get("/topics")).json == {"topics": ["a"]}


async def test_a_star_deletes_no_topic_that_comes_meanwhile(daemon):
    for number in range(3):
        daemon.producer(number, f"t{number}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.post, "/topic/delete?topic=*")
        await wait_until_it_has_begun(daemon.registry)
        daemon.registry.delete_topic("t2")
        anew = daemon.registry.create("t2")
    assert list(daemon.registry.topics.values()) == [anew]


async def wait_until_it_has_begun(registry):
    while "t0" in registry.topics:
        await trio.lowlevel.checkpoint()
    assert "t2" in registry.topics


async def test_a_star_tombstones_a_producer_in_every_topic(daemon):
    daemon.producer(1, "a", "b")
    daemon.producer(2, "a")
    assert (await daemon.post("/topic/tombstone?topic=*&node=host1:21")).status == 200
    first, second = (await daemon.get("/nodes")).json["producers"]
    assert first["tombstones"] == [True, True]
    assert second["tombstones"] == [False]


async def test_a_star_deletes_no_channel(daemon):
    daemon.producer(1, "a/x")
    refused = await daemon.post("/channel/delete?topic=*&channel=x")
    assert refused.refusal == (400, "INVALID_ARG_TOPIC")
    refused = await daemon.post("/channel/delete?topic=a&channel=*")
    assert refused.refusal == (400, "INVALID_ARG_CHANNEL")
    assert (await daemon.get("/channels?topic=a")).json == {"channels": ["x"]}
