"""`nsqctl topics|channels|nodes|lookup|stats`, asked of real daemons."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.e2e.peer import Peer, body
from tests.nsqctl.program import NSQCTL, Pair, nsqctl, nsqctl_json
from tests.support import forks

pytestmark = pytest.mark.slow


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_topics_are_summed_over_the_nsqds_and_the_forgotten_are_there_too(steady: Pair):
    out, _ = nsqctl("topics", steady.option)
    header, orders, forgotten = rows(out)
    assert header == ["topic", "depth", "on", "disk", "messages", "channels", "nsqds", "paused"]
    assert orders == ["orders", "0", "0", "5", "1", "2"]
    assert forgotten == ["forgotten", "0", "0", "0", "0", "0"]
    listed = nsqctl_json("topics", steady.option)
    assert [topic["topic_name"] for topic in listed] == ["orders", "forgotten"]
    assert listed[0]["message_count"] == 5
    assert listed[0]["channels"] == ["kitchen"]
    assert sorted(listed[0]["nodes"]) == sorted(nsqd.http for nsqd in steady.nsqds)
    assert listed[1]["nodes"] == []


def test_what_durable_topics_promise_is_listed(pair: Pair):
    policy = b'{"pattern": "orders", "definition": {"durability": "always"}}'
    assert pair.nsqds[0].request("PUT", "/policy/set?name=keep", policy)[0] == 200
    header, orders, _ = rows(nsqctl("topics", pair.option)[0])
    assert header[-1] == "promise"
    assert " ".join(orders[-5:]) == "in memory or on disk"
    assert "topic orders (in memory or on disk)" in nsqctl("stats", "orders", pair.option)[0]
    assert pair.nsqds[1].request("PUT", "/policy/set?name=keep", policy)[0] == 200
    assert nsqctl_json("topics", pair.option)[0]["promise"] == "on disk"


def test_dead_letters_have_a_column_where_there_are_some(pair: Pair):
    assert "dead" not in nsqctl("channels", "orders", pair.option)[0]
    nsqd = pair.nsqds[0]
    (first, *_) = nsqd.get("/message/list?topic=orders&channel=kitchen")["messages"]
    nsqd.post(f"/message/dead?topic=orders&channel=kitchen&id={first['id']}")
    for command in (("channels", "orders"), ("topics",), ("stats", "orders")):
        out = nsqctl(*command, pair.option)[0]
        assert [line[-1] for line in rows(out) if "orders" in line[:1]][-1] == "1", out
        assert "dead" in out
    (channel,) = nsqctl_json("channels", "orders", pair.option)
    assert channel["dead_count"] == 1
    orders = nsqctl_json("topics", pair.option)[0]
    assert (orders["topic_name"], orders["dead_count"]) == ("orders", 1)
    (told,) = nsqctl_json("stats", "orders", pair.option)
    assert told["channels"][0]["dead_count"] == 1


def test_channels_of_all_topics_or_of_one(pair: Pair):
    pair.nsqds[0].create("other", "c")
    assert [row[:3] for row in rows(nsqctl("channels", pair.option)[0])[1:]] == [
        ["orders", "kitchen", "5"],
        ["other", "c", "0"],
    ]
    (channel,) = nsqctl_json("channels", "orders", pair.option)
    assert (channel["channel_name"], channel["depth"], channel["backend_depth"]) == (
        "kitchen",
        5,
        1,
    )


def test_nodes_are_listed_with_their_addresses(steady: Pair):
    out = rows(nsqctl("nodes", steady.option)[0])
    ports = {(str(nsqd.tcp_port), str(nsqd.http_port)) for nsqd in steady.nsqds}
    assert {(row[-3], row[-2]) for row in out[1:]} == ports
    assert {node["http_port"] for node in nsqctl_json("nodes", steady.option)} == {
        nsqd.http_port for nsqd in steady.nsqds
    }


def test_lookup_tells_where_a_topic_is(steady: Pair):
    out = nsqctl("lookup", "orders", steady.option)[0]
    for nsqd in steady.nsqds:
        assert nsqd.tcp in out
        assert nsqd.http in out
    assert out.splitlines()[-1] == "channels: kitchen"
    told = nsqctl_json("lookup", "orders", steady.option)
    assert told["channels"] == ["kitchen"]
    assert {p["tcp_port"] for p in told["producers"]} == {nsqd.tcp_port for nsqd in steady.nsqds}


def test_stats_show_a_topic_with_its_nsqds_channels_and_consumers(
    pair: Pair, peer: Callable[[Daemon], Peer]
):
    peer(pair.nsqds[0]).subscribe("orders", "kitchen", ready=1)
    wait_until(lambda: pair.nsqds[0].channel("orders", "kitchen")["in_flight_count"] == 1)
    out = nsqctl("stats", "orders", pair.option)[0]
    for expected in ("topic orders", "channels", "consumers of kitchen", pair.nsqds[1].http):
        assert expected in out
    (topic,) = nsqctl_json("stats", "orders", "kitchen", pair.option)
    assert topic["channels"][0]["clients"][0]["in_flight_count"] == 1


def test_a_topic_that_nobody_has_is_told_and_ends_with_1(steady: Pair):
    err = nsqctl("lookup", "nosuch", steady.option, status=1)[1]
    assert "no nsqlookupd knows the topic nosuch" in err
    out, err = nsqctl("stats", "nosuch", steady.option, "--json", status=1)
    assert out == "[]\n"
    assert "no nsqd has the topic nosuch" in err


def test_nsqds_can_be_named_instead_of_nsqlookupd(steady: Pair):
    options = steady.nsqd_options
    assert rows(nsqctl("topics", *options)[0])[1] == ["orders", "0", "0", "5", "1", "2"]
    assert len(nsqctl_json("nodes", *options)) == 2
    assert len(nsqctl_json("lookup", "orders", *options)["producers"]) == 2


def test_the_rest_is_shown_when_one_nsqd_does_not_answer(pair: Pair):
    dead = pair.nsqds[1].http
    pair.nsqds[1].kill()
    options = pair.nsqd_options
    for command in (["topics"], ["channels"], ["nodes"], ["lookup", "orders"], ["stats", "orders"]):
        out, err = nsqctl(*command, *options, status=1)
        assert pair.nsqds[0].http.rpartition(":")[2] in out or "orders" in out
        assert dead in err
        assert len(err.splitlines()) <= 3


def test_a_cluster_without_nsqds_has_empty_lists(daemon: Callable[..., Daemon]):
    option = f"--lookupd-http-address={daemon('nsqlookupd').http}"
    for command in ("topics", "channels", "nodes"):
        assert nsqctl_json(command, option) == []
        assert len(nsqctl(command, option)[0].splitlines()) == 1


def test_a_consumer_cannot_steer_the_terminal_with_its_name(
    steady: Pair, peer: Callable[[Daemon], Peer]
):
    consumer = peer(steady.nsqds[0])
    name = {"user_agent": "\x1b[2J[red]evil\\", "hostname": "h\r\n"}
    assert consumer.ask(b"IDENTIFY\n", body(json.dumps(name).encode())) == b"OK"
    consumer.subscribe("orders", "kitchen")
    out = nsqctl("stats", "orders", steady.option)[0]
    assert "\x1b" not in out
    assert "[2J[red]evil\\" in out


@pytest.mark.parametrize("command", ["topics", "topics --json", "nodes", "doctor", "top --count=9"])
def test_a_reader_that_goes_away_ends_it_without_a_word(steady: Pair, command: str, tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    with (tmp_path / "err").open("wb") as err, open(os.devnull) as nothing:
        streams = {"stdin": nothing.fileno(), "stdout": writer, "stderr": err.fileno()}
        process = forks.start(["nsqctl", *command.split(), steady.option], **streams)
    os.close(writer)
    assert process.wait(PATIENCE) == -signal.SIGPIPE
    assert (tmp_path / "err").read_bytes() == b""


@pytest.mark.parametrize("command", ["topics", "topics --json", "doctor"])
def test_a_closed_output_is_no_trouble(steady: Pair, command: str):
    line = f"{shlex.quote(NSQCTL)} {command} {steady.option} >&-"
    ended = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, timeout=PATIENCE)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_lookup_of_a_topic_that_no_nsqd_has_is_an_error_without_nsqlookupd_too(steady: Pair):
    err = nsqctl("lookup", "nosuch", *steady.nsqd_options, status=1)[1]
    assert err == "nsqctl: no nsqd has the topic nosuch\n"
