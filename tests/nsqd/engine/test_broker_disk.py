"""The broker and its disk: failures, the end, and a new beginning."""

import errno
import os
import shutil

import pytest
from tests.nsqd.broker import open_broker, publish

from nsqd.engine.broker import DRAIN_RETRY
from nsqd.engine.errors import Exiting
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import SYSTEM

SECOND = 1_000_000_000


def dispatch_all(broker, now=0):
    while broker.dispatch(now):
        pass


# ------------------------------------------------------------------ a disk that fails


def test_disk_that_fails_is_reported_until_it_works_again(new_broker, directory):
    broker = new_broker(mem_queue_size=0)
    assert broker.health.text == "OK"
    shutil.rmtree(directory)
    with pytest.raises(OSError, match="No such file"):
        publish(broker, "t", [b"a"], now=0)
    assert broker.health.text.startswith("NOK - ")
    directory.mkdir()
    publish(broker, "t", [b"b"], now=0)
    assert broker.health.text == "OK"
    assert broker.topics["t"].depth == 1


def test_publish_that_needs_no_disk_does_not_hide_that_it_fails(new_broker, directory):
    broker = new_broker(mem_queue_size=1)
    shutil.rmtree(directory)
    with pytest.raises(OSError, match="No such file"):
        publish(broker, "t", [b"a", b"b"], now=0)
    publish(broker, "u", [b"in memory"], now=0)
    assert broker.health.text.startswith("NOK - ")


def test_what_was_accepted_before_the_disk_failed_is_delivered(new_broker, new_client, directory):
    broker = new_broker(mem_queue_size=2)
    client = new_client(ready=0).join(broker)
    publish(broker, "t", [b"a", b"b"], now=0)
    directory.rmdir()
    with pytest.raises(OSError, match="No such file"):
        publish(broker, "t", [b"refused"], now=0)
    client.consumer.ready = 9
    broker.mark_ready(broker.create_channel("t", "c"))
    broker.dispatch(now=0)
    assert client.bodies() == [b"a", b"b"]


def test_what_the_disk_refuses_for_one_channel_is_on_no_other(new_broker, directory):
    broker = new_broker(mem_queue_size=3)
    idle, full = broker.create_channel("t", "idle"), broker.create_channel("t", "full")
    topic = publish(broker, "t", [b"1", b"2"], now=0)
    idle.empty()
    directory.rmdir()
    for _ in range(5):
        with pytest.raises(OSError, match="No such file"):
            publish(broker, "t", [b"3", b"4"], now=0)
    assert (idle.depth, full.depth) == (0, 2)

    full.empty()
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", [b"5", b"6"], now=0)
    full.put(topic.queue.take(2))
    publish(broker, "t", [b"7", b"8"], now=0)
    broker.pause_topic(topic, paused=False)
    for _ in range(5):
        broker.dispatch(now=0)
    assert (topic.depth, idle.depth, full.depth) == (2, 0, 2)


def test_backlog_that_cannot_be_moved_is_reported_and_tried_again(new_broker, warnings, directory):
    broker = new_broker(mem_queue_size=3)
    channel = broker.create_channel("t", "c")
    topic = publish(broker, "t", [b"a", b"b"], now=0)
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", [b"c", b"d"], now=0)
    directory.rmdir()
    broker.pause_topic(topic, paused=False)
    assert not broker.dispatch(now=0)
    assert (topic.depth, channel.depth) == (2, 2)
    assert broker.health.text.startswith("NOK - ")
    assert [line for line in warnings if "failed to move messages" in line]

    directory.mkdir()
    publish(broker, "t", [b"e"], now=0)
    dispatch_all(broker)
    assert (topic.depth, channel.depth) == (0, 5)


def test_backlog_that_the_disk_refused_is_tried_again_a_second_later(new_broker, directory):
    broker = new_broker(mem_queue_size=3)
    channel = broker.create_channel("t", "c")
    topic = publish(broker, "t", [b"a", b"b"], now=0)
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", [b"c", b"d"], now=0)
    directory.rmdir()
    broker.pause_topic(topic, paused=False)
    broker.dispatch(now=0)
    directory.mkdir()

    assert broker.deadlines.next == DRAIN_RETRY
    broker.expire(now=DRAIN_RETRY)
    dispatch_all(broker)
    assert (topic.depth, channel.depth) == (0, 4)


@pytest.fixture
def half_moved(new_broker, monkeypatch):
    """A broker whose disk took a backlog of three for channel ``a`` and refuses it for ``b``."""
    broker = new_broker(mem_queue_size=0)
    topic = publish(broker, "t", [b"1", b"2", b"3"], now=0)
    pwrite, writes = SYSTEM.pwrite, []

    def fail_but_once(*args):
        writes.append(args)
        if len(writes) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(*args)

    broker.create_channel("t", "a")
    broker.create_channel("t", "b")
    monkeypatch.setattr(SYSTEM, "pwrite", fail_but_once)
    for second in range(5):
        dispatch_all(broker, second * SECOND)
        broker.expire(second * SECOND + DRAIN_RETRY)
    monkeypatch.setattr(SYSTEM, "pwrite", pwrite)
    assert topic.depth == 3
    return broker


def depths(broker):
    channels = broker.topics["t"].channels
    return broker.topics["t"].depth, channels["a"].depth, channels["b"].depth


def test_retries_of_a_backlog_give_no_channel_a_second_copy(half_moved):
    assert depths(half_moved) == (3, 3, 0)
    dispatch_all(half_moved, 10 * SECOND)
    assert depths(half_moved) == (0, 3, 3)


def test_backlog_that_is_half_moved_survives_a_restart(half_moved, new_broker):
    half_moved.close()
    broker = new_broker(mem_queue_size=0)
    broker.create_channel("t", "a")
    broker.create_channel("t", "b")
    assert depths(broker) == (0, 3, 3)


def test_backlog_that_is_half_moved_survives_a_crash(half_moved, new_broker):
    for job in (half_moved.storage.store.due(0), half_moved.storage.store.due(10 * SECOND)):
        if job is not None:
            job()
    broker = new_broker(mem_queue_size=0)
    broker.create_channel("t", "a")
    broker.create_channel("t", "b")
    dispatch_all(broker)
    assert broker.topics["t"].channels["b"].depth == 3


def test_backlog_that_is_half_moved_survives_a_stop_while_the_disk_is_full(
    half_moved, new_broker, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(SYSTEM, "pwrite", refuse)
        losses = half_moved.close()
        assert "No space" in losses["t"].reason
    broker = new_broker(mem_queue_size=0)
    broker.create_channel("t", "a")
    broker.create_channel("t", "b")
    dispatch_all(broker)
    assert broker.topics["t"].channels["b"].depth == 3


def refuse(*_args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_backlog_that_is_half_moved_ends_with_the_channel_that_lacks_it(half_moved):
    topic = half_moved.topics["t"]
    half_moved.delete_channel(topic, topic.channels["b"])
    dispatch_all(half_moved, 10 * SECOND)
    assert (topic.depth, topic.channels["a"].depth) == (0, 3)


def test_backlog_that_cannot_be_read_just_now_does_not_keep_the_broker_busy(
    new_broker, new_client, directory
):
    broker = new_broker(mem_queue_size=0)
    topic = publish(broker, "t", [b"a"], now=0)
    (file,) = directory.glob("t.diskqueue.0*.dat")
    away = file.rename(directory / "away")
    file.symlink_to(file)  # opening it fails, as it does when there are too many open files
    client = new_client(ready=9).join(broker)
    rounds = 0
    while broker.dispatch(now=0) and rounds < 10:
        rounds += 1
    assert rounds < 10
    assert topic.depth == 1

    away.rename(file)
    dispatch_all(broker)
    assert client.bodies() == [b"a"]


# ------------------------------------------------------------------ the end


@pytest.mark.slow
def test_a_crash_at_any_moment_while_a_backlog_moves_loses_nothing(tmp_path, monkeypatch):
    """Every call that changes the directory is a moment; the directory is copied before each."""

    def open_small(directory):
        store = DiskStore(str(directory), max_bytes_per_file=500, warn=lambda _: None)
        return open_broker(store, mem_queue_size=0)

    def everything(directory, channel):
        broker = open_small(directory)
        found = set()
        for queue in (broker.create_topic("t").queue, broker.create_channel("t", channel).queue):
            while records := queue.take(100):
                found |= {record[26:] for record in records}
        return found

    directory = tmp_path / "now"
    directory.mkdir()
    broker = open_small(directory)
    topic = broker.create_topic("t")
    bodies = [b"%d" % number for number in range(100)]
    publish(broker, "t", bodies, now=0)
    moments = []

    def watch(name, call):
        def copy_first(*args):
            moments.append(shutil.copytree(directory, tmp_path / str(len(moments))))
            return call(*args)

        monkeypatch.setattr(SYSTEM, name, copy_first)

    watch("pwrite", SYSTEM.pwrite)
    watch("replace", SYSTEM.replace)
    watch("unlink", SYSTEM.unlink)
    broker.create_channel("t", "a")
    broker.create_channel("t", "b")
    dispatch_all(broker)
    assert topic.depth == 0
    broker.close()
    monkeypatch.undo()
    moments.append(directory)

    assert len(moments) > 10
    for moment in moments:
        for channel in ("a", "b"):
            copy = shutil.copytree(moment, tmp_path / f"{moment.name}-{channel}")
            assert everything(copy, channel) == set(bodies)


def test_channel_that_cannot_be_read_just_now_is_tried_again(new_broker, new_client, monkeypatch):
    broker = new_broker(mem_queue_size=0)
    client = new_client(ready=9).join(broker)
    client.consumer.ready = 0
    publish(broker, "t", [b"a", b"b"], now=0)

    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(SYSTEM, "open", fail)
        client.consumer.ready = 9
        broker.mark_ready(broker.create_channel("t", "c"))
        dispatch_all(broker)
        assert client.bodies() == []
        for _ in range(3):
            broker.expire(broker.deadlines.next)
            dispatch_all(broker, broker.deadlines.next or 10 * SECOND)
    broker.expire(broker.deadlines.next)
    dispatch_all(broker, 20 * SECOND)
    assert client.bodies() == [b"a", b"b"]


def test_ids_are_new_though_the_clock_was_set_back(new_broker, new_client, directory):
    broker = new_broker()
    broker.create_channel("t", "c")
    broker.wall_offset = 1_700_000_000 * SECOND
    publish(broker, "t", [b"before"], now=0)
    broker.close()
    stamp = 1_700_000_001 * SECOND
    for path in directory.iterdir():
        os.utime(path, ns=(stamp, stamp))

    store = DiskStore(str(directory), warn=lambda _: None)
    again = open_broker(store, 1_600_000_000 * SECOND, ids_after=store.files.newest())
    client = new_client(ready=9).join(again)
    publish(again, "t", [b"after"], now=0)
    dispatch_all(again)
    ids = {message.body: message.id for message in client.messages()}
    assert ids[b"after"] > ids[b"before"]


def test_closing_broker_takes_nothing_any_more(broker):
    topic = publish(broker, "t", [b"a"], now=0)
    broker.create_channel("t", "c")
    broker.close()
    for refused in (
        lambda: broker.create_topic("new"),
        lambda: broker.create_channel("new", "c"),
    ):
        with pytest.raises(Exiting):
            refused()
    for name, delay in (("t", 0), ("t", 5), ("new", 0)):
        with pytest.raises(OSError, match="exiting"):
            publish(broker, name, [b"b"], 0, delay=delay)
    assert topic.message_count == 1


def test_restarted_broker_has_everything_with_attempts_kept(new_broker, new_client):
    broker = new_broker(mem_queue_size=3)
    broker.wall_offset = 1_700_000_000 * SECOND
    client = new_client(ready=2).join(broker)
    for body in (b"in flight", b"requeued later"):
        publish(broker, "t", [body], now=0)
    broker.dispatch(now=0)
    before = {message.body: message for message in client.messages()}
    channel = broker.create_channel("t", "c")
    channel.requeue(client.consumer, [before[b"requeued later"].id], 1000 * SECOND, now=0)
    client.consumer.ready = 0
    publish(broker, "t", [b"1", b"2", b"3", b"4", b"5"], now=0)
    publish(broker, "t", [b"deferred"], 0, delay=1000 * SECOND)
    broker.dispatch(now=0)
    publish(broker, "waiting", [b"6"], now=0)
    publish(broker, "waiting", [b"7"], 0, delay=1000 * SECOND)
    new_client(ready=9).join(broker, channel="c#ephemeral")
    broker.close()
    client.leave(broker)  # its session ends after the queues were closed

    broker, client = new_broker(mem_queue_size=3), new_client(ready=99)
    client.join(broker)
    dispatch_all(broker)
    after = client.messages()
    assert {message.body: message.attempts for message in after} == {
        b"in flight": 2,
        b"requeued later": 2,
        b"deferred": 1,
    } | {b"%d" % number: 1 for number in range(1, 6)}
    assert len(after) == 8
    again = {message.body: message for message in after}
    for body, message in before.items():
        assert (again[body].id, again[body].timestamp) == (message.id, message.timestamp)

    assert broker.create_topic("waiting").depth == 2
    client = new_client(ready=99).join(broker, topic="waiting")
    dispatch_all(broker)
    assert sorted(client.bodies()) == [b"6", b"7"]


def test_closing_tries_every_queue_and_tells_what_failed_first(new_broker, directory):
    broker = new_broker()
    for name in ("t", "u"):
        publish(broker, name, [b"x"], now=0)
    (directory / "t.diskqueue.000000.dat").mkdir()
    losses = broker.close()
    assert list(losses) == ["t"]
    assert losses["t"].messages == 1
    assert "Is a directory" in losses["t"].reason
    assert new_broker().create_topic("u").depth == 1
