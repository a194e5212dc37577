"""A few messages do not keep whole segments, wherever nsqd is killed over it."""

import os
from collections.abc import Iterator

import pytest
from tests.nsqd.storage.durable.test_moves import publish, start, tick
from tests.nsqd.storage.durable.test_parking import HOUR, SECOND, come, defer, queue_of

from nsqd.engine.broker import Broker
from nsqd.storage.durable.topics.tidying import tidy_all

SEGMENT = 1 << 14


def begin(path) -> Broker:
    broker = start(path)
    broker.storage.store.segment_size = SEGMENT
    broker.create_channel("t", "c")
    return broker


def traffic(broker: Broker, count: int = 100) -> None:
    """Messages that are consumed at once: 1 kB each."""
    for number in range(count):
        publish(broker, "t", b"%01000d" % number)
    assert len(come(broker, 1)) == count
    tick(broker)


def in_flight(records: list[bytes]):
    return lambda topic, channel: iter(records)


def checkpoint(broker: Broker, flying: Iterator[bytes] | tuple[()] = ()) -> None:
    storage = broker.storage
    found = storage.store.snapshot(lambda log: storage.held(log, in_flight(list(flying))))
    found.run()
    storage.store.checkpointed(found, None)


def tidy(broker: Broker, flying: Iterator[bytes] | tuple[()] = ()) -> None:
    storage = broker.storage
    topics = list(storage.store.topics.values())
    for _ in tidy_all(topics, lambda log: storage.held(log, in_flight(list(flying)))):
        pass


def segments(broker: Broker) -> int:
    """How many files there are."""
    log = broker.topics["t"].log.topic.log
    return len([name for name in os.listdir(log.directory) if name.endswith(".log")])


def a_month_on(path, *, hours: int = 24) -> Broker:
    """A little is deferred every now and then, between much that is consumed."""
    broker = begin(path)
    for number in range(6):
        defer(broker, hours * HOUR, b"far %d" % number)
        traffic(broker)
    checkpoint(broker)
    return broker


FAR = [b"far %d" % number for number in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["", "before", "after the move", "after the checkpoint"])
def test_messages_deferred_for_a_day_do_not_keep_the_files_they_were_in(tmp_path, killed):
    broker = a_month_on(tmp_path)
    assert segments(broker) > 6
    if killed == "before":
        broker = start(tmp_path)
        checkpoint(broker)
    tidy(broker)
    if killed != "before":
        tick(broker)
    if killed == "after the move":
        broker = start(tmp_path)
        tick(broker)
    elif killed != "before":
        traffic(broker, 1)
        checkpoint(broker)
        assert segments(broker) <= 4
        if killed:
            broker = start(tmp_path)
    assert queue_of(broker).deferred == 6
    assert come(broker, 24 * HOUR - 2) == []
    assert sorted(come(broker, 24 * HOUR + 1)) == FAR
    tick(broker)
    assert (queue_of(start(tmp_path)).deferred, queue_of(start(tmp_path)).depth) == (0, 0)


@pytest.mark.slow
def test_what_is_written_once_more_can_be_looked_at_withdrawn_and_put_off(tmp_path):
    broker = a_month_on(tmp_path)
    tidy(broker)
    tick(broker)
    checkpoint(broker)
    broker = start(tmp_path)
    queue = queue_of(broker)
    seen = {record[26:]: record for record, _ in queue.look_deferred()}
    assert sorted(seen) == FAR
    assert not queue.log.moved  # what is parked takes no more memory for having been moved
    taken = queue.withdraw_deferred({seen[b"far 2"][10:26], seen[b"far 3"][10:26]}, (), 100)
    assert sorted(record[26:] for record in taken.records) == [b"far 2", b"far 3"]
    queue.finish([taken.records[0][10:26]])
    queue.defer([taken.records[1]], 48 * HOUR)
    queue.release_due(24 * HOUR - 30 * SECOND, 1000)  # the others are in memory by now
    tick(broker)
    checkpoint(broker)
    broker = start(tmp_path)
    left = sorted(record[26:] for record, _ in queue_of(broker).look_deferred())
    assert left == sorted(set(FAR) - {taken.records[0][26:]})


@pytest.mark.slow
@pytest.mark.parametrize("finished", [False, True])
def test_what_a_consumer_holds_for_long_does_not_keep_its_files_either(tmp_path, finished):
    broker = begin(tmp_path)
    publish(broker, "t", b"held")
    (held,) = queue_of(broker).take(1)
    for _ in range(4):
        traffic(broker, 50)
    checkpoint(broker, [held])
    tidy(broker, [held])
    if finished:  # while it is on its way
        queue_of(broker).finish([held[10:26]])
    tick(broker)
    flying = [] if finished else [held]
    checkpoint(broker, flying)
    traffic(broker, 1)
    checkpoint(broker, flying)
    assert segments(broker) <= 3
    again = start(tmp_path)
    assert [record[26:] for record in queue_of(again).take(9)] == [b"held"] * (not finished)


@pytest.mark.slow
def test_where_the_disk_refuses_the_messages_stay_where_they_are(tmp_path):
    broker = a_month_on(tmp_path)
    log = broker.topics["t"].log.topic.log
    tidy(broker)
    log.disk.full = broker.storage.store.disk.full = True
    store = broker.storage.store
    for _ in range(4):
        store.end_tick(0)
    log.disk.full = store.disk.full = False
    tick(broker)
    checkpoint(broker)
    for each in (broker, start(tmp_path)):
        assert queue_of(each).deferred == 6
        assert come(each, 24 * HOUR + 1) == FAR


@pytest.mark.slow
def test_parking_files_are_dropped_when_nothing_in_them_is_needed(tmp_path):
    broker = a_month_on(tmp_path, hours=1)
    tidy(broker)
    tick(broker)
    defer(broker, 24 * HOUR, b"later")
    traffic(broker)
    checkpoint(broker)
    log = broker.topics["t"].log.topic.log
    (parked,) = log.parked
    assert come(broker, HOUR + 1) == FAR
    tick(broker)
    traffic(broker)
    checkpoint(broker)
    assert parked not in {segment.first for segment in log.segments}
    assert not log.parked
    assert come(start(tmp_path), 24 * HOUR + 1) == [b"later"]


@pytest.mark.slow
def test_a_message_that_cannot_be_read_any_more_is_not_tried_for_ever(tmp_path):
    broker = a_month_on(tmp_path)
    log = broker.topics["t"].log.topic.log
    first = log.segments[0]
    content = first.disk.read(first.descriptor, first.size, 0)
    first.write(content.replace(b"far 0", b"rot 0"), 0)
    for _ in range(2):
        tidy(broker)
        tick(broker)
        checkpoint(broker)
    assert broker.topics["t"].log.topic.unreadable == {first.first}
    assert log.segments[0] is first
    assert come(broker, 24 * HOUR + 1) == FAR[1:]
