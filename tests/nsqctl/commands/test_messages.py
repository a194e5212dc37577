"""`nsqctl messages`, `message` and `tail`: what is in the queues of two nsqds, and rescue."""

import json
import subprocess
import sys
import threading

import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.nsqctl.program import Pair, nsqctl

from nsqcore.cluster.each import messages as each

pytestmark = pytest.mark.slow


def listed(pair: Pair, *arguments: str) -> list[dict[str, object]]:
    out, _ = nsqctl("messages", "orders", *arguments, "--json", pair.option)
    return [json.loads(line) for line in out.splitlines()]


def test_messages_of_all_nsqds_are_listed(pair: Pair):
    pair.nsqds[0].post("/pub?topic=orders", b'{"order": 17}')
    wait_until(lambda: pair.depth(0) == 3, "it is in the channel")
    out, _ = nsqctl("messages", "orders", "kitchen", pair.option)
    assert '{"order": 17}' in out
    assert out.endswith("6 of 6 queued\n")
    assert len(listed(pair, "kitchen")) == 6
    assert len(listed(pair, "kitchen", "--limit=4")) == 4
    (found,) = listed(pair, "kitchen", "--contains=order")
    assert (found["body"], found["node"]) == ('{"order": 17}', pair.nsqds[0].http)
    assert listed(pair, "kitchen", "--state=in_flight") == []
    assert listed(pair) == []


def test_single_messages_are_copied_finished_and_requeued(pair: Pair):
    messages = listed(pair, "kitchen")
    ids = [str(message["id"]) for message in messages]
    out, _ = nsqctl("message", "copy", "orders", ids[0], "--channel=kitchen", "--to=saved",
                    pair.option)  # fmt: skip
    assert out == "copy: 1 of 1 message\n"
    wait_until(lambda: bool(pair.producers("saved")), "nsqlookupd knows of the copy")
    out, _ = nsqctl("messages", "saved", pair.option)
    assert out.endswith("1 of 1 queued\n")
    out, _ = nsqctl("message", "finish", "orders", *ids[1:4], "--channel=kitchen", "--yes",
                    "--reason=bad", pair.option)  # fmt: skip
    assert out == "finish: 3 of 3 messages\n"
    assert [message["id"] for message in listed(pair, "kitchen")] == [ids[0], ids[4]]
    out, err = nsqctl("message", "requeue", "orders", ids[0], ids[1], "--channel=kitchen",
                      pair.option, status=1)  # fmt: skip
    assert out == "requeue: 1 of 2 messages\n"
    assert f"{ids[1]} is not there" in err


def test_messages_are_dead_lettered(pair: Pair):
    id = str(listed(pair, "kitchen")[0]["id"])
    out, _ = nsqctl("message", "dead", "orders", id, "--channel=kitchen", "--yes", pair.option)
    assert out == "dead: 1 of 1 message\n"
    assert len(listed(pair, "kitchen", "--state=dead")) == 1


def test_dead_letters_are_sent_back(pair: Pair):
    ids = [str(message["id"]) for message in listed(pair, "kitchen")]
    nsqctl("message", "dead", "orders", *ids, "--channel=kitchen", "--yes", pair.option)
    wait_until(lambda: bool(pair.producers("orders.dead")), "nsqlookupd knows of the dead")
    out, _ = nsqctl("redrive", "orders.dead", "--yes", "--json", pair.option)
    answer = json.loads(out)
    assert (answer["moved"], answer["left"], answer["kept"]) == (len(ids), 0, {})
    assert len(listed(pair, "kitchen")) == len(ids)
    out, _ = nsqctl("redrive", "orders.dead", "--yes", pair.option)
    assert out == "0 sent back, 0 left\n"


def test_dead_letters_are_sent_back_in_steps_and_those_that_stay_are_passed_by(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(each, "REDRIVE_STEP", 2)
    nsqd = pair.nsqds[0]
    nsqd.post("/topic/create?topic=strange.dead")
    ids = [str(message["id"]) for message in listed(pair, "kitchen")]
    nsqctl("message", "dead", "orders", *ids, "--channel=kitchen", "--yes", pair.option)
    wait_until(lambda: bool(pair.producers("orders.dead")), "nsqlookupd knows of the dead")
    out, _ = nsqctl("redrive", "orders.dead", "--limit=1", "--yes", "--json", pair.option)
    first = json.loads(out)["moved"]
    out, _ = nsqctl("redrive", "orders.dead", "--yes", "--json", pair.option)
    assert json.loads(out) == {"moved": len(ids) - first, "left": 0, "kept": {}}
    nsqd.post("/mpub?topic=strange.dead", b"1\n2\n3\n4\n5")
    wait_until(lambda: bool(pair.producers("strange.dead")), "nsqlookupd knows of it")
    out, _ = nsqctl("redrive", "strange.dead", "--yes", "--json", pair.option, status=1)
    why = "it is not known where they come from"
    assert json.loads(out) == {"moved": 0, "left": 5, "kept": {why: 5}}


def test_what_cannot_be_undone_asks_first(pair: Pair):
    (id, *_) = [str(message["id"]) for message in listed(pair, "kitchen")]
    _, err = nsqctl("message", "finish", "orders", id, "--channel=kitchen", pair.option, status=1)
    assert "nothing was done" in err
    assert len(listed(pair, "kitchen")) == 5


def test_a_body_is_written_as_it_is(pair: Pair):
    pair.nsqds[1].post("/pub?topic=orders", b"\xff\x00raw")
    wait_until(lambda: pair.depth(1) == 4, "it is in the channel")
    (found,) = listed(pair, "kitchen", "--contains=raw")
    assert found["encoding"] == "base64"
    command = ["message", "get", "orders", str(found["id"]), "--channel=kitchen", pair.option]
    ended = subprocess.run([sys.executable, "-m", "nsqctl", *command], capture_output=True)
    assert (ended.stdout, ended.returncode) == (b"\xff\x00raw", 0)


def test_unknown_topics_and_messages_are_told(pair: Pair):
    _, err = nsqctl("messages", "orders", "nobody", pair.option, status=1)
    assert "no nsqd has the channel orders/nobody" in err
    _, err = nsqctl("message", "get", "orders", "0123456789abcdef", pair.option, status=1)
    assert "no nsqd has the message" in err
    for command in (["messages"], ["message", "get"], ["redrive"]):
        ids = ["0123456789abcdef"] if "get" in command else []
        yes = ["--yes"] if command == ["redrive"] else []
        _, err = nsqctl(*command, "nosuch", *ids, *yes, *pair.nsqd_options, status=1)
        assert err == "nsqctl: no nsqd has the topic nosuch\n"


def test_what_became_of_messages_is_told_as_json(pair: Pair):
    gone = "0123456789abcdef"
    (first, second, *_) = [str(message["id"]) for message in listed(pair, "kitchen")]
    options = ("--channel=kitchen", "--json", pair.option)
    out, _ = nsqctl("message", "get", "orders", first, *options)
    assert json.loads(out)["id"] == first
    out, _ = nsqctl("message", "finish", "orders", first, gone, "--yes", *options, status=1)
    assert json.loads(out) == {"done": 1, "missing": [gone], "failed": {}}
    out, _ = nsqctl("message", "dead", "orders", second, "--yes", *options)
    assert json.loads(out) == {"done": 1, "missing": [], "failed": {}}
    wait_until(lambda: bool(pair.producers("orders.dead")), "nsqlookupd knows of the dead")
    redrive = ("redrive", "orders.dead", "--yes")
    _, err = nsqctl(*redrive, "--channel=nobody", pair.option, status=1)
    assert err == "nsqctl: no nsqd has the channel orders.dead/nobody\n"
    out, err = nsqctl("redrive", "orders.dead", gone, "--yes", pair.option, status=1)
    assert (out, err) == ("0 sent back, 1 left\n", f"nsqctl: {gone} is not there\n")
    out, _ = nsqctl("redrive", "orders.dead", gone, "--yes", "--json", pair.option, status=1)
    assert json.loads(out) == {"moved": 0, "left": 1, "kept": {}, "missing": [gone]}


@pytest.mark.parametrize("name", ["nosuch", "no/such", "..", "nosuch#ephemeral"])
def test_a_topic_that_no_nsqlookupd_knows_is_told(pair: Pair, name: str):
    for command in ("messages", "tail"):
        _, err = nsqctl(command, name, pair.option, status=1)
        assert err == f"nsqctl: no nsqd has the topic {name}\n"


def has_tail(nsqd: Daemon) -> bool:
    (topic,) = nsqd.get("/stats?format=json&topic=orders")["topics"]
    return any(channel["client_count"] for channel in topic["channels"])


def test_tail_shows_what_comes(pair: Pair):
    def publish() -> None:
        wait_until(
            lambda: all(has_tail(nsqd) for nsqd in pair.nsqds),
            "tail has its channel",
        )
        pair.nsqds[0].post("/pub?topic=orders", b"fresh")
        pair.nsqds[1].post("/pub?topic=orders", b"fresh")

    publisher = threading.Thread(target=publish)
    publisher.start()
    out, _ = nsqctl("tail", "orders", "--count=2", "--json", pair.option)
    publisher.join()
    shown = [json.loads(line) for line in out.splitlines()]
    assert [message["body"] for message in shown] == ["fresh", "fresh"]
    assert {message["node"] for message in shown} == {nsqd.tcp for nsqd in pair.nsqds}
    assert len(listed(pair, "kitchen")) == 7
