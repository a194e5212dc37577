"""Records that an operator took out of the files of a queue, over crashes at any moment."""

import os
import random

import pytest
from tests.nsqd.engine.power import FragileDisk
from tests.nsqd.storage.conftest import record

from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import SYSTEM

COUNT = 12


class Ended(BaseException):
    """nsqd is killed at this moment."""


def open_queue(directory, fs=SYSTEM):
    store = DiskStore(str(directory), max_bytes_per_file=150, warn=lambda _: None, fs=fs)
    return DiskQueue("q", store)


def sync(queue, disk):
    """Have on the device what is in the files, and their names."""
    jobs = queue.sync_jobs()
    jobs.sync_files()
    jobs.note_cursors()
    descriptor = disk.open(str(disk.directory), os.O_RDONLY)
    disk.fsync(descriptor)
    disk.close(descriptor)


def ids(records):
    return [record[10:26] for record in records]


def withdraw(queue, chosen):
    found, at = [], (0, 0)
    while at is not None:
        records, at = queue.withdraw(chosen, at, 100)
        found += ids(records)
    return found


def left(directory):
    """What the next start finds: with what is noted, and as it is taken."""
    queue = open_queue(directory)
    seen, at = [], (0, 0)
    while at is not None:
        records, at = queue.look(at, 100)
        seen += ids(records)
    taken = []
    while queue.depth:
        taken += ids(queue.take(5))
    assert taken == seen
    assert len(set(taken)) == len(taken)
    return set(taken)


@pytest.mark.slow
def test_at_every_moment_of_a_withdrawal_nothing_else_is_lost(tmp_path):
    everything = [record(number) for number in range(COUNT)]
    all_ids = set(ids(everything))
    moments = 0
    while True:
        directory = tmp_path / f"{moments}"
        directory.mkdir()
        disk = FragileDisk(directory)
        queue = open_queue(directory, disk)
        queue.put(everything)
        sync(queue, disk)
        moments += 1
        countdown = moments

        def end() -> None:
            nonlocal countdown
            countdown -= 1
            if not countdown:
                raise Ended

        disk.moment = end
        asked, done, taken = set(), set(), set()
        try:
            for chosen in ([2, 5, 9], [4], [7, 8]):
                wanted = {everything[number][10:26] for number in chosen}
                asked |= wanted
                assert set(withdraw(queue, wanted)) == wanted
                done |= wanted
                taken |= set(ids(queue.take(1)))
            queue.close()
        except Ended:
            pass
        else:
            assert left(directory) == all_ids - done - taken
            break
        images = [tmp_path / f"image {moments} {number}" for number in range(5)]
        for number, image in enumerate(images):
            disk.leave(image, random.Random(number))
        killed = left(directory)
        assert all_ids - asked - taken <= killed <= all_ids - done
        for image in images:  # after a loss of power they may come once more
            assert all_ids - asked - taken <= left(image) <= all_ids
    assert moments > 10


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"1,2,zz\n", b"9" * 70_000, b"0,0," + b"g" * 32 + b"\n"]
)
def test_notes_that_are_damaged_lose_nothing(tmp_path, content):
    queue = open_queue(tmp_path)
    queue.put([record(number) for number in range(COUNT)])
    withdraw(queue, {record(3)[10:26]})
    queue.close()
    (notes,) = [path for path in tmp_path.iterdir() if "withdrawn" in path.name]
    notes.write_bytes(content)
    assert left(tmp_path) == set(ids(record(number) for number in range(COUNT)))
