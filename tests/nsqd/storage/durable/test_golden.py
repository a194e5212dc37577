"""Directories that earlier versions wrote are read by this one, for ever.

`golden/` has one for each version of a format, as a killed and as a stopped nsqd leave it. They are
never written again: a change of a format adds another one, by ``python -m
tests.nsqd.storage.durable.test_golden NAME``.
"""

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nsqd.engine.broker import Broker, EngineSettings
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.queue import Held, attempts_of
from nsqd.storage.durable.topics.tidying import tidy_all
from nsqd.storage.files.durable_disk import OsDisk
from nsqd.storage.queues.tiered import TieredStorage

GOLDEN = Path(__file__).parent / "golden"
DIRECTORIES = sorted(path.name for path in GOLDEN.glob("v*") if path.is_dir())
WALL = 1_700_000_000_000_000_000
FAR = 4_000_000_000_000_000_000  # in the year 2096
FILE_SIZE = 1 << 14


def left(path: Path) -> dict[str, Any]:
    """What nsqd finds in the directory ``path``: bodies with attempts by channel, and the like."""
    store = DurableStore(OsDisk(), str(path / "durable"), file_size=FILE_SIZE)
    plain = TieredStorage(DiskStore(str(path), warn=print))
    storage = DurableStorage(plain, store, lambda: 0, store.prepare)
    broker = Broker(EngineSettings(), storage, 0)
    found: dict[str, Any] = {}
    for each in sorted(storage.open(), key=lambda each: each.state.name):
        assert store.report.problems == []
        mode, name = each.state.mode, each.state.name
        topic = broker.create_topic(name)
        told = found[name] = {"mode": mode, "paused": each.state.paused, "channels": {}}
        for state in each.state.channels:
            queue = broker.create_channel(name, state.name).queue
            deferred = sorted([record[26:].decode(), due] for record, due in queue.look_deferred())
            queued = [[record[26:].decode(), attempts_of(record)] for record in queue.take(99)]
            told["channels"][state.name] = {
                "paused": state.paused,
                "queued": sorted(queued),
                "deferred": deferred,
            }
        told["depth"] = topic.log.depth if topic.log else 0
    return found


@pytest.mark.parametrize("name", DIRECTORIES)
def test_what_an_earlier_version_wrote_is_read(name, tmp_path):
    shutil.copytree(GOLDEN / name, tmp_path / "data")
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    assert left(tmp_path / "data") == expected


def test_there_are_directories_of_both_ways_to_end():
    for version in ("v1", "v2"):
        assert {f"{version}-killed", f"{version}-stopped"} <= set(DIRECTORIES)


def _hold(held: list[Held], record: bytes, due: int) -> None:
    held.append((record, 0, due))


def _checkpoint(store: DurableStore, held: dict[Any, list[Held]]) -> None:
    checkpoint = store.snapshot(lambda queue: held[queue])
    checkpoint.run()
    store.checkpointed(checkpoint, None)


def write(name: str) -> None:
    """Write a new golden directory; ``name`` ends with how nsqd ends: killed or stopped."""
    path = GOLDEN / name
    path.mkdir(parents=True)
    store = DurableStore(OsDisk(), str(path / "durable"), file_size=FILE_SIZE, segment_size=1 << 10)
    store.open()
    store.prepare()
    numbers = iter(range(1, 100))

    def publish(topic: Any, *bodies: bytes, due: int = 0) -> None:
        records = [WALL.to_bytes(8, "big") + b"\0\1" + b"%016x" % next(numbers) + b for b in bodies]
        topic.publish(records, wall=WALL, due=due, done=lambda error: None)
        store.end_tick(0)

    orders = store.create("orders", "always")
    queues = {name: orders.create_channel(name, orders.make_queue) for name in ("a", "b", "gone")}
    held: dict[Any, list[Held]] = {queue: [] for queue in queues.values()}
    for queue in queues.values():
        queue.defer = partial(_hold, held[queue])
    orders.let_flow(True)
    publish(orders, b"finished", b"in flight", b"put off", b"requeued", b"queued")
    publish(orders, b"deferred", due=FAR)
    taken = queues["a"].take(4)
    queues["a"].sent(taken)
    store.end_tick(0)
    queues["a"].finish([taken[0][10:26]])
    again = [record[:8] + b"\0\2" + record[10:] for record in taken]
    queues["a"].put_off(again[2], FAR + 1)
    queues["a"].give_back([again[3]])
    orders.pause_channel(queues["b"], True)
    orders.delete_channel(queues["gone"])
    store.end_tick(0)
    waiting = store.create("waiting", "os")
    waiting.set_paused(True)
    publish(waiting, b"1", b"2")
    store.delete(store.create("deleted", "interval"))
    store.end_tick(0, sync=True)
    held[queues["a"]] += [(taken[1], 1, 0), (again[2], 1, FAR + 1)]
    moved = store.create("moved", "always")
    queue = moved.create_channel("a", moved.make_queue)
    held[queue] = []
    queue.defer = queue.park
    moved.let_flow(True)
    publish(moved, b"far", due=FAR)
    for _ in range(3):
        publish(moved, *[bytes(200)] * 3)
    queue.finish([record[10:26] for record in queue.take(9)])
    _checkpoint(store, held)
    for _ in tidy_all([moved], lambda queue: held[queue], least=0):
        store.end_tick(0)
    publish(moved, b"near")
    _checkpoint(store, held)
    publish(moved, b"last")
    if name.endswith("stopped"):
        store.close(0, lambda queue: held[queue])
    scratch = path.with_name(f"{name}.scratch")
    shutil.copytree(path, scratch)
    expected = left(scratch)
    shutil.rmtree(scratch)
    (GOLDEN / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
