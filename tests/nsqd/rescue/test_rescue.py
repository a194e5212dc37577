"""check, dump, export and repair, on the directory of an nsqd that was killed."""

import errno
import json
import os
import random
import signal
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest
from tests.nsqd.rescue.conftest import FAR, WALL, contents, flip
from tests.support.forks import BIN

from nsqcore.app.process.dirlock import lock_directory
from nsqctl.__main__ import main as nsqctl
from nsqd.metadata.metadata_file import load
from nsqd.rescue import overlay
from nsqd.rescue.program import main
from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.state import BadState
from nsqd.storage.durable.topics.tidying import tidy_all
from nsqd.storage.files.durable_disk import OsDisk


def fill(killed):
    """A topic with messages in every state, and one that has no channel."""
    orders = killed.topic("orders", "kitchen", "audit")
    killed.publish(orders, b"done", b"held", b"first", b"second")
    killed.publish(orders, b"later", due=FAR)
    records = killed.deliver("orders", "kitchen", 2)
    killed.finish("orders", "kitchen", records[:1])
    alone = killed.topic("alone")
    killed.publish(alone, b"waits")
    return orders


def ask(capsys, *arguments):
    """What the program prints, and its exit status."""
    status = main(list(map(str, arguments)))
    told = capsys.readouterr()
    return status, told.out, told.err


def dumped(capsys, killed, *options):
    status, out, _ = ask(capsys, "dump", *options, killed.path)
    assert status == 0
    return [json.loads(line) for line in out.splitlines()]


def bodies(lines, topic, channel):
    return sorted(
        (line["state"], b64decode(line["body"]))
        for line in lines
        if (line["topic"], line["channel"]) == (topic, channel)
    )


def test_dump_has_the_messages_in_every_state(killed, capsys):
    fill(killed)
    lines = dumped(capsys, killed)
    assert bodies(lines, "orders", "kitchen") == [
        ("deferred", b"later"),
        ("queued", b"first"),
        ("queued", b"held"),
        ("queued", b"second"),
    ]
    assert len(bodies(lines, "orders", "audit")) == 5
    assert bodies(lines, "alone", None) == [("waiting", b"waits")]
    (held,) = [line for line in lines if line["channel"] == "kitchen" and line["attempts"]]
    assert (held["attempts"], held["size"], held["timestamp"]) == (1, 4, WALL)
    (later,) = [line for line in lines if line["channel"] == "kitchen" and line["due"]]
    assert later["due"] == FAR


def test_dump_narrows_to_a_topic_and_shows_bodies_as_asked(killed, capsys):
    fill(killed)
    (line,) = dumped(capsys, killed, "--topic=alone", "--body=text")
    assert line["body"] == "waits"
    (line,) = dumped(capsys, killed, "--topic=alone", "--body=none")
    assert "body" not in line


def test_dump_of_entries_has_what_the_journal_was_told(killed, capsys):
    fill(killed)
    lines = dumped(capsys, killed, "--entries")
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["whole"] for line in lines)
    assert {"TOPIC", "CHANNEL", "BATCH", "SENT", "ACK"} == {line["kind"] for line in lines}
    (ack,) = [line for line in lines if line["kind"] == "ACK"]
    assert ack["messages"] == [{"id": f"{1:016x}"}]


def test_check_counts_what_is_there_and_changes_nothing(killed, capsys):
    fill(killed)
    before = contents(killed.path)
    status, out, _ = ask(capsys, "check", "--json", killed.path)
    found = json.loads(out)
    assert (status, found["ok"], found["problems"]) == (0, True, [])
    alone, orders = found["topics"]
    assert (alone["waiting"], alone["messages"]) == (1, 1)
    # the room that is reserved behind them does not count
    assert alone["bytes"] == 48 + 8 + 26 + len("waits")
    assert orders["channels"] == {
        "kitchen": {"depth": 3, "deferred": 1},
        "audit": {"depth": 4, "deferred": 1},
    }
    assert "no damage" in ask(capsys, "check", killed.path)[1]
    dumped(capsys, killed)
    assert contents(killed.path) == before


def test_what_only_the_journal_has_is_found_and_stays_there_alone(killed, capsys):
    fill(killed)
    for log in killed.path.glob("durable/t.*/*.log"):
        log.write_bytes(b"")  # the power failed before they were synced
    before = contents(killed.path)
    assert ask(capsys, "check", killed.path)[0] == 0
    assert len(bodies(dumped(capsys, killed), "orders", "audit")) == 5
    assert contents(killed.path) == before


def test_a_journal_file_that_was_being_made_is_no_damage(killed, capsys):
    fill(killed)
    (killed.path / "durable/journal.000009").write_bytes(bytes(1 << 16))
    assert ask(capsys, "check", killed.path)[0] == 0


def test_a_flipped_bit_is_told_by_the_file_that_has_it_and_costs_one_message(killed, capsys):
    fill(killed)
    killed.checkpoint()
    (log,) = killed.path.glob("durable/t.orders.*/*.log")
    flip(log, log.read_bytes().index(b"second"))
    status, out, _ = ask(capsys, "check", "--json", killed.path)
    found = json.loads(out)
    assert (status, found["damaged"]) == (1, 1)
    assert found["problems"] == [
        f"{log}: 1 messages of the batch at 0 are damaged",
        "topic orders: 2 messages that its channels had in hand can't be read",
    ]
    assert bodies(dumped(capsys, killed), "orders", "audit") == [
        ("queued", b"done"),
        ("queued", b"first"),
        ("queued", b"held"),
    ]


def test_a_directory_in_use_is_refused(killed, capsys):
    fill(killed)
    with lock_directory(str(killed.path)):
        for action in (["check"], ["dump"], ["export", f"--to={killed.path}2"], ["repair"]):
            status, out, err = ask(capsys, *action, killed.path)
            assert (status, out) == (1, "")
            assert "in use by another instance of nsqd" in err


def test_a_directory_without_durable_topics_is_an_error(tmp_path, capsys):
    status, _, err = ask(capsys, "check", tmp_path)
    assert (status, err) == (1, f"nsqctl: there are no durable topics in {tmp_path}\n")


# ------------------------------------------------------------ export


def test_export_refuses_to_drop_timers_unasked(killed, tmp_path, capsys):
    fill(killed)
    status, _, err = ask(capsys, "export", f"--to={tmp_path / 'out'}", killed.path)
    assert status == 1
    assert err.startswith("nsqctl: 2 messages are deferred")
    assert not (tmp_path / "out").exists()


def test_export_refuses_a_directory_with_something_in_it(killed, tmp_path, capsys):
    fill(killed)
    (tmp_path / "file").write_text("mine")
    status, _, err = ask(capsys, "export", "--drop-timers", f"--to={tmp_path}", killed.path)
    assert (status, err) == (1, f"nsqctl: {tmp_path} is not empty\n")


def test_an_export_is_read_as_plain_queues(killed, tmp_path, capsys):
    fill(killed)
    before, out = contents(killed.path), tmp_path / "out"
    status, told, _ = ask(capsys, "export", "--drop-timers", f"--to={out}", killed.path)
    assert status == 0
    assert told.startswith(f"10 messages in 4 queues, in {out}\n2 of them are delivered at once")
    assert contents(killed.path) == before
    assert [(topic.name, [each.name for each in topic.channels]) for topic in load(str(out))] == [
        ("alone", []),
        ("orders", ["kitchen", "audit"]),
    ]
    store = DiskStore(str(out), warn=pytest.fail)
    taken = {
        name: {record[26:]: record[9] for record in DiskQueue(name, store).take(100)}
        for name in ("alone", "orders", "orders:kitchen", "orders:audit")
    }
    assert taken == {
        "alone": {b"waits": 1},
        "orders": {},
        "orders:kitchen": {b"held": 2, b"first": 1, b"second": 1, b"later": 1},
        "orders:audit": {b"done": 1, b"held": 1, b"first": 1, b"second": 1, b"later": 1},
    }


# ------------------------------------------------------------ repair


def start(killed):
    """What nsqd does at a start: it reads all, or refuses."""
    return DurableStore(OsDisk(), str(killed.path / "durable")).open()


def test_a_topic_whose_state_is_damaged_is_repaired_and_loses_nothing(killed, capsys):
    fill(killed)
    killed.checkpoint()
    (killed.path / "nsqd.dat").write_text(
        '{"topics":[{"name":"orders","channels":[{"name":"kitchen"},{"name":"audit"}]}]}'
    )
    (state,) = killed.path.glob("durable/t.orders.*/state")
    flip(state, 60)
    with pytest.raises(BadState):
        start(killed)
    status, _, err = ask(capsys, "check", killed.path)
    assert status == 1
    assert "nsqctl durable repair" in err
    before = contents(killed.path / "durable")

    status, out, _ = ask(capsys, "repair", killed.path)
    assert status == 0
    assert "topic orders: its state is made anew, 2 channels" in out
    assert contents(killed.path / "durable.damaged.1") == before
    assert {topic.state.name for topic in start(killed)} == {"orders", "alone"}
    lines = dumped(capsys, killed)
    for channel in ("kitchen", "audit"):
        found = bodies(lines, "orders", channel)
        assert {body for _, body in found} == {b"done", b"held", b"first", b"second", b"later"}
        assert ("deferred", b"later") in found
    assert not (killed.path / "durable.repairing").exists()


def test_what_was_written_once_more_is_there_after_a_repair(killed, capsys):
    orders = killed.topic("orders", "kitchen")
    held = []
    killed.queues["orders", "kitchen"].defer = lambda record, due: held.append((record, 0, due))
    killed.publish(orders, b"later", due=FAR)
    for _ in range(4):
        killed.publish(orders, *[bytes(500)] * 12)
        killed.finish("orders", "kitchen", killed.deliver("orders", "kitchen", 12))
    killed.checkpoint(held)
    for _ in tidy_all([orders], lambda queue: held, least=0):
        killed.store.end_tick(0)
    killed.publish(orders, b"now")
    killed.checkpoint(held)
    (directory,) = killed.path.glob("durable/t.orders.*")
    assert not (directory / "00000000000000000001.log").exists()
    assert ask(capsys, "check", killed.path)[0] == 0
    before = bodies(dumped(capsys, killed), "orders", "kitchen")
    assert before == [("deferred", b"later"), ("queued", b"now")]
    (killed.path / "nsqd.dat").write_text(
        '{"topics":[{"name":"orders","channels":[{"name":"kitchen"}]}]}'
    )
    flip(directory / "state", 60)
    assert ask(capsys, "repair", killed.path)[0] == 0
    after = bodies(dumped(capsys, killed), "orders", "kitchen")
    assert set(before) <= set(after)
    assert [body for _, body in after].count(b"later") == 1


def test_a_topic_whose_channels_are_forgotten_keeps_its_messages_for_the_next_one(killed, capsys):
    fill(killed)
    killed.checkpoint()
    (state,) = killed.path.glob("durable/t.orders.*/state")
    state.write_bytes(b"")
    # the journal, too, is used again by now
    for journal in killed.path.glob("durable/journal.*"):
        journal.write_bytes(journal.read_bytes()[:4096].ljust(1 << 18, b"\0"))
    assert ask(capsys, "repair", killed.path)[0] == 0
    assert len(bodies(dumped(capsys, killed), "orders", None)) == 5


def test_a_missing_or_damaged_format_file_is_written_anew(killed, capsys):
    fill(killed)
    path = killed.path / "durable/format"
    path.unlink()
    assert ask(capsys, "check", killed.path)[0] == 1
    assert ask(capsys, "repair", killed.path)[0] == 0
    assert len(start(killed)) == 2
    flip(path, 2)
    assert ask(capsys, "repair", killed.path)[0] == 0
    assert len(start(killed)) == 2
    assert (killed.path / "durable.damaged.2").exists()


@pytest.mark.parametrize("file", ["format", "state"])
def test_a_newer_format_is_refused_and_not_touched(killed, capsys, file):
    fill(killed)
    killed.checkpoint()
    if file == "format":
        (killed.path / "durable/format").write_text("nsq-trio durable 2\n")
    else:
        (state,) = killed.path.glob("durable/t.orders.*/state")
        content = bytearray(state.read_bytes())
        content[8] = 99
        state.write_bytes(content)
    before = contents(killed.path)
    assert ask(capsys, "repair", killed.path)[0] == 1
    assert contents(killed.path) == before


def test_what_starts_is_left_alone(killed, capsys):
    fill(killed)
    before = contents(killed.path)
    status, out, _ = ask(capsys, "repair", killed.path)
    assert status == 0
    assert "nothing was done" in out
    assert contents(killed.path) == before


def test_blocks_that_the_device_does_not_return_cost_what_is_in_them(killed, capsys, monkeypatch):
    orders = killed.topic("orders", "c")
    for number in range(8):
        killed.publish(orders, b"%d" % number * 900)
    killed.checkpoint()
    (log,) = killed.path.glob("durable/t.orders.*/*.log")
    bad, real = os.stat(log).st_ino, os.pread

    def pread(descriptor, size, position):
        if os.fstat(descriptor).st_ino == bad and position < 8192 and position + size > 4096:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, size, position)

    monkeypatch.setattr(overlay.os, "pread", pread)
    status, out, _ = ask(capsys, "check", killed.path)
    assert status == 1
    assert f"{log}: the device does not return the block at 4096" in out
    status, out, _ = ask(capsys, "repair", killed.path)
    assert status == 0
    assert f"{log}: the block at 4096 is zeros now" in out
    monkeypatch.undo()
    assert start(killed)
    left = {body[:1] for _, body in bodies(dumped(capsys, killed), "orders", "c")}
    assert {b"0", b"1", b"2"} <= left < {b"%d" % number for number in range(8)}


@pytest.mark.parametrize("seed", range(24))
def test_whatever_is_damaged_it_is_read_and_after_a_repair_nsqd_starts(killed, capsys, seed):
    fill(killed)
    killed.checkpoint()
    killed.publish(killed.store.topics["orders"], b"since", b"then")
    chance = random.Random(seed)
    files = [file for file in sorted(killed.path.rglob("*")) if file.is_file()]
    damage(files[seed % len(files)], chance)
    before = contents(killed.path)
    assert ask(capsys, "check", killed.path)[0] in (0, 1)
    assert ask(capsys, "dump", killed.path)[0] in (0, 1)
    assert contents(killed.path) == before
    assert ask(capsys, "repair", killed.path)[0] == 0
    assert {topic.state.name for topic in start(killed)} == {"orders", "alone"}
    assert ask(capsys, "dump", killed.path)[0] == 0


def damage(file: Path, chance: random.Random) -> None:
    """Flip bits where there is something, and now and then lose the end."""
    content = bytearray(file.read_bytes())
    written = [at for at, byte in enumerate(content) if byte] or [0]
    for _ in range(chance.choice([1, 1, 3])):
        content[chance.choice(written)] ^= 1 << chance.randrange(8)
    if chance.random() < 0.2:
        del content[chance.randrange(len(content)) :]
    file.write_bytes(content)


@pytest.mark.slow
def test_nsqctl_has_it(killed, capfd):
    fill(killed)
    assert nsqctl(["durable", "dump", "--topic=alone", "--body=text", str(killed.path)]) == 0
    assert json.loads(capfd.readouterr().out)["body"] == "waits"
    out = killed.path.parent / "out"
    assert nsqctl(["durable", "export", f"--to={out}", str(killed.path)]) == 1
    assert "--drop-timers" in capfd.readouterr().err


@pytest.mark.slow
def test_a_dump_whose_reader_goes_away_ends_by_its_signal_without_a_word(killed):
    topic = killed.topic("t", "c")
    for _ in range(5):
        killed.publish(topic, *[b"x" * 100] * 200)  # more than a pipe takes
    command = [str(BIN / "nsqctl"), "durable", "dump", str(killed.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
        assert dump.stdout is not None
        assert dump.stderr is not None
        dump.stdout.readline()
        dump.stdout.close()
        assert dump.stderr.read() == b""
    assert dump.returncode == -signal.SIGPIPE
