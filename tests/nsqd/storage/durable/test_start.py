"""What a start has to read does not grow with what was published, or is queued."""

import time
from collections import Counter

import pytest

from nsqd.storage.durable.log.segments import first_of
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.topic import DurableTopic
from nsqd.storage.files.durable_disk import OsDisk


class CountingDisk(OsDisk):
    """A disk that knows which files were read, and how many bytes."""

    def __init__(self) -> None:
        self.opened: dict[int, str] = {}
        self.read_from: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def open(self, path, *, create=False):
        descriptor = super().open(path, create=create)
        self.opened[descriptor] = path
        return descriptor

    def read(self, descriptor, size, position):
        data = super().read(descriptor, size, position)
        self.read_from[self.opened[descriptor].rpartition("/")[2]] += len(data)
        return data

    def write(self, descriptor, parts, position, *, sync=False):
        super().write(descriptor, parts, position, sync=sync)
        self.written[self.opened[descriptor].rpartition("/")[2]] += sum(map(len, parts))


def run(store: DurableStore, now: int = 0) -> None:
    """End a tick, and do the chores, as nsqd does."""
    store.end_tick(now)
    if store.wants_checkpoint(now):
        checkpoint = store.snapshot(lambda queue: [])
        checkpoint.run()
        store.checkpointed(checkpoint, None)
    if store.files.wants_file:
        store.prepare()


def publish(store: DurableStore, topic: DurableTopic, first: int, count: int, size: int) -> None:
    records = [
        b"".join((bytes(8), b"\0\1", b"%016x" % id, bytes(size)))
        for id in range(first, first + count)
    ]
    topic.publish(records, wall=1, done=lambda error: None)
    run(store)


def begin(path, disk: OsDisk, **sizes: int) -> tuple[DurableStore, DurableTopic]:
    store = DurableStore(disk, str(path / "durable"), **sizes)
    store.prepare()
    topic = store.create("t", "os")
    topic.create_channel("c", topic.make_queue).memory_limit = 10
    topic.let_flow(True)
    return store, topic


def restart(path, disk: OsDisk, **sizes: int) -> tuple[DurableStore, DurableTopic]:
    """What the next nsqd does before it is ready."""
    store = DurableStore(disk, str(path / "durable"), **sizes)
    (found,) = store.open()
    topic = store.adopt(found)
    for state in found.state.channels:
        queue = topic.make_queue(state)
        queue.restore(topic.load(queue)[0])
        topic.adopt(queue)
    return store, topic


@pytest.mark.slow
def test_a_start_applies_no_more_entries_than_there_may_be_between_two_checkpoints(tmp_path):
    store, topic = begin(tmp_path, OsDisk(), checkpoint_entries=50)
    for id in range(1, 301):
        publish(store, topic, id, 1, 10)

    store, topic = restart(tmp_path, OsDisk())

    assert 0 < store.report.entries <= 50
    assert next(iter(topic.queues.values())).depth == 300


def test_a_start_reads_of_a_long_backlog_only_where_the_channels_are_and_its_end(tmp_path):
    sizes = {"file_size": 1 << 16, "segment_size": 1 << 14}
    store, topic = begin(tmp_path, OsDisk(), **sizes)
    for turn in range(200):
        publish(store, topic, 10 * turn + 1, 10, 500)
    assert len(topic.log.segments) > 50

    disk = CountingDisk()
    store, topic = restart(tmp_path, disk, **sizes)

    assert next(iter(topic.queues.values())).depth == 2000
    read = sorted(filter(lambda name: first_of(name) is not None, disk.read_from))
    written = (1 << 16) // (1 << 14)  # segments that one journal file tells of
    assert len(read) <= 2 * written + 3


@pytest.mark.slow
def test_what_a_start_applies_costs_little(tmp_path):
    store, topic = begin(tmp_path, OsDisk())
    (queue,) = topic.queues.values()
    for id in range(1, 1501):
        publish(store, topic, id, 1, 10)
        records = queue.take(1)
        queue.sent(records)
        queue.finish([record[10:26] for record in records])
    run(store)

    begun = time.process_time()
    store, topic = restart(tmp_path, OsDisk())
    cost = time.process_time() - begun

    assert store.report.entries >= 4_500
    # 0.05 s where it was measured
    assert cost < 1, cost


def test_a_start_does_not_read_journal_files_that_the_states_have_made_superfluous(tmp_path):
    sizes = {"file_size": 1 << 15, "segment_size": 1 << 15}
    store, topic = begin(tmp_path, OsDisk(), **sizes)
    for id in range(1, 300):  # faster than a slow disk makes checkpoints
        topic.publish([bytes(8) + b"\0\1" + b"%016x" % id + bytes(1000)], wall=1, done=print)
        store.end_tick(0)
        if store.files.wants_file:
            store.prepare()
    assert len(store.files.full) > 5
    run(store)
    disk = CountingDisk()

    store, topic = restart(tmp_path, disk, **sizes)

    read = [size for name, size in disk.read_from.items() if name.startswith("journal")]
    assert len(read) > 5  # of each at least what it begins with
    assert sum(size > 8192 for size in read) <= 2  # the current one, and one that is ready
    assert next(iter(topic.queues.values())).depth == 299


@pytest.mark.parametrize(("mode", "filled"), [("os", False), ("interval", True), ("always", True)])
def test_journal_files_are_filled_with_zeros_only_where_they_are_to_be_synced(
    tmp_path, mode, filled
):
    disk = CountingDisk()
    store = DurableStore(disk, str(tmp_path / "durable"), file_size=1 << 15)
    store.create("t", mode)
    store.prepare()
    assert (disk.written["journal.000001"] > 1 << 15) is filled
    assert disk.size(str(tmp_path / "durable" / "journal.000001")) == 1 << 15
