"""Messages that are due far off are not in memory, and come at their time."""

import errno
import random
import sys

import pytest
from tests.nsqd.storage.durable.test_moves import Disk, start, tick

from nsqd.engine.broker import Broker
from nsqd.storage.durable.topics.parking import Parked, Parking, Waiting

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


class SickDisk(Disk):
    """A disk that gives nothing while it is ``sick``."""

    sick = False

    def read(self, descriptor, size, position):
        if self.sick:
            raise OSError(errno.EIO, "sick")
        return super().read(descriptor, size, position)


def defer(broker: Broker, delay: int, *bodies: bytes) -> None:
    """DPUB at the time 0."""
    answers: list[str | None] = []
    broker.publish("t", list(bodies), 0, answers.append, delay)
    tick(broker)
    assert answers == [None]


def queue_of(broker: Broker):
    return broker.topics["t"].channels["c"].queue


def come(broker: Broker, now: int) -> list[bytes]:
    """The bodies that are delivered at ``now``, with all that has to be done for it."""
    queue = queue_of(broker)
    while queue.next_due is not None and queue.next_due <= now:
        queue.release_due(now, 1000)
    records = queue.take(10_000)
    queue.finish([record[10:26] for record in records])
    return [record[26:] for record in records]


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_due_far_off_is_not_in_memory_and_comes_when_it_is_due(tmp_path, killed):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    bodies = [b"%04d" % number for number in range(500)]
    defer(broker, 24 * HOUR, *bodies)
    if killed:
        broker = start(tmp_path)

    queue = queue_of(broker)
    assert (queue.deferred, queue.depth) == (500, 0)
    assert len(queue.deferred_records) == 0
    assert come(broker, 24 * HOUR - 2) == []
    assert come(broker, 24 * HOUR + 1) == bodies
    assert (queue.deferred, queue.next_due) == (0, None)


def test_what_was_put_off_for_long_keeps_its_attempts(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    defer(broker, 0, b"x")
    queue = queue_of(broker)
    (record,) = queue.take(1)
    record = record[:8] + b"\0\4" + record[10:]
    queue.defer([record], 5 * HOUR)
    tick(broker)

    queue = queue_of(start(tmp_path))
    assert len(queue.deferred_records) == 0
    queue.release_due(5 * HOUR - SECOND, 10)
    queue.release_due(5 * HOUR + 1, 10)
    assert [each[8:10] for each in queue.take(10)] == [b"\0\4"]


def test_what_is_parked_can_be_looked_at_and_withdrawn(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    for hours in (1, 2, 3):
        defer(broker, hours * HOUR, b"%d" % hours, b"and %d" % hours)
    defer(broker, SECOND, b"soon")
    queue = queue_of(broker)
    seen = {record[26:]: (record, due) for record, due in queue.look_deferred()}
    assert sorted(seen) == [b"1", b"2", b"3", b"and 1", b"and 2", b"and 3", b"soon"]
    assert seen[b"2"][1] == 2 * HOUR

    wanted = {seen[body][0][10:26] for body in (b"1", b"2", b"and 2", b"soon")}
    taken, place = [], ()
    while place is not None:
        step = queue.withdraw_deferred(wanted, place, 1)
        taken += [record[26:] for record in step.records]
        place = step.next
    assert sorted(taken) == [b"1", b"2", b"and 2", b"soon"]
    queue.finish(list(wanted))
    tick(broker)

    assert come(broker, 9 * HOUR) == [b"and 1", b"3", b"and 3"]
    assert queue_of(start(tmp_path)).deferred == 3  # what came was not journaled yet


def test_an_emptied_channel_has_nothing_parked_either(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    defer(broker, HOUR, b"x")
    queue_of(broker).empty()
    tick(broker)
    for each in (broker, start(tmp_path)):
        assert (queue_of(each).deferred, queue_of(each).next_due) == (0, None)


def test_what_cannot_be_read_when_it_is_due_is_read_later(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    defer(broker, HOUR, b"x")
    queue = queue_of(broker)
    disk = SickDisk()
    for segment in queue.topic.log.segments:
        segment.disk = disk
    queue.topic.log.write_rest()
    disk.sick = True
    queue.release_due(HOUR + 1, 10)
    assert queue.take(1) == []
    assert HOUR < queue.next_due <= HOUR + 2 * SECOND  # no busy loop
    disk.sick = False
    assert come(broker, queue.next_due) == [b"x"]


def test_segments_stay_while_what_is_parked_is_in_them(tmp_path):
    broker = start(tmp_path)
    store = broker.storage.store
    store.segment_size = 1 << 12
    broker.create_channel("t", "c")
    defer(broker, HOUR, b"first")
    for number in range(30):
        defer(broker, 0, b"%01000d" % number)
    assert len(come(broker, 1)) == 30
    tick(broker)
    for _ in range(2):
        checkpoint = store.snapshot(lambda log: broker.storage.held(log, lambda *_: iter(())))
        checkpoint.run()
        store.checkpointed(checkpoint, None)

    assert come(start(tmp_path), HOUR + 1) == [b"first"]


def test_a_parked_message_takes_a_few_bytes():
    parking = Parking()
    for id in range(100_000):
        parking.put(Parked(id, 0, 3, id * (86_400 * SECOND // 1_000_000)))
    assert sum(map(sys.getsizeof, parking.parts())) < 40 * 100_000


def test_what_waits_is_found_by_id_in_whatever_order_it_came():
    chance = random.Random(1)
    ids = chance.sample(range(10_000), 500)
    waiting = Waiting()
    for id in ids:
        waiting.add(id, id + 1, 2, id + 3)
    assert waiting.pop(10_001) is None
    for id in ids[:100]:
        assert waiting.pop(id) == Parked(id, id + 1, 2, id + 3)
        assert waiting.pop(id) is None
    assert len(waiting) == 400
    assert sorted(each.id for each in waiting) == sorted(ids[100:])
