"""Durable topics of real processes: what was acknowledged outlives kill -9."""

import pytest
from tests.e2e.daemons import wait_until

from nsqctl.__main__ import main as nsqctl

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", ["os", "interval", "always"])
def test_messages_in_every_state_outlive_kill_9(daemon, peer, mode):
    nsqd = daemon("nsqd", f"--durability={mode}")
    nsqd.create("t", "c")
    nsqd.post("/mpub?topic=t", b"queued\nfinished\nheld\nput off")
    nsqd.post("/pub?topic=t&defer=3600000", b"deferred")
    consumer = peer(nsqd).subscribe("t", "c", ready=4)
    messages = {message.body: message for message in (consumer.message() for _ in range(4))}
    consumer.finish(messages[b"finished"])
    consumer.send(b"REQ ", messages[b"put off"].id, b" 3600000\n")
    wait_until(lambda: nsqd.channel("t", "c")["deferred_count"] == 2, "it is put off")

    nsqd.kill()
    nsqd.start()

    channel = nsqd.channel("t", "c")
    assert (channel["depth"], channel["deferred_count"]) == (2, 2)
    again = {
        message.body: message for message in peer(nsqd).subscribe("t", "c", ready=9).consume(2)
    }
    assert set(again) == {b"queued", b"held"}
    assert {message.attempts for message in again.values()} == {2}


def test_it_is_told_how_the_journal_is_and_what_a_start_found(daemon):
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.post("/pub?topic=t", b"kept")
    status = nsqd.get("/durable/status")
    assert status["commits"] >= 1
    assert status["last_commit_ms"] > 0
    assert status["recovery"]["entries"] == 0
    nsqd.kill()
    nsqd.start()
    recovery = nsqd.get("/durable/status")["recovery"]
    assert recovery["entries"] >= 2  # the topic, and its message
    assert (recovery["missing"], recovery["damaged"], recovery["problems"]) == (0, 0, [])
    (topic,) = nsqd.get("/stats?format=json")["topics"]
    assert topic["promise"] == "on disk"


def test_what_was_rescued_from_a_killed_nsqd_is_read_by_a_plain_one(daemon, capfd):
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.create("t", "c")
    nsqd.post("/mpub?topic=t", b"1\n2\n3")
    nsqd.post("/pub?topic=alone", b"4")
    data = nsqd.data
    assert nsqctl(["durable", "check", str(data)]) == 1  # it runs
    nsqd.kill()
    assert nsqctl(["durable", "check", str(data)]) == 0
    assert nsqctl(["durable", "export", f"--to={data}.plain", str(data)]) == 0
    assert "4 messages in 3 queues" in capfd.readouterr().out
    data.rename(f"{data}.durable")
    data.with_name(data.name + ".plain").rename(data)
    nsqd.flags.clear()
    nsqd.start()
    assert nsqd.channel("t", "c")["depth"] == 3
    depths = {
        topic["topic_name"]: topic["depth"] for topic in nsqd.get("/stats?format=json")["topics"]
    }
    assert depths == {"alone": 1, "t": 0}


def test_a_topic_with_no_channel_and_a_paused_one_keep_what_waits_in_them(daemon, peer):
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.post("/pub?topic=alone", b"1")
    nsqd.create("t", "c")
    nsqd.post("/topic/pause?topic=t")
    nsqd.post("/pub?topic=t", b"2")

    nsqd.kill()
    nsqd.start()

    depths = {
        topic["topic_name"]: topic["depth"] for topic in nsqd.get("/stats?format=json")["topics"]
    }
    assert depths == {"alone": 1, "t": 1}
    nsqd.post("/topic/unpause?topic=t")
    (message,) = peer(nsqd).subscribe("t", "c", ready=1).consume(1)
    assert message.body == b"2"
    (message,) = peer(nsqd).subscribe("alone", "first", ready=1).consume(1)
    assert message.body == b"1"


def test_a_policy_makes_a_topic_durable_while_nsqd_runs_and_takes_it_back(daemon, peer):
    nsqd = daemon("nsqd")
    nsqd.create("t", "c")
    nsqd.post("/pub?topic=t", b"before")
    assert not (nsqd.data / "durable").exists()
    policy = b'{"pattern": "t", "definition": {"durability": "always"}}'
    assert nsqd.request("PUT", "/policy/set?name=keep", policy)[0] == 200
    nsqd.post("/pub?topic=t", b"durable")
    assert nsqd.request("POST", "/policy/delete?name=keep")[0] == 200
    nsqd.post("/pub?topic=t", b"after")
    bodies = [message.body for message in peer(nsqd).subscribe("t", "c", ready=9).consume(3)]
    assert sorted(bodies) == [b"after", b"before", b"durable"]
    wait_until(lambda: not nsqd.channel("t", "c")["in_flight_count"], "all are finished")
    assert nsqd.terminate() == 0
    assert nsqd.start().channel("t", "c")["depth"] == 0


def test_what_the_original_wrote_meanwhile_is_told_and_delivered_first(daemon, peer):
    """The original ignores ``durable/``, as a plain nsqd does that has none."""
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.create("t", "c")
    nsqd.post("/pub?topic=t", b"durable")
    assert nsqd.terminate() == 0
    nsqd.start()
    assert nsqd.terminate() == 0
    assert "since this nsqd ended" not in nsqd.log()
    hidden, flags = nsqd.data.with_name("hidden"), nsqd.flags
    (nsqd.data / "durable").rename(hidden)
    nsqd.flags = []
    nsqd.start()
    nsqd.post("/pub?topic=t", b"plain")
    assert nsqd.channel("t", "c")["depth"] == 1
    assert nsqd.terminate() == 0
    hidden.rename(nsqd.data / "durable")

    nsqd.flags = flags
    nsqd.start()
    assert "files of topic t outside of durable/ were written since" in nsqd.log()
    first, second = peer(nsqd).subscribe("t", "c", ready=1).consume(2)
    assert (first.body, second.body) == (b"plain", b"durable")


def test_a_clean_stop_and_start_keep_everything_too(daemon, peer):
    nsqd = daemon("nsqd", "--durability=os")
    nsqd.create("t", "c")
    nsqd.create("t", "d")
    nsqd.post("/mpub?topic=t", b"\n".join(b"%d" % number for number in range(500)))
    peer(nsqd).subscribe("t", "c", ready=50).consume(120)
    wait_until(lambda: nsqd.channel("t", "c")["depth"] == 330, "all are finished, and RDY used up")
    assert nsqd.terminate() == 0
    nsqd.start()
    assert nsqd.channel("t", "c")["depth"] == 380
    assert nsqd.channel("t", "d")["depth"] == 500


def test_a_deleted_channel_stays_deleted(daemon):
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.create("t", "c")
    nsqd.create("t", "d")
    nsqd.post("/pub?topic=t", b"x")
    nsqd.post("/channel/delete?topic=t&channel=c")
    nsqd.kill()
    nsqd.start()
    (topic,) = nsqd.get("/stats?format=json")["topics"]
    assert [channel["channel_name"] for channel in topic["channels"]] == ["d"]


def test_a_directory_of_a_newer_format_is_refused_and_left_alone(daemon):
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.post("/pub?topic=t", b"x")
    assert nsqd.terminate() == 0
    form = nsqd.data / "durable" / "format"
    form.write_text("nsq-trio durable 2\n")
    nsqd.spawn()
    assert nsqd.process.wait() == 1
    assert "nsq-trio durable 2" in nsqd.log()
