import os
import struct
from functools import partial

import pytest
import trio
import trio.testing
from tests.nsqd.broker import open_broker, publish

from nsqd.lifecycle.sync import finish, keep_synced, watch_health
from nsqd.storage.disk import DiskQueue
from nsqd.storage.filesystem import SYSTEM
from nsqd.storage.store import DiskStore


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


async def until(condition) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - the condition is about files
            await trio.sleep(0.001)


async def test_queue_is_synced_after_the_timeout(tmp_path, nursery, synced):
    store = DiskStore(str(tmp_path), warn=print, sync_timeout=0.01)
    nursery.start_soon(keep_synced, store)
    queue = DiskQueue("t", store)
    queue.put([record(1)])

    await until(lambda: "t.diskqueue.meta.dat.sync.tmp" in synced)
    assert "t.diskqueue.000000.dat" in synced


async def test_busy_queue_is_synced_before_the_timeout(tmp_path, nursery, synced):
    store = DiskStore(str(tmp_path), warn=print, sync_timeout=3600, sync_every=2)
    nursery.start_soon(keep_synced, store)
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
    nursery.start_soon(keep_synced, store)
    await until(lambda: "failed to sync" in caplog.text)

    obstacle.rmdir()
    await until(lambda: "t.diskqueue.meta.dat.sync.tmp" in synced)


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
