"""Faults of the engine that users have met, each as a kind."""

import errno
import time
import tracemalloc

import pytest
from tests.nsqd.broker import open_broker, publish
from tests.nsqd.engine.conftest import SECOND, Client

from nsqd.engine.errors import NotInFlight
from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import SYSTEM, FileSystem

MIB = 1 << 20
STEP = 6000  # messages that one tick may move: some milliseconds' work


class SmallDisk(FileSystem):
    """Has room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def pwrite(self, descriptor: int, data: bytes, position: int) -> int:  # type: ignore[override]
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return SYSTEM.pwrite(descriptor, data, position)


@pytest.fixture
def files_of(directory):
    """Where a queue's meta file says that it is read: file number and position."""

    def read(queue: str) -> tuple[int, int]:
        lines = (directory / f"{queue}.diskqueue.meta.dat").read_text().splitlines()
        number, position = map(int, lines[1].split(","))
        return number, position

    return read


def dispatch_all(broker, now=0):
    while broker.dispatch(now):
        pass


# ------------------------------------------------ what was deleted acts on what is new (145, 4)


@pytest.fixture
def made_anew(new_broker, new_client):
    """A disk-only broker whose channel was deleted under a consumer that holds messages, and made
    anew, with 20 messages in it."""
    broker = new_broker(mem_queue_size=0)
    stuck = new_client(ready=5).join(broker)
    publish(broker, "t", [b"old %d" % number for number in range(40)])
    dispatch_all(broker)
    broker.delete_channel(broker.topics["t"], stuck.channel)
    broker.create_channel("t", "c")
    publish(broker, "t", [b"new %d" % number for number in range(20)])
    return broker, stuck


def late(stuck: Client, what: str) -> None:
    """What a consumer that did not hear of the deletion still does."""
    id = stuck.messages()[0].id
    channel, consumer = stuck.channel, stuck.consumer
    if what == "requeue":
        assert channel.requeue(consumer, [id], 0, 0) == [id]
    elif what == "defer":
        assert channel.requeue(consumer, [id], 5, 0) == [id]
    elif what == "touch":
        with pytest.raises(NotInFlight):
            channel.touch(consumer, id, 0)
    elif what == "finish":
        assert channel.finish(consumer, [id], 0) == [id]
    elif what == "leave":
        channel.remove(consumer)


@pytest.mark.parametrize("what", ["requeue", "defer", "touch", "finish", "leave"])
def test_late_consumers_of_a_deleted_channel_do_nothing_to_one_made_anew(
    made_anew, new_client, what
):
    broker, stuck = made_anew
    late(stuck, what)
    broker.mark_ready(stuck.channel)
    broker.consumer_left(stuck.channel)
    broker.expire(10**18)
    dispatch_all(broker)
    anew = broker.topics["t"].channels["c"]
    assert anew.depth == 20
    client = new_client(ready=99).join(broker)
    dispatch_all(broker)
    assert sorted(client.bodies()) == sorted(b"new %d" % number for number in range(20))


def test_deleted_messages_are_not_back_after_a_restart(made_anew, new_broker, new_client):
    broker, stuck = made_anew
    late(stuck, "requeue")
    stuck.channel.queue.give_back([stuck.consumer.in_flight.get(b"", bytes(30))])
    broker.close()
    again = new_broker(mem_queue_size=0)
    client = new_client(ready=99).join(again)
    dispatch_all(again)
    assert sorted(client.bodies()) == sorted(b"new %d" % number for number in range(20))


def test_a_deleted_disk_queue_refuses_everything(directory, records):
    store = DiskStore(str(directory), warn=print)
    old = DiskQueue("t:c", store)
    old.put(records(3))
    old.take(1)
    job = old.sync_jobs()
    old.delete()
    new = DiskQueue("t:c", store)
    new.put(records([b"new"]))
    with pytest.raises(OSError, match="deleted"):
        old.put(records(1))
    assert old.take(5) == []
    old.commit()
    old.empty()
    old.close()
    job.sync_files()
    job.note_cursors()
    assert [record[26:] for record in new.take(5)] == [b"new"]


# ------------------------------------------------ finished messages leave memory (5)


@pytest.mark.slow
def test_finished_messages_leave_memory_at_once(broker, new_client):
    clients = [new_client(ready=1).join(broker) for _ in range(8)]
    publish(broker, "t", [b"warm"])
    dispatch_all(broker)
    tracemalloc.start()
    for _ in range(20):
        publish(broker, "t", [bytes(MIB) for _ in range(10)])
        for _ in range(20):
            dispatch_all(broker)
            for client in clients:
                ids = list(client.consumer.in_flight)
                client.messages()
                client.channel.finish(client.consumer, ids, 0)
                broker.mark_ready(client.channel)
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clients[0].channel.depth == 0
    assert left < MIB


def test_taken_messages_leave_the_queue_at_once(broker, new_client):
    client = new_client(ready=1).join(broker)
    publish(broker, "t", [bytes(MIB) for _ in range(40)])
    tracemalloc.start()
    for _ in range(30):
        dispatch_all(broker)
        client.channel.finish(client.consumer, client.ids(), 0)
        broker.mark_ready(client.channel)
    freed, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert client.channel.depth == 10
    assert freed < MIB  # what is traced is what was allocated meanwhile, less what went
    assert sum(map(len, client.channel.queue.take(99))) <= 11 * (MIB + 26)


# ------------------------------------------------ TOUCH does not scan (8)


def steps_of_touching(client: Client, count: int) -> float:
    """CPU seconds that touching ``count`` messages in flight takes, with the deadline asked for."""
    ids = list(client.consumer.in_flight)[:count]
    began = time.process_time()
    for number, id in enumerate(ids):
        client.channel.touch(client.consumer, id, now=number)
        assert client.consumer.held.next_deadline is not None
    return time.process_time() - began


@pytest.mark.slow
def test_touching_many_messages_costs_the_same_for_each(broker, new_client):
    client = new_client(ready=40_000).join(broker)
    publish(broker, "t", [b"x"] * 40_000)
    dispatch_all(broker)
    few = steps_of_touching(client, 100)
    many = steps_of_touching(client, 20_000)
    # 200 times as many; a scan for each would make it thousands of times
    assert many < 20 * 200 * max(few, 1e-4)
    assert len(client.consumer.in_flight) == 40_000


def cpu_of_requeueing(client: Client, ids: list[bytes]) -> float:
    """CPU seconds that giving ``ids`` back, to come again much later, takes."""
    began = time.process_time()
    for id in ids:
        client.channel.requeue(client.consumer, [id], 60 * SECOND, now=0)
    return time.process_time() - began


@pytest.mark.slow
def test_requeueing_all_that_is_held_costs_the_same_for_each(broker, new_client):
    client = new_client(ready=20_000).join(broker)
    publish(broker, "t", [b"x"] * 20_000)
    dispatch_all(broker)
    ids = list(client.consumer.in_flight)
    few = cpu_of_requeueing(client, ids[:2_000])
    many = cpu_of_requeueing(client, ids[2_000:])
    assert many < 10 * 9 * max(few, 1e-3)
    assert client.channel.deferred_count == 20_000


@pytest.mark.slow
def test_messages_that_are_requeued_again_and_again_keep_no_trace_of_each_time(broker, new_client):
    client = new_client(ready=1_000).join(broker)
    publish(broker, "t", [b"x"] * 1_000)
    tracemalloc.start()
    for _ in range(30):
        dispatch_all(broker)
        for message in client.messages():
            client.channel.requeue(client.consumer, [message.id], 0, now=0)
        broker.mark_ready(client.channel)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert client.channel.depth == 1_000
    assert kept < MIB


# ------------------------------------------------ much that is due at once (146)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 10])
def test_many_deferred_messages_that_come_due_together_go_in_steps(broker, channels):
    for number in range(channels):
        broker.create_channel("t", f"c{number}")
    publish(broker, "t", [b"x"] * 30_000, delay=SECOND)
    steps = 0
    while broker.deadlines.next is not None:
        before = waiting(broker)
        broker.expire(2 * SECOND)
        broker.dispatch(2 * SECOND)
        steps += 1
        assert 0 < before - waiting(broker) <= STEP
    assert steps >= channels * 30_000 // STEP
    assert {c.depth for c in broker.topics["t"].channels.values()} == {30_000}


def waiting(broker) -> int:
    return sum(channel.deferred_count for channel in broker.topics["t"].channels.values())


@pytest.mark.slow
def test_messages_that_time_out_together_are_queued_again_in_steps(broker, new_client):
    client = new_client(ready=30_000, msg_timeout=1).join(broker)
    publish(broker, "t", [b"x"] * 30_000)
    dispatch_all(broker)
    client.consumer.ready = 0
    while broker.deadlines.next is not None:
        before = client.channel.depth
        broker.expire(2 * SECOND)
        assert client.channel.depth - before <= STEP
    assert client.channel.depth == client.channel.timeout_count == 30_000


def test_unpausing_a_topic_with_many_deferred_messages_goes_in_steps(broker):
    for number in range(5):
        broker.create_channel("t", f"c{number}")
    topic = broker.topics["t"]
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", [b"x"] * 5000, delay=SECOND)
    broker.pause_topic(topic, paused=False)
    steps = 0
    while topic.depth:
        before = waiting(broker)
        broker.dispatch(0)
        steps += 1
        assert waiting(broker) - before <= 1000
    assert steps >= 20
    assert waiting(broker) == 25_000


# ------------------------------------------------ DPUB and the disk (20)


@pytest.mark.parametrize("flowing", [True, False])
def test_a_deferred_publish_is_refused_where_memory_is_full_and_the_disk_is_gone(
    new_broker, directory, flowing
):
    broker = new_broker(mem_queue_size=0)
    if flowing:
        broker.create_channel("t", "c")
    publish(broker, "t", [b"before"], delay=5 * SECOND)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    for queue in (
        broker.topics["t"].queue,
        *(c.queue for c in broker.topics["t"].channels.values()),
    ):
        queue._disk.release()  # as after two seconds without a message
    with pytest.raises(OSError, match="No such file"):
        publish(broker, "t", [b"after"], delay=5 * SECOND)
    assert broker.health.error
    assert broker.topics["t"].message_count == 1


def test_a_deferred_publish_that_memory_has_room_for_needs_no_disk(new_broker, directory):
    broker = new_broker(mem_queue_size=10)
    broker.create_channel("t", "c")
    directory.rmdir()
    publish(broker, "t", [b"x"], delay=5 * SECOND)
    assert broker.topics["t"].channels["c"].deferred_count == 1


# ------------------------------------------------ a stop on a full disk (13)


def test_at_a_stop_on_a_full_disk_all_that_fits_is_kept_and_each_loss_is_named(
    directory, new_client
):
    disk = SmallDisk(30 * 1024)
    broker = open_broker(DiskStore(str(directory), warn=print, fs=disk))
    for name, bodies in (("a", 3), ("big", 40), ("z", 3)):
        publish(broker, name, [bytes(1000)] * bodies)
    losses = broker.close()
    assert list(losses) == ["big", "z"] or list(losses) == ["big"]
    assert "No space left" in losses["big"].reason
    again = open_broker(DiskStore(str(directory), warn=print))
    assert again.create_topic("a").depth == 3
    assert again.create_topic("big").depth == 40 - losses["big"].messages
    assert 20 <= again.create_topic("big").depth < 40


# ------------------------------------------------ files after a clean stop (148)


def test_after_a_clean_stop_no_cursor_stands_at_the_end_of_a_file_that_was_read(
    directory, new_client, files_of
):
    store = DiskStore(str(directory), max_bytes_per_file=300, warn=print)
    broker = open_broker(store, mem_queue_size=0)
    client = new_client(ready=0).join(broker)
    publish(broker, "t", [bytes(100)])
    publish(broker, "t", [bytes(100)])
    client.consumer.ready = 2
    broker.mark_ready(client.channel)
    dispatch_all(broker)
    client.channel.finish(client.consumer, client.ids(), 0)
    publish(broker, "t", [bytes(100)])
    client.consumer.ready = 0
    broker.close()
    number, position = files_of("t:c")
    path = directory / f"t:c.diskqueue.{number:06d}.dat"
    assert position < path.stat().st_size


def test_a_plain_channel_of_an_ephemeral_topic_leaves_no_files(directory, new_broker):
    broker = new_broker(mem_queue_size=0)
    broker.create_channel("t#ephemeral", "plain")
    publish(broker, "t#ephemeral", [b"x"])
    broker.close()
    assert list(directory.iterdir()) == []


@pytest.mark.slow
def test_what_many_consumers_wait_for_is_delivered_in_steps(broker, new_client):
    clients = [new_client(ready=2500).join(broker, "t", f"c{n % 10}") for n in range(40)]
    for _ in range(10):
        publish(broker, "t", [b"x"] * 1000)
    publish(broker, "t", [b"x"] * 10)
    sent = 0
    while True:
        more = broker.dispatch(0)
        now_sent = sum(client.consumer.message_count for client in clients)
        assert now_sent - sent <= 60_000
        sent = now_sent
        if not more:
            break
    assert sent == sum(10_010 for _ in range(10)) or sent == 40 * 2500
