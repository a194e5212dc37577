import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.files.filesystem import SYSTEM

SECOND = 1_000_000_000


def test_nothing_is_due_while_nothing_happens(store):
    DiskQueue("t", store)

    assert store.due(0) is None
    assert store.due(10 * SECOND) is None
    assert store.finish() is None


def test_change_is_synced_after_the_sync_timeout(store, files, make_record):
    store.due(0)
    queue = DiskQueue("t", store)
    queue.put([make_record(1)])
    queue.take(1)

    assert store.due(SECOND) is None
    store.due(2 * SECOND)()

    assert files.meta("t") == (0, (0, 36), (0, 36))
    assert queue.changes == 0
    assert store.due(4 * SECOND) is None


def test_many_changes_are_due_at_once_and_wake_the_keeper(make_store, files, make_record):
    woken = []
    store = make_store(sync_every=3, wake=lambda: woken.append(True))
    store.due(0)
    queue = DiskQueue("t", store)
    queue.put([make_record(1), make_record(2)])
    assert not woken
    assert store.due(1) is None

    queue.take(1)
    assert woken
    store.due(1)()
    assert files.meta("t") == (1, (0, 36), (0, 72))


def test_quiet_queue_gives_its_descriptor_back(store, make_record, open_files):
    store.due(0)
    queue = DiskQueue("t", store)
    queue.put([make_record(1)])
    assert open_files()
    store.due(2 * SECOND)()
    store.due(4 * SECOND)

    assert not open_files()
    queue.put([make_record(2)])
    assert queue.take(5) == [make_record(1), make_record(2)]


@pytest.fixture
def open_files(tmp_path):
    def find() -> list[str]:
        links = []
        for number in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                continue
        return [link for link in links if link.startswith(str(tmp_path))]

    return find


def test_failed_sync_is_due_again_and_does_not_keep_others_from_the_disk(store, files, make_record):
    store.due(0)
    sick, well = DiskQueue("sick", store), DiskQueue("well", store)
    for queue in (sick, well):
        queue.put([make_record(1)])
        queue.take(1)
    obstacle = files.directory / "sick.diskqueue.meta.dat.sync.tmp"
    obstacle.mkdir()

    with pytest.raises(OSError, match="Is a directory"):
        store.due(2 * SECOND)()
    assert files.meta("well") == (0, (0, 36), (0, 36))
    assert files.meta("sick") == (1, (0, 0), (0, 36))

    obstacle.rmdir()
    store.due(4 * SECOND)()
    assert files.meta("sick") == (0, (0, 36), (0, 36))


def test_positions_noted_later_are_not_replaced_by_a_job_that_took_long(store, files, make_record):
    queue = DiskQueue("t", store)
    queue.put([make_record(1)])
    slow = queue.sync_jobs()
    queue.put([make_record(2)])
    queue.close()
    slow.sync_files()
    slow.note_cursors()

    assert files.meta("t") == (2, (0, 0), (0, 72))


@pytest.mark.slow
def test_jobs_in_a_thread_do_not_disturb_writing_and_reading(make_store, files, make_record):
    store = make_store(max_bytes_per_file=2000, sync_every=50)
    queue = DiskQueue("t", store)
    put, taken = [], []
    with ThreadPoolExecutor(1) as thread:
        running = None
        for turn in range(300):
            records = [make_record(turn * 20 + n) for n in range(20)]
            queue.put(records)
            put += records
            taken += queue.take(18)
            if running is None or running.done():
                if running is not None:
                    running.result()
                job = store.due(0)
                running = thread.submit(job) if job else None
        if running is not None:
            running.result()

    queue.close()
    if job := store.finish():
        job()
    assert taken == put[: len(taken)]
    assert [body for *_, body in files.unread("t")] == [r[26:] for r in put[len(taken) :]]


def test_large_backlog_is_removed_by_the_job(make_store, files, make_record):
    store = make_store(max_bytes_per_file=300)
    store.due(0)
    queue = DiskQueue("t", store)
    queue.put([make_record(n, body=b"x" * 70) for n in range(300)])
    queue.empty()
    assert len(files.sizes("t")) == 100

    store.due(1)()
    assert files.sizes("t") == {}


@pytest.mark.slow
def test_thousands_of_closed_queues_are_synced_at_once(monkeypatch, store, files, make_record):
    done = []
    monkeypatch.setattr(SYSTEM, "fsync", lambda _: done.append("fsync"))
    monkeypatch.setattr(SYSTEM, "sync", lambda: done.append("sync"))
    for number in range(200):
        queue = DiskQueue(f"q{number}", store)
        queue.put([make_record(number)])
        queue.close()
    store.finish()()

    assert done == ["sync"]
    assert files.meta("q199") == (1, (0, 0), (0, 38))


def test_a_stop_does_not_wait_for_a_round_over_many_queues(monkeypatch, make_store, make_record):
    """At ten milliseconds a sync, thousands of queues took longer than service managers wait."""
    store = make_store(sync_every=1)
    store.due(0)
    told = []
    for number in range(9):
        queue = DiskQueue(f"q{number}", store)
        queue.put([make_record(number)])
        store.when_synced(queue.name, told.append)
    synced = []

    def slow(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            store.hurry()  # as a stop does, while this goes on in a thread

    monkeypatch.setattr(SYSTEM, "fsync", slow)
    round_ = store.due(1)
    round_()  # without an error: nothing has failed
    round_.answer()
    assert len(synced) < 9
    assert told == ["nsqd stops"] * 9  # nobody is told of a promise that is not kept

    before = len(synced)
    store.finish()()
    assert len(synced) - before == 2 * 9 + 1  # each file, its positions, and the directory
    assert store.finish() is None
