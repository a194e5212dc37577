"""Messages that go from a channel to a topic, and back to one channel of it: in one step."""

import errno
import json

import pytest

from nsqd.engine.broker import Broker, EngineSettings
from nsqd.engine.rules import Rules
from nsqd.rescue.dumping import dump_entries
from nsqd.rescue.reading import open_durable
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.files.durable_disk import OsDisk
from nsqd.storage.queues.tiered import TieredStorage


class Disk(OsDisk):
    """A disk that takes nothing while it is ``full``."""

    full = False

    def write(self, descriptor, parts, position, *, sync=False):
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        super().write(descriptor, parts, position, sync=sync)


def start(path, durability: str = "always") -> Broker:
    """An nsqd's engine on the directory ``path``, with what it left there when it was killed."""
    store = DurableStore(Disk(), str(path / "durable"), file_size=1 << 20)
    plain = TieredStorage(DiskStore(str(path), warn=print))
    storage = DurableStorage(plain, store, lambda: 0, store.prepare)
    opened = storage.open()
    newest = max([found.log.newest for found in opened], default=0)
    settings = EngineSettings(rules=Rules(durability=durability))
    broker = Broker(settings, storage, 0, ids_after=newest)
    for found in opened:
        topic = broker.create_topic(found.state.name)
        topic.paused = found.state.paused
        for state in found.state.channels:
            broker.create_channel(topic.name, state.name)
    return broker


def tick(broker: Broker) -> None:
    store = broker.storage.store
    broker.flush(0)
    while not store.journal.idle or store.has_notes:
        if store.files.wants_file:
            store.prepare()
        store.end_tick(0)


def publish(broker: Broker, topic: str, *bodies: bytes) -> None:
    answers: list[str | None] = []
    broker.publish(topic, list(bodies), 0, answers.append)
    tick(broker)
    assert answers == [None]


def new_records(broker: Broker, bodies: list[bytes]) -> list[bytes]:
    return broker.publisher.make_records(bodies, 1)


def bodies(broker: Broker, topic: str, channel: str) -> list[bytes]:
    """What is queued, which is taken by it."""
    queue = broker.create_channel(topic, channel).queue
    depth = queue.depth
    found = queue.take(1000)
    assert len(found) == depth
    return sorted(record[26:] for record in found)


def move(broker: Broker, source: tuple[str, str], target: str, only: str = "", count: int = 2):
    """Move messages, and tell what was said of them."""
    queue = broker.topics[source[0]].channels[source[1]].queue
    taken = queue.take(count)
    said: list[tuple[list[bytes], str | None]] = []
    records = new_records(broker, [b"moved " + record[26:] for record in taken])
    log = broker.topics[target].log
    log.move(queue, taken, records, lambda *each: said.append(each), only=only)
    return queue, taken, said


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_moved_is_in_the_other_topic_and_nowhere_else(tmp_path, killed):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_channel("dead", "look")
    publish(broker, "t", b"1", b"2", b"3")

    _, taken, said = move(broker, ("t", "c"), "dead")
    assert said == []  # not before it is kept
    tick(broker)
    assert said == [(taken, None)]

    if killed:
        broker = start(tmp_path)
    assert bodies(broker, "t", "c") == [b"3"]
    assert bodies(broker, "dead", "look") == [b"moved 1", b"moved 2"]


def test_what_nsqd_is_killed_over_while_it_moves_is_where_it_was(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_channel("dead", "look")
    publish(broker, "t", b"1", b"2", b"3")
    move(broker, ("t", "c"), "dead")

    broker = start(tmp_path)

    assert bodies(broker, "t", "c") == [b"1", b"2", b"3"]
    assert bodies(broker, "dead", "look") == []


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("killed", [False, True])
def test_what_is_moved_to_one_channel_no_other_sees(tmp_path, paused, killed):
    broker = start(tmp_path)
    for channel in ("a", "b"):
        broker.create_channel("t", channel)
    broker.create_channel("dead", "look")
    publish(broker, "dead", b"1", b"2", b"3")
    broker.pause_topic(broker.topics["t"], paused=paused)
    publish(broker, "t", b"new")

    _, _, said = move(broker, ("dead", "look"), "t", "a")
    tick(broker)
    assert said[0][1] is None
    assert broker.topics["t"].depth == (1 if paused else 0)
    assert broker.topics["t"].channels["a"].message_count == (2 if paused else 3)
    assert broker.topics["t"].channels["b"].message_count == (0 if paused else 1)
    if killed:
        broker = start(tmp_path)
        broker.pause_topic(broker.topics["t"], paused=paused)
    new = [] if paused else [b"new"]
    late = [b"new"] if paused else []
    assert broker.topics["t"].depth == len(late)
    assert bodies(broker, "t", "a") == [b"moved 1", b"moved 2", *new]
    assert bodies(broker, "t", "b") == new
    assert bodies(broker, "t", "later") == []

    broker.pause_topic(broker.topics["t"], paused=False)
    assert [bodies(broker, "t", channel) for channel in ("a", "b", "later")] == [late] * 3
    assert bodies(broker, "dead", "look") == [b"3"]


def test_a_move_to_a_channel_that_is_not_there_is_refused(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_topic("dead")
    publish(broker, "t", b"1", b"2")
    with pytest.raises(LookupError):
        move(broker, ("t", "c"), "dead", "nobody")


def test_what_the_disk_refuses_to_move_can_be_given_back(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_channel("dead", "look")
    publish(broker, "t", b"1", b"2", b"3")
    store = broker.storage.store
    store.prepare()
    store.disk.full = True
    queue, taken, said = move(broker, ("t", "c"), "dead")
    while not said:
        store.end_tick(0)
        if store.files.wants_file:
            store.disk.full = False
            store.prepare()
            store.disk.full = True
    ((left, failure),) = said
    assert left == taken
    assert "full" in failure
    store.disk.full = False
    queue.give_back(left)
    tick(broker)

    for _ in range(2):
        assert broker.topics["t"].channels["c"].depth == 3
        assert broker.topics["dead"].channels["look"].depth == 0
        broker = start(tmp_path)


def test_what_a_move_is_refused_after_the_channel_was_emptied_is_gone(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_channel("dead", "look")
    publish(broker, "t", b"1", b"2", b"3")
    store = broker.storage.store
    _, _, said = move(broker, ("t", "c"), "dead")
    broker.topics["t"].channels["c"].empty()
    store.disk.full = True
    while not said:
        store.end_tick(0)
        if store.files.wants_file:
            store.disk.full = False
            store.prepare()
            store.disk.full = True
    assert said[0][0] == []


def test_messages_of_a_plain_topic_go_into_a_log_too(tmp_path):
    broker = start(tmp_path, "none")
    broker.create_channel("t", "c")
    broker.settings = EngineSettings(rules=Rules(durability="always"))
    broker.create_channel("dead", "look")
    publish(broker, "t", b"1", b"2", b"3")

    _, taken, said = move(broker, ("t", "c"), "dead")
    tick(broker)

    assert said == [(taken, None)]
    assert bodies(broker, "dead", "look") == [b"moved 1", b"moved 2"]
    assert bodies(broker, "t", "c") == [b"3"]


def test_a_large_move_is_made_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("nsqd.storage.durable.port_log.MAX_BATCH_BYTES", 100)
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_channel("dead", "look")
    publish(broker, "t", *(b"%060d" % n for n in range(5)))

    _, taken, said = move(broker, ("t", "c"), "dead", count=5)
    tick(broker)

    assert said == [([record], None) for record in taken]
    assert len(bodies(broker, "dead", "look")) == 5
    assert bodies(broker, "t", "c") == []


def test_a_dump_of_the_journal_shows_what_was_moved_with_what_it_took_the_place_of(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    broker.create_channel("dead", "look")
    publish(broker, "t", b"1", b"2", b"3")
    _, taken, _ = move(broker, ("t", "c"), "dead", "look")
    tick(broker)

    lines = map(json.loads, dump_entries(open_durable(str(tmp_path))))

    (parts,) = (line["parts"] for line in lines if line["kind"] == "MOVE")
    batch, ack = parts
    assert (batch["kind"], batch["count"], batch["only_channel"]) == ("BATCH", 2, 1)
    assert ack["kind"] == "ACK"
    assert [each["id"].encode() for each in ack["messages"]] == [each[10:26] for each in taken]
