"""The thread that commits, on a real disk."""

import select
from pathlib import Path

import pytest

from nsqd.storage.durable.format.entries import Kind, scan
from nsqd.storage.durable.journal.committer import Committer
from nsqd.storage.durable.journal.files import JournalFiles
from nsqd.storage.durable.journal.journal import Journal
from nsqd.storage.files.durable_disk import OsDisk


@pytest.fixture
def files(tmp_path: Path) -> JournalFiles:
    files = JournalFiles(OsDisk(), str(tmp_path), file_size=1 << 20)
    files.prepare(0)
    return files


def test_a_commit_is_reported_by_a_descriptor_and_is_in_the_file(files: JournalFiles):
    committer = Committer(files.disk)
    committer.start()
    try:
        journal = Journal(files)
        told: list[OSError | None] = []
        for number in range(3):
            journal.add(Kind.ACK, [b"entry %d" % number], sync=True, done=told.append)
        write = journal.begin(0)
        assert write is not None
        committer.submit(write)
        poll = select.poll()  # select() knows no descriptor beyond 1023
        poll.register(committer.descriptor, select.POLLIN)
        assert poll.poll(20_000)
        (finished,) = committer.collect()
        journal.end(finished.write, finished.error, 1)
        assert told == [None, None, None]
        assert committer.collect() == []
        entries = scan(Path(write.file.path).read_bytes(), write.file.epoch).entries
        assert [entry.payload for entry in entries] == [b"entry 0", b"entry 1", b"entry 2"]
    finally:
        committer.stop()
        files.close(journal.file)


def test_a_commit_that_fails_says_why(files: JournalFiles):
    committer = Committer(files.disk)
    committer.start()
    try:
        journal = Journal(files)
        journal.add(Kind.ACK, [b"entry"], sync=True)
        write = journal.begin(0)
        assert write is not None
        files.disk.close(write.file.descriptor)
        committer.submit(write)
        finished = committer.wait()
        assert finished.error is not None
        assert finished.error.__traceback__ is None
    finally:
        committer.stop()


def test_any_number_of_entries_is_written_at_once(files: JournalFiles):
    committer = Committer(files.disk)
    committer.start()
    try:
        journal = Journal(files)
        told: list[OSError | None] = []
        for number in range(2000):
            journal.add(Kind.ACK, [b"%d" % number], sync=True, done=told.append)
        write = journal.begin(0)
        assert write is not None
        committer.submit(write)
        finished = committer.wait()
        journal.end(finished.write, finished.error, 1)
        assert told == [None] * 2000
        entries = scan(Path(write.file.path).read_bytes(), write.file.epoch).entries
        assert [entry.payload for entry in entries] == [b"%d" % number for number in range(2000)]
    finally:
        committer.stop()
        files.close(journal.file)
