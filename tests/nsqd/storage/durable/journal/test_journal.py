"""The journal's groups: what goes into one write, what becomes of it, and who is told."""

import pytest
from attrs import Factory, define

from nsqd.storage.durable.format.entries import HEAD_SIZE, Kind
from nsqd.storage.durable.journal.committer import perform
from nsqd.storage.durable.journal.files import JournalFiles
from nsqd.storage.durable.journal.journal import SLOW_COMMIT, Journal, JournalFile
from nsqd.storage.files.durable_disk import OsDisk

MS = 1_000_000


@define
class Spares:
    """Files ready for use, and what became of them."""

    ready: list[JournalFile] = Factory(list)
    file_size: int = 1 << 13
    full: list[JournalFile] = Factory(list)
    failed: list[JournalFile] = Factory(list)

    def take(self) -> JournalFile | None:
        return self.ready.pop(0) if self.ready else None

    def retire(self, file: JournalFile, *, failed: bool) -> None:
        (self.failed if failed else self.full).append(file)


@pytest.fixture
def spares() -> Spares:
    return Spares([JournalFile(f"journal.{n}", n, 1 << 13, n) for n in (1, 2, 3)])


@pytest.fixture
def journal(spares: Spares) -> Journal:
    return Journal(spares)


class Told(list[str]):
    """What was told of each entry, in order."""

    def about(self, name: str):  # type: ignore[no-untyped-def]
        return lambda error: self.append(f"{name} {'kept' if error is None else error}")


def test_what_comes_while_a_commit_runs_is_the_next_group(journal: Journal):
    told = Told()
    journal.add(Kind.BATCH, [b"1"], sync=True, done=told.about("first"))
    first = journal.begin(0)
    assert first is not None
    assert first.sync
    for name in ("second", "third"):
        journal.add(Kind.BATCH, [b"2"], sync=True, done=told.about(name))
    assert journal.begin(1) is None
    assert told == []
    journal.end(first, None, 2)
    assert told == ["first kept"]
    second = journal.begin(3)
    assert second is not None
    assert second.position == first.position + first.size
    journal.end(second, None, 4)
    assert told == ["first kept", "second kept", "third kept"]
    assert journal.idle


def test_what_nobody_waits_for_is_written_without_a_sync(journal: Journal):
    journal.add(Kind.ACK, [b"ids"])
    write = journal.begin(0)
    assert write is not None
    assert not write.sync
    journal.end(write, None, 1)
    assert journal.begin(2) is None
    synced = journal.begin(3, sync=True)
    assert synced is not None
    assert synced.parts == []
    journal.end(synced, None, 4)
    assert journal.begin(5, sync=True) is None


def test_a_failed_write_goes_to_a_fresh_file_and_the_old_one_is_never_trusted(
    journal: Journal, spares: Spares
):
    told = Told()
    journal.add(Kind.BATCH, [b"1"], sync=True, done=told.about("it"))
    failed = journal.begin(0)
    assert failed is not None
    journal.end(failed, OSError("the disk is sick"), 1)
    assert told == []
    assert spares.failed == [failed.file]
    again = journal.begin(2)
    assert again is not None
    assert again.file is not failed.file
    assert again.position == HEAD_SIZE
    journal.end(again, None, 3)
    assert told == ["it kept"]
    assert journal.error is None


def test_publishers_are_told_when_the_fresh_file_fails_too(journal: Journal, spares: Spares):
    told = Told()
    journal.add(Kind.BATCH, [b"1"], sync=True, done=told.about("it"))
    for _ in range(2):
        write = journal.begin(0)
        assert write is not None
        journal.end(write, OSError("the disk is sick"), 1)
    assert told == ["it the disk is sick"]
    assert len(spares.failed) == 2
    assert journal.error is not None
    journal.add(Kind.BATCH, [b"2"], sync=True, done=told.about("next"))
    write = journal.begin(2)
    assert write is not None
    journal.end(write, None, 3)
    assert told[-1] == "next kept"
    assert journal.error is None


def test_entries_wait_where_there_is_no_file_and_go_on_when_there_is(
    journal: Journal, spares: Spares
):
    ready, spares.ready = spares.ready, []
    told = Told()
    journal.add(Kind.BATCH, [b"1"], sync=True, done=told.about("it"))
    assert journal.begin(0) is None
    assert not journal.idle
    spares.ready = ready
    write = journal.begin(1)
    assert write is not None
    journal.end(write, None, 2)
    assert told == ["it kept"]


def test_publishers_are_told_where_no_file_can_be_made_and_what_has_happened_is_kept(
    journal: Journal, spares: Spares
):
    ready, spares.ready = spares.ready, []
    told = Told()
    journal.add(Kind.BATCH, [b"1"], sync=True, done=told.about("it"))
    journal.add(Kind.ACK, [b"2"])
    assert journal.begin(0) is None
    journal.refuse(OSError("the disk is sick"))
    assert told == ["it the disk is sick"]
    assert journal.error is not None
    spares.ready = ready
    write = journal.begin(1)
    assert write is not None
    assert [entry.kind for entry in write.entries] == [Kind.ACK]
    journal.refuse(OSError("nobody is refused while there is a file"))
    journal.end(write, None, 2)
    assert journal.error is None
    assert journal.idle
    assert journal.pending_bytes == 0


def test_a_full_file_is_synced_and_gives_way_to_the_next(journal: Journal, spares: Spares):
    files = []
    for _ in range(4):
        journal.add(Kind.BATCH, [bytes(1900)])
        while (write := journal.begin(0)) is not None:
            files.append((write.file.path, write.sync))
            journal.end(write, None, 0)
    kept, synced = ("journal.1", False), ("journal.1", True)
    assert files == [kept, kept, synced, ("journal.2", False), ("journal.2", False)]
    assert [file.path for file in spares.full] == ["journal.1"]


def test_a_slow_disk_is_given_time_for_those_just_answered(journal: Journal):
    for _ in range(3):
        journal.add(Kind.BATCH, [b"1"], sync=True)
    write = journal.begin(0)
    assert write is not None
    journal.end(write, None, 10 * MS)
    journal.add(Kind.BATCH, [b"1"], sync=True)
    assert journal.begin(10 * MS) is None
    until = journal.linger_until(10 * MS)
    assert until is not None
    assert 10 * MS < until <= 12 * MS
    assert journal.begin(until) is not None


def test_nobody_lingers_on_a_fast_disk_nor_once_all_are_back(journal: Journal):
    for took, publishers in ((SLOW_COMMIT // 2, 1), (SLOW_COMMIT * 2, 3)):
        for _ in range(3):
            journal.add(Kind.BATCH, [b"1"], sync=True)
        write = journal.begin(0)
        assert write is not None
        journal.end(write, None, took)
        for _ in range(publishers):
            journal.add(Kind.BATCH, [b"1"], sync=True)
        write = journal.begin(took)
        assert write is not None
        journal.end(write, None, took)


@pytest.mark.parametrize("size", [10, 300])
def test_what_is_larger_than_a_piece_read_at_the_start_is_found(size, tmp_path, monkeypatch):
    monkeypatch.setattr("nsqd.storage.durable.journal.files.READ_AHEAD", HEAD_SIZE + 100)
    files = JournalFiles(OsDisk(), str(tmp_path), 1 << 15)
    files.prepare(0)
    journal = Journal(files)
    for _ in range(20):
        journal.add(Kind.ACK, [b"x" * size])
        if journal.number == 7:
            journal.add(Kind.ACK, [b"y" * 6000])
        write = journal.begin(0)
        assert write is not None
        journal.end(write, perform(files.disk, write), 0)

    (found,) = JournalFiles(OsDisk(), str(tmp_path), 1 << 15).find()

    assert [entry.number for entry in found.scan.entries] == list(range(1, journal.number + 1))
    assert not found.scan.damaged
