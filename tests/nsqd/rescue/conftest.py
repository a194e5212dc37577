"""Data directories of nsqds that ended in the middle of everything."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from attrs import Factory, define

from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.queue import Held
from nsqd.storage.durable.topics.topic import DurableTopic
from nsqd.storage.files.durable_disk import OsDisk

WALL = 1_700_000_000_000_000_000
FAR = 4_000_000_000_000_000_000  # in the year 2096


@define(eq=False)
class KilledNsqd:
    """What writes to ``path`` as nsqd does, and is never stopped in order."""

    path: Path
    store: DurableStore
    next_id: int = 1
    queues: dict[tuple[str, str], object] = Factory(dict)

    @classmethod
    def at(cls, path: Path) -> "KilledNsqd":
        store = DurableStore(
            OsDisk(), str(path / "durable"), file_size=1 << 18, segment_size=1 << 13
        )
        store.open()
        store.prepare()
        return cls(path, store)

    def topic(self, name: str, *channels: str) -> DurableTopic:
        topic = self.store.create(name, "always")
        for channel in channels:
            queue = topic.create_channel(channel, topic.make_queue)
            queue.defer = lambda record, due: None
            self.queues[name, channel] = queue
        topic.let_flow(bool(channels))
        self.store.end_tick(0)
        return topic

    def publish(self, topic: DurableTopic, *bodies: bytes, due: int = 0) -> None:
        refused = []
        records = []
        for body in bodies:
            head = WALL.to_bytes(8, "big") + b"\0\1" + b"%016x" % self.next_id
            records.append(head + body)
            self.next_id += 1
        topic.publish(records, wall=WALL, due=due, done=refused.append)
        self.store.end_tick(0)
        assert refused == [None]

    def deliver(self, topic: str, channel: str, count: int) -> list[bytes]:
        queue = self.queues[topic, channel]
        records = queue.take(count)
        queue.sent(records)
        self.store.end_tick(0)
        return records

    def finish(self, topic: str, channel: str, records: list[bytes]) -> None:
        self.queues[topic, channel].finish([record[10:26] for record in records])
        self.store.end_tick(0)

    def checkpoint(self, held: Iterable[Held] = ()) -> None:
        checkpoint = self.store.snapshot(lambda queue: held)
        checkpoint.run()
        self.store.checkpointed(checkpoint, None)


@pytest.fixture
def killed(tmp_path) -> KilledNsqd:
    (tmp_path / "data").mkdir()
    return KilledNsqd.at(tmp_path / "data")


def contents(path: Path) -> dict[str, str]:
    """Every file below ``path``, and what it holds."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
