"""`nsqctl create|delete|pause|unpause|empty|tombstone`, done to real daemons."""

from collections.abc import Callable

import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.nsqctl.program import Pair, Terminal, nsqctl

pytestmark = pytest.mark.slow


def topics(nsqd: Daemon) -> dict[str, bool]:
    """The topics of an nsqd, and whether they are paused."""
    listed = nsqd.get("/stats?format=json")["topics"]
    return {topic["topic_name"]: topic["paused"] for topic in listed}


def test_create_makes_a_topic_known_and_a_channel_real(pair: Pair):
    assert nsqctl("create", "new", pair.option)[0] == "create topic new: done\n"
    assert "new" in pair.lookupd.get("/topics")["topics"]
    assert nsqctl("create", "orders", "bar", pair.option)[0] == "create channel orders/bar: done\n"
    assert sorted(pair.lookupd.get("/channels?topic=orders")["channels"]) == ["bar", "kitchen"]
    assert all(nsqd.channel("orders", "bar") for nsqd in pair.nsqds)


def test_create_without_nsqlookupd_is_done_at_every_nsqd(pair: Pair):
    nsqctl("create", "new", "c", *pair.nsqd_options)
    assert all(nsqd.channel("new", "c") for nsqd in pair.nsqds)


def test_pause_and_unpause_of_topic_and_channel_on_all_nsqds_or_one(pair: Pair):
    one, other = pair.nsqds
    nsqctl("pause", "orders", pair.option)
    assert topics(one)["orders"]
    assert topics(other)["orders"]
    nsqctl("unpause", "orders", pair.option)
    assert not topics(one)["orders"]
    out = nsqctl("pause", "orders", "kitchen", f"--node={one.http}", pair.option)[0]
    assert out == f"pause channel orders/kitchen on {one.http}: done\n"
    assert one.channel("orders", "kitchen")["paused"]
    assert not other.channel("orders", "kitchen")["paused"]


def test_empty_drops_the_messages_and_keeps_the_channel(pair: Pair):
    nsqctl("empty", "orders", "kitchen", f"--node={pair.nsqds[0].http}", "--yes", pair.option)
    assert [pair.depth(0), pair.depth(1)] == [0, 3]
    nsqctl("empty", "orders", "kitchen", "--yes", pair.option)
    assert [pair.depth(0), pair.depth(1)] == [0, 0]


def test_delete_removes_a_channel_and_then_the_topic_everywhere(pair: Pair):
    nsqctl("delete", "orders", "kitchen", "--yes", pair.option)
    assert not any(nsqd.channel("orders", "kitchen") for nsqd in pair.nsqds)
    nsqctl("delete", "orders", "--yes", pair.option)
    assert not any("orders" in topics(nsqd) for nsqd in pair.nsqds)
    assert pair.lookupd.get("/topics")["topics"] == ["forgotten"]
    nsqctl("delete", "forgotten", "--yes", pair.option)
    assert pair.lookupd.get("/topics")["topics"] == []


def test_tombstone_hides_one_nsqd_and_deletes_the_topic_there(pair: Pair):
    hidden, kept = pair.nsqds
    nsqctl("tombstone", "orders", hidden.http, "--yes", pair.option)
    assert [p["tcp_port"] for p in pair.producers("orders")] == [kept.tcp_port]
    assert "orders" not in topics(hidden)
    assert pair.depth(1) == 3


def test_without_a_terminal_what_cannot_be_undone_needs_yes(steady: Pair):
    for action in (
        "delete orders",
        "empty orders kitchen",
        f"tombstone orders {steady.nsqds[0].http}",
    ):
        err = nsqctl(*action.split(), steady.option, status=1)[1]
        assert "--yes says that it is meant" in err
        assert "nothing was done" in err
    assert [steady.depth(0), steady.depth(1)] == [2, 3]


def test_on_a_terminal_what_cannot_be_undone_is_asked_and_only_yes_means_it(
    pair: Pair, terminal: Callable[..., Terminal]
):
    for answer in (b"\n", b"n\n", b"yo\n", b"\x04", b"\x03"):
        asking = terminal("delete", "orders", "kitchen", pair.option)
        asking.wait_for("delete channel orders/kitchen? [y/N]")
        asking.press(answer)
        assert asking.wait() == (130 if answer == b"\x03" else 1)
        assert b"Traceback" not in asking.shown
        assert [pair.depth(0), pair.depth(1)] == [2, 3]
    asking = terminal("delete", "orders", "kitchen", pair.option)
    asking.wait_for("[y/N]")
    asking.press(b"y\n")
    assert asking.wait() == 0
    assert b"delete channel orders/kitchen: done" in asking.shown
    assert not any(nsqd.channel("orders", "kitchen") for nsqd in pair.nsqds)


def test_who_could_not_do_it_is_named_and_the_others_have_done_it(pair: Pair):
    one, dead = pair.nsqds
    nsqd_options = pair.nsqd_options
    dead.kill()
    out, err = nsqctl("pause", "orders", *nsqd_options, status=1)
    assert out == "pause topic orders: done, but for the failures above\n"
    assert dead.http in err
    assert one.http not in err
    assert topics(one)["orders"]


def test_a_channel_of_one_nsqd_is_paused_there_and_the_other_is_not_asked(pair: Pair):
    one, other = pair.nsqds
    one.post("/channel/create?topic=orders&channel=only-here")
    out, err = nsqctl("pause", "orders", "only-here", pair.option)
    assert out == "pause channel orders/only-here: done\n"
    assert err == ""
    assert one.channel("orders", "only-here")["paused"]
    assert not other.channel("orders", "only-here")


@pytest.mark.parametrize("action", ["pause", "unpause", "empty", "delete"])
def test_a_channel_that_no_nsqd_has_is_an_error_and_nothing_is_done(steady: Pair, action: str):
    """404s, and "done, but for the failures above"."""
    for options in ([steady.option], steady.nsqd_options):
        command = [action, "orders", "nosuch", *options]
        if action in ("empty", "delete"):
            command.append("--yes")
        out, err = nsqctl(*command, status=1)
        assert (out, err) == ("", "nsqctl: no nsqd has the channel orders/nosuch\n")


def test_a_channel_that_the_node_named_does_not_have_is_an_error(pair: Pair):
    one, other = pair.nsqds
    one.post("/channel/create?topic=orders&channel=only-here")
    node = f"--node={other.http}"
    out, err = nsqctl("pause", "orders", "only-here", node, pair.option, status=1)
    assert (out, err) == ("", f"nsqctl: {other.http} has no channel orders/only-here\n")
    assert not one.channel("orders", "only-here")["paused"]


def test_a_channel_that_only_nsqlookupds_remember_is_deleted_there(pair: Pair):
    pair.lookupd.post("/channel/create?topic=orders&channel=old")
    out, err = nsqctl("delete", "orders", "old", "--yes", pair.option)
    assert (out, err) == ("delete channel orders/old: done\n", "")
    assert pair.lookupd.get("/channels?topic=orders")["channels"] == ["kitchen"]


def test_a_channel_made_where_no_nsqd_has_the_topic_is_said_to_be_only_remembered(pair: Pair):
    err = nsqctl("create", "forgotten", "later", pair.option)[1]
    assert "no nsqd has the topic forgotten yet" in err


@pytest.mark.parametrize("action", ["create", "pause", "unpause"])
def test_what_never_asks_has_no_yes(action: str):
    assert "--yes" in nsqctl(action, "t", "--yes", status=2)[1]


def test_a_topic_that_nobody_has_is_not_done(steady: Pair):
    for action in ("pause", "delete"):
        yes = ["--yes"] if action == "delete" else []
        err = nsqctl(action, "nosuch", *yes, steady.option, status=1)[1]
        assert err == "nsqctl: no nsqlookupd knows the topic nosuch\n"
        err = nsqctl(action, "nosuch", *yes, *steady.nsqd_options, status=1)[1]
        assert err == "nsqctl: no nsqd has the topic nosuch\n"


def test_a_node_that_is_not_of_the_cluster_is_never_contacted(pair: Pair):
    pair.nsqds[1].terminate()
    wait_until(lambda: len(pair.producers("orders")) == 1, "it has left")
    for action in (["pause", "orders", "--node"], ["tombstone", "orders", "--yes"]):
        err = nsqctl(*action, "127.0.0.1:1", pair.option, status=1)[1]
        assert "127.0.0.1:1" in err


def test_a_tombstone_needs_an_nsqlookupd(steady: Pair):
    err = nsqctl(
        "tombstone", "orders", steady.nsqds[0].http, "--yes", *steady.nsqd_options, status=1
    )
    assert "a tombstone is set at nsqlookupd" in err[1]
    assert steady.depth(0) == 2


@pytest.mark.parametrize("name", ["a b", "x" * 65, ""])
def test_a_name_that_breaks_the_rules_is_refused_before_anybody_is_asked(name: str):
    nobody = "--nsqd-http-address=127.0.0.1:1"
    assert "not a valid name" in nsqctl("create", name, nobody, status=2)[1]
    assert "not a valid name" in nsqctl("create", "topic", name or "#", nobody, status=2)[1]
