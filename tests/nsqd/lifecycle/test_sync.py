import os
import struct
from functools import partial

import pytest
import trio
import trio.testing
from tests.nsqd.broker import open_broker, publish

from nsqd.engine.broker import Broker
from nsqd.engine.health import Health
from nsqd.lifecycle.sync import finish, keep_synced, watch_health
from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import SYSTEM


def record(number: int) -> bytes:
    return struct.pack(">qH", number, 1) + b"%016x" % number + b"body"


@pytest.fixture
def synced(monkeypatch):
    """Counts what reaches fsync, by file name."""
    names: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        names.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(SYSTEM, "fsync", fsync)
    return names


def idle() -> None:
    """No tick."""


async def until(condition) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - the condition is about files
            await trio.sleep(0.001)


async def test_queue_is_synced_after_the_timeout(tmp_path, nursery, synced):
    store = DiskStore(str(tmp_path), warn=print, sync_timeout=0.01)
    nursery.start_soon(keep_synced, store, Health(), idle)
    queue = DiskQueue("t", store)
    queue.put([record(1)])

    await until(lambda: "t.diskqueue.meta.dat.sync.tmp" in synced)
    assert "t.diskqueue.000000.dat" in synced


async def test_busy_queue_is_synced_before_the_timeout(tmp_path, nursery, synced):
    store = DiskStore(str(tmp_path), warn=print, sync_timeout=3600, sync_every=2)
    nursery.start_soon(keep_synced, store, Health(), idle)
    await trio.testing.wait_all_tasks_blocked()
    queue = DiskQueue("t", store)
    queue.put([record(1), record(2)])

    await until(lambda: "t.diskqueue.000000.dat" in synced)


async def test_what_is_left_at_the_end_is_synced(tmp_path, synced):
    store = DiskStore(str(tmp_path), warn=print)
    queue = DiskQueue("t", store)
    queue.put([record(1)])
    queue.close()
    await finish(store)

    assert "t.diskqueue.000000.dat" in synced


async def test_failing_disk_is_logged_and_tried_again(tmp_path, nursery, synced, caplog):
    store = DiskStore(str(tmp_path), warn=print, sync_timeout=0.01)
    obstacle = tmp_path / "t.diskqueue.meta.dat.sync.tmp"
    obstacle.mkdir()
    queue = DiskQueue("t", store)
    queue.put([record(1)])
    nursery.start_soon(keep_synced, store, Health(), idle)
    await until(lambda: "failed to sync" in caplog.text)

    obstacle.rmdir()
    await until(lambda: "t.diskqueue.meta.dat.sync.tmp" in synced)


@pytest.fixture
def broker_on_disk(tmp_path, nursery):
    """A broker all of whose messages go to disk, and its store, which is kept synced."""

    def make(sync_every: int) -> tuple[Broker, list[str]]:
        store = DiskStore(str(tmp_path), warn=print, sync_timeout=0.01, sync_every=sync_every)
        broker, ticks = open_broker(store, mem_queue_size=0), []
        broker.create_channel("t", "c")
        broker.create_channel("t", "d")
        nursery.start_soon(keep_synced, store, broker.health, lambda: ticks.append("tick"))
        nursery.start_soon(partial(watch_health, broker.health, store, interval=0.001))
        return broker, ticks

    return make


def publishes(broker: Broker, *bodies: bytes) -> list[str | None]:
    """Where it will be told how the publishing of each of ``bodies`` went."""
    told: list[str | None] = []
    for body in bodies:
        broker.publish("t", [body], 0, told.append)
        broker.flush(0)
    return told


async def test_the_ok_of_a_write_that_reaches_sync_every_waits_for_the_sync(broker_on_disk, synced):
    broker, ticks = broker_on_disk(2)
    assert publishes(broker, b"1") == [None]
    told = publishes(broker, b"2", b"3")  # one sync for both
    assert told == []
    await until(lambda: told)
    assert told == [None, None]
    assert ticks == ["tick"]
    assert {"t:c.diskqueue.000000.dat", "t:d.diskqueue.000000.dat"} <= set(synced)
    assert publishes(broker, b"4") == [None]  # the count has begun anew
    assert publishes(broker) == []


async def test_a_publish_whose_sync_fails_is_refused_and_the_file_is_never_believed_again(
    broker_on_disk, tmp_path, synced, monkeypatch
):
    broker, _ = broker_on_disk(1)
    real, sick = SYSTEM.fsync, [True]

    def fsync(descriptor: int) -> None:
        if sick[0] and ".dat" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(SYSTEM, "fsync", fsync)
    told = publishes(broker, b"1")
    await until(lambda: told)
    assert told == ["[Errno 5] Input/output error"]
    assert "Input/output error" in broker.health.text
    publishes(broker, b"2")  # the page cache takes it, which proves nothing
    assert broker.health.error

    first = tmp_path / "t:c.diskqueue.000000.dat"
    before = first.stat().st_ino
    sick[0] = False
    synced.clear()
    await until(lambda: not broker.health.error)
    assert "t:c.diskqueue.000000.dat" not in synced  # a sync of it might succeed without the data
    assert "t:c.diskqueue.000000.dat.again.tmp" in synced
    assert first.stat().st_ino != before
    told = publishes(broker, b"3")
    await until(lambda: told)
    assert told == [None]
    assert (tmp_path / "t:c.diskqueue.000001.dat").exists()
    records = broker.topics["t"].channels["c"].queue.take(9)
    assert [record[26:] for record in records] == [b"1", b"2", b"3"]


async def test_disk_that_failed_is_healthy_again_without_a_message_to_show_it(
    tmp_path, nursery, caplog
):
    caplog.set_level("DEBUG")
    gone = tmp_path / "data"
    store = DiskStore(str(gone), warn=print)
    broker = open_broker(store, mem_queue_size=0)
    nursery.start_soon(partial(watch_health, broker.health, store, interval=0.001))
    with pytest.raises(OSError, match="No such file"):
        publish(broker, "t", [b"x"], 0)
    await until(lambda: "still fails" in caplog.text)
    assert broker.health.text.startswith("NOK")

    gone.mkdir()
    await until(lambda: broker.health.text == "OK")
    assert not list(gone.iterdir())


async def test_queues_that_work_again_do_not_hide_that_the_journal_fails(tmp_path, nursery):
    """Ready, it refused what was published to durable topics."""
    store = DiskStore(str(tmp_path), warn=print)
    health = Health()
    nursery.start_soon(partial(watch_health, health, store, interval=0.001))
    health.journal_is("no journal")
    health.failed("no queue", sync=True)
    assert health.text == "NOK - no queue"
    await until(lambda: health.text == "NOK - no journal")
    health.recovered()
    assert health.error == "no journal"
    health.journal_is(None)
    assert health.text == "OK"
