"""`nsqctl doctor`: every check on values, and the whole on real daemons that are not well."""

import json
from collections.abc import Callable

import pytest
import trio
from attrs import fields
from tests.e2e.daemons import Daemon, wait_until
from tests.fakes.fake_http import fake_server
from tests.nsqctl.program import Pair, nsqctl, nsqctl_json

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqcore.cluster.upstream import Probe, Upstream
from nsqctl.doctor import checks
from nsqctl.doctor.checks import (
    Finding,
    check_addresses,
    check_consumers,
    check_doors,
    check_hosts,
    check_journals,
    check_lookupds,
    check_nsqds,
    check_promises,
    check_registration,
    check_versions,
)
from nsqctl.doctor.doors import Doors, try_http
from nsqctl.doctor.examine import Examined, NsqdState, apart, examine_host, examine_journal

NODE = "nsqd a:4151"


def state(host: str = "a", **known: object) -> NsqdState:
    version = str(known.pop("version", "1.3.0"))
    producer = Producer(broadcast_address=host, http_port=4151, tcp_port=4150, version=version)
    return NsqdState(producer, **known)  # type: ignore[arg-type]


def cluster(*states: NsqdState, lookupds: tuple[str, ...] = ("l1", "l2"), **known: object):
    made = Examined(lookupds, **known)  # type: ignore[arg-type]
    made.nsqds = {one.name: one for one in states}
    return made


def channel(name: str, depth: int, clients: int) -> ChannelStats:
    return ChannelStats(
        node="a", topic_name="orders", channel_name=name, depth=depth, client_count=clients
    )


def only(findings: object) -> Finding:
    (finding,) = findings  # type: ignore[misc]
    assert finding.advice
    return finding  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "check",
    [
        check_lookupds,
        check_nsqds,
        check_addresses,
        check_registration,
        check_versions,
        check_hosts,
        check_journals,
        check_promises,
        check_consumers,
        check_doors,
    ],
)
def test_nothing_is_found_where_all_is_well(check: Callable[[Examined], list[Finding]]):
    topic = TopicStats(node="a", topic_name="orders", channels=[channel("kitchen", 5, 1)])
    well = {"registered_at": {"l1", "l2"}, "health": "OK", "skew": 0.3, "disk_free": 0.5}
    assert not list(check(cluster(state("a", stats=[topic], **well), state("b", **well))))


def test_a_topic_that_is_not_kept_alike_everywhere_is_found():
    def has(durability: str) -> list[TopicStats]:
        return [
            TopicStats(node="", topic_name="orders", durability=durability),
            TopicStats(node="", topic_name="alike", durability="os"),
        ]

    nsqds = [
        state("a", stats=has("os")),
        state("b", stats=has("always")),
        state("c", stats=has("")),
    ]
    finding = only(check_promises(cluster(*nsqds)))
    assert (finding.level, finding.subject) == ("warning", "topic orders")
    assert finding.problem.endswith("always at b:4151; none at c:4151; os at a:4151")


def test_every_open_door_is_named_and_no_error():
    found = cluster()
    found.doors = Doors(**{kind.name: {f"nsqd {kind.name}:1"} for kind in fields(Doors)})
    found.doors.http.add("nsqlookupd b:2")
    findings = list(check_doors(found))
    assert {finding.level for finding in findings} == {"open"}
    named = {finding.subject for finding in findings}
    assert named == {
        "nsqd http:1, nsqlookupd b:2",
        *(f"nsqd {kind.name}:1" for kind in fields(Doors) if kind.name != "http"),
    }


async def knock(handler) -> Doors:
    """What is found at an nsqd whose HTTP is served by ``handler``."""
    doors = Doors()
    async with fake_server(handler) as server, Upstream() as stranger:
        await try_http(doors, stranger, "nsqd", server.address)
    return doors


async def test_a_door_is_open_if_who_shows_nothing_is_let_in():
    doors = await knock(lambda asked: (200, {}))
    assert len(doors.http) == len(doors.pages) == 1
    doors = await knock(lambda asked: (403 if "origin" in asked.headers else 200, {}))
    assert (len(doors.http), len(doors.pages)) == (1, 0)
    doors = await knock(lambda asked: (401, {}))
    assert (len(doors.http), len(doors.metrics), len(doors.clear)) == (0, 0, 1)
    doors = await knock(lambda asked: (200 if asked.path == "/metrics" else 401, {}))
    assert (len(doors.http), len(doors.metrics)) == (0, 1)


def test_an_nsqlookupd_that_does_not_answer_is_an_error():
    finding = only(check_lookupds(cluster(dead_lookupds={"l2": "connection refused"})))
    assert finding.level == "error"
    assert finding.subject == "nsqlookupd l2"
    assert "connection refused" in finding.problem


def test_a_cluster_without_nsqds_is_an_error():
    assert only(check_nsqds(cluster())).problem == "no nsqd is registered"
    assert not list(check_nsqds(cluster(lookupds=("l1",), dead_lookupds={"l1": "gone"})))


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ({"unresolvable": "a: unknown"}, "its broadcast address does not resolve: a: unknown"),
        ({"tcp_error": "refused"}, "consumers cannot connect to a:4150: refused"),
        ({"http_error": "refused"}, "its HTTP API does not answer: refused"),
    ],
)
def test_an_address_that_cannot_be_used_is_an_error(known: dict[str, str], problem: str):
    finding = only(check_addresses(cluster(state(**known))))
    assert (finding.level, finding.subject, finding.problem) == ("error", NODE, problem)


def test_an_nsqd_that_only_some_nsqlookupds_know_is_a_warning():
    finding = only(check_registration(cluster(state(registered_at={"l1"}))))
    assert (finding.level, finding.problem) == ("warning", "not registered at l2")


def test_an_nsqd_cannot_be_registered_where_nobody_answers():
    found = cluster(state(registered_at={"l1"}), dead_lookupds={"l2": "gone"})
    assert not list(check_registration(found))


def test_nsqds_that_were_named_need_not_be_registered():
    assert not list(check_registration(cluster(state(), lookupds=())))


def test_different_versions_are_a_warning_that_tells_who_has_which():
    found = cluster(state("a", version="1.2.1"), state("b"), state("c", version=""))
    problem = only(check_versions(found)).problem
    assert problem == "different versions: 1.2.1: a:4151; 1.3.0: b:4151; unknown: c:4151"


def test_an_nsqd_that_says_it_is_not_well_is_an_error():
    finding = only(check_hosts(cluster(state(health="NOK - no space left"))))
    assert (finding.level, finding.problem) == ("error", "unhealthy: NOK - no space left")


@pytest.mark.parametrize(("free", "level"), [(0.09, "warning"), (0.01, "error")])
def test_a_disk_that_fills_is_a_warning_and_then_an_error(free: float, level: str):
    finding = only(check_hosts(cluster(state(disk_free=free))))
    assert finding.level == level
    assert f"{free:.0%} left" in finding.problem


@pytest.mark.parametrize(("free", "level"), [(1999, "warning"), (999, "error")])
def test_an_nsqd_near_its_least_of_free_bytes_is_a_warning_and_then_an_error(free: int, level: str):
    finding = only(check_hosts(cluster(state(free_bytes=free, min_free_bytes=1000))))
    assert finding.level == level
    assert finding.problem == f"{free:,} bytes are free, --min-free-bytes is 1,000"
    assert not list(check_hosts(cluster(state(free_bytes=2000, min_free_bytes=1000))))


@pytest.mark.parametrize(("skew", "how"), [(2.5, "2.5 s ahead of"), (-60.0, "60.0 s behind")])
def test_clocks_that_are_apart_are_a_warning(skew: float, how: str):
    assert how in only(check_hosts(cluster(state(skew=skew)))).problem


@pytest.mark.parametrize(
    ("asked", "answered", "ahead"), [(100, 100.5, 0), (90, 103, 0), (90, 98, 2), (103, 110, -2)]
)
def test_an_answer_that_takes_long_is_no_clock_that_is_wrong(
    asked: float, answered: float, ahead: float
):
    assert apart(100, 101, asked, answered) == ahead


def test_a_channel_without_consumers_on_any_nsqd_is_a_warning_with_its_messages():
    here = TopicStats(node="a", topic_name="orders", channels=[channel("old", 1000, 0)])
    there = TopicStats(node="b", topic_name="orders", channels=[channel("old", 234, 0)])
    finding = only(check_consumers(cluster(state("a", stats=[here]), state("b", stats=[there]))))
    assert finding.subject == "channel orders/old"
    assert finding.problem == "no consumers, 1,234 messages queued"
    there.channels[0].client_count = 1
    assert not list(check_consumers(cluster(state("a", stats=[here]), state("b", stats=[there]))))


def test_messages_that_wait_for_a_first_channel_are_a_warning():
    topic = TopicStats(node="a", topic_name="orders", depth=7)
    finding = only(check_consumers(cluster(state(stats=[topic]))))
    assert (finding.subject, finding.problem) == (
        "topic orders",
        "7 messages wait for a first channel",
    )


# ------------------------------------------------------------------ real daemons


@pytest.fixture
def _any_disk(monkeypatch: pytest.MonkeyPatch):
    """However full the disk of this machine is, it is no finding."""
    monkeypatch.setattr(checks, "MIN_FREE", 0.0)


def problems(*options: str, status: int) -> dict[str, str]:
    """Subject and problem of every finding but open doors."""
    found = nsqctl_json("doctor", *options, status=status)
    assert all(set(one) == {"level", "subject", "problem", "advice"} for one in found)
    return {one["subject"]: one["problem"] for one in found if one["level"] != "open"}


@pytest.mark.slow
@pytest.mark.usefixtures("_any_disk")
def test_a_cluster_that_is_well_has_no_errors(pair: Pair):
    found = problems(pair.option, status=0)
    assert found == {"channel orders/kitchen": "no consumers, 5 messages queued"}
    assert problems(*pair.nsqd_options, status=0) == found
    out = nsqctl("doctor", pair.option)[0].splitlines()
    assert out[:3] == [
        "warning channel orders/kitchen",
        "  no consumers, 5 messages queued",
        "  -> start its consumers, or delete the channel: it keeps every message",
    ]
    assert out[-1] == "1 nsqlookupd, 2 nsqd examined: 1 finding, 4 kinds of open doors"
    pair.nsqds[0].post("/topic/delete?topic=orders")
    pair.nsqds[1].post("/topic/delete?topic=orders")
    well = nsqctl("doctor", pair.option)[0].splitlines()[-1]
    examined = "1 nsqlookupd, 2 nsqd examined"
    assert well == f"{examined}: nothing to complain about, 4 kinds of open doors"


@pytest.mark.slow
@pytest.mark.usefixtures("_any_disk")
def test_what_is_wrong_with_a_cluster_is_found(daemon: Callable[..., Daemon]):
    lookupds = [daemon("nsqlookupd"), daemon("nsqlookupd")]
    everywhere = [f"--lookupd-tcp-address={one.tcp}" for one in lookupds]
    well = daemon("nsqd", *everywhere)
    hidden = daemon("nsqd", *everywhere, "--broadcast-address=no-such-host.invalid")
    half = daemon("nsqd", everywhere[0])
    closed = daemon("nsqd", *everywhere, "--broadcast-tcp-port=1")
    wait_until(lambda: len(lookupds[0].get("/nodes")["producers"]) == 4)
    wait_until(lambda: len(lookupds[1].get("/nodes")["producers"]) == 3)
    options = [f"--lookupd-http-address={one.http}" for one in lookupds]
    found = problems(*options, status=1)
    assert f"nsqd {well.http}" not in found
    unresolved = found[f"nsqd no-such-host.invalid:{hidden.http_port}"]
    assert unresolved.startswith("its broadcast address does not resolve: no-such-host.invalid: ")
    assert found[f"nsqd {half.http}"] == f"not registered at {lookupds[1].http}"
    refused = found[f"nsqd {closed.http}"]
    assert refused == "consumers cannot connect to 127.0.0.1:1: connection refused"
    assert len(found) == 3
    lookupds[1].kill()
    found = problems(*options, status=1)
    assert found[f"nsqlookupd {lookupds[1].http}"].startswith("does not answer: ")
    assert f"nsqd {half.http}" not in found


@pytest.mark.slow
@pytest.mark.usefixtures("_any_disk")
def test_daemons_that_are_gone_are_found(pair: Pair):
    pair.nsqds[1].kill()
    found = problems(*pair.nsqd_options, status=1)
    assert "connection refused" in found[f"nsqd {pair.nsqds[1].http}"]
    pair.nsqds[0].terminate()
    pair.lookupd.kill()
    assert list(problems(pair.option, status=1)) == [f"nsqlookupd {pair.lookupd.http}"]


@pytest.mark.slow
def test_an_nsqlookupd_without_nsqds_is_found(daemon: Callable[..., Daemon]):
    option = f"--lookupd-http-address={daemon('nsqlookupd').http}"
    assert problems(option, status=1) == {"cluster": "no nsqd is registered"}


@pytest.mark.parametrize(
    ("readyz", "date", "disk_free"),
    [
        ({"time": 10**400, "disk_free": 10**400}, "Mon, 01 Jan 99999 00:00:00 GMT", None),
        ({"time": True, "disk_free": None}, "nonsense", None),
        ({"time": 5.0, "disk_free": None}, "", None),
        ({"time": 5.0, "disk_free": 0.5}, "", 0.5),
        ([], "", None),
    ],
)
async def test_an_odd_answer_of_one_host_ends_no_check_up(readyz, date, disk_free):
    """Numbers beyond all bounds in an answer."""

    class Nsqd:
        async def probe(self, address, path):
            await trio.lowlevel.checkpoint()
            return Probe(200, json.dumps(readyz).encode(), date)

    state = NsqdState(Producer(broadcast_address="h", http_port=1))
    await examine_host(Cluster(Nsqd(), nsqds=("h:1",)), state)
    assert state.disk_free == disk_free


@pytest.mark.parametrize(
    ("known", "level", "problem"),
    [
        ({"sync_ms": 80.0}, "warning", "its last sync took 80 ms"),
        ({"full_files": 5}, "warning", "5 files of its journal wait for a checkpoint"),
        ({"failed_files": 1}, "error", "writes to 1 files of its journal failed"),
        ({"damaged": 3}, "error", "3 messages of durable topics are damaged"),
    ],
)
def test_a_journal_that_is_not_well_is_found(known: dict[str, object], level: str, problem: str):
    finding = only(check_journals(cluster(state(**known), state("b", sync_ms=5.0, full_files=2))))
    assert (finding.level, finding.subject, finding.problem) == (level, NODE, problem)


@pytest.mark.parametrize(
    ("told", "sync_ms", "full", "damaged"),
    [
        (
            {
                "in_use": True,
                "last_commit_ms": 0.5,
                "journal": {"full": 2},
                "damaged": 1,
                "lost": 2,
            },
            0.5,
            2,
            3,
        ),
        ({"in_use": False, "last_commit_ms": 99.0, "journal": {"full": 9}}, None, 0, 0),
        ({"in_use": True, "last_commit_ms": "x", "journal": [], "damaged": -1}, 0.0, 0, 0),
        ({"message": "NOT_FOUND"}, None, 0, 0),
        ([], None, 0, 0),
    ],
)
async def test_only_what_uses_its_journal_tells_of_it(told, sync_ms, full, damaged):
    class Nsqd:
        async def probe(self, address, path):
            await trio.lowlevel.checkpoint()
            return Probe(200, json.dumps(told).encode(), "")

    state = NsqdState(Producer(broadcast_address="h", http_port=1))
    await examine_journal(Cluster(Nsqd(), nsqds=("h:1",)), state)
    assert (state.sync_ms, state.full_files, state.damaged) == (sync_ms, full, damaged)
