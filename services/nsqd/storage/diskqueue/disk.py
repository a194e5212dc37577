"""A queue of records in files, in go-diskqueue's format.

A queue NAME is a run of files ``NAME.diskqueue.NNNNNN.dat``. Records are appended to
the last one; before it would outgrow ``max_bytes_per_file`` the next is begun. Reading
goes through the first one and removes it at its end. ``NAME.diskqueue.meta.dat`` says
where both are. The modules: `records` (what a record looks like), `writer`, `reader`,
`cursors` (the meta file), `recovery` (opening), `store` (settings, and what is left
to a thread).

A batch is one write, and reading takes large blocks: nothing is done to the system per
record. Nothing here calls fsync but the jobs that `sync_jobs` returns.

What is taken from a queue that passes on goes to other queues of the store. Were it noted as taken
before it is safe there, a crash would lose it. So it counts as taken from when `commit` says that
it is in its next place, and is noted as taken, and its files removed, only once that is synced.
"""

import math
from collections.abc import Container
from contextlib import suppress

from nsqcore.classes import define, frozen
from nsqd.storage.diskqueue.cursors import Cursors
from nsqd.storage.diskqueue.looking import At, Block, read_block
from nsqd.storage.diskqueue.reader import Reader
from nsqd.storage.diskqueue.records import RECORD_HEADER
from nsqd.storage.diskqueue.recovery import find_cursors
from nsqd.storage.diskqueue.store import SYNC_EVERY, DiskStore, SyncJobs
from nsqd.storage.diskqueue.writer import Writer
from nsqd.storage.files.atomic import rewrite, write_temporary
from nsqd.storage.files.filesystem import READ, FileSystem

# Withdrawn records that are passed over with one look.
PASSED_AT_ONCE = 500

_DELETED = math.inf  # a version that no later meta file has


@frozen
class _ReadCursor:
    """How far a queue was taken: to where, and how many records since it was opened."""

    number: int
    position: int
    records: int


@define(eq=False, init=False)
class DiskQueue:
    """Records, first in, first out. There are no files before the first record is put.

    ``depth`` is how many there are; after a crash an estimate, but 0 only if there are none.
    """

    name: str
    depth: int
    changes: int  # records put or taken since the last sync
    _store: DiskStore
    _reader: Reader
    _writer: Writer
    _forwarding: bool
    _count: int
    _records_taken: int
    _committed: _ReadCursor  # of what passes on: all that is in its next place
    _synced: _ReadCursor  # ... when the last sync that is done began
    _deleted: bool
    _ending: bool  # `close` comes next
    _fs: FileSystem
    _noted_number: int  # of the file written to, in the meta file; -1 without one
    _failed: set[int]  # files whose last sync failed
    _version: int  # of the positions
    _written_version: float  # of the positions in the meta file

    def __init__(self, name: str, store: DiskStore, *, forwarding: bool = False) -> None:
        """Open the queue ``name``, where it was left or new."""
        self.name, self._store, self._forwarding = name, store, forwarding
        self._deleted = self._ending = False
        self._fs = store.files.fs
        at, self._noted_number = find_cursors(name, store)
        self._writer = Writer(name, at.write_number, at.write_position, store)
        self._reader = Reader(name, at.read_number, at.read_position, self._writer, store)
        self._count = max(at.depth, 0)
        self._records_taken = 0
        self._committed = self._synced = self._read_cursor()
        self._correct_depth()
        self._failed = set()
        self.changes = self._version = 0
        self._written_version = 0

    def put(self, records: list[bytes]) -> None:
        """Append ``records``, all or none.

        Raises:
            OSError: they can't be written now.
            ValueError: a record is larger or smaller than records may be.
        """
        if not records:
            return
        if self._deleted:
            raise OSError(f"queue {self.name} was deleted")
        sizes = list(map(len, records))
        if max(sizes) > self._store.max_record_size or min(sizes) < RECORD_HEADER:
            raise ValueError(
                f"a record's size is not between {RECORD_HEADER} and {self._store.max_record_size}"
            )
        self._writer.put(records, sizes)
        self._count += len(records)
        self.depth = self._count
        self._changed(len(records))
        # who leaves the default asks for no promise, and keeps the rates of the page cache
        if self.changes >= self._store.sync_every < SYNC_EVERY:
            self._store.owe(self.name)
        if self._writer.number != self._noted_number and not self._ending:
            self._note_cursors()  # or nobody would look for the file after a crash

    def end(self) -> None:
        """`close` comes next, and notes what is put until then: no need to do it twice."""
        self._ending = True

    def take(self, limit: int) -> list[bytes]:
        """The oldest records, at most ``limit``.

        Fewer if they are large (some MB at a time), if there are no more, or if the system fails
        to read just now. Unless the queue passes on, the files they were in may go with the next
        call: until then a crash finds the records where they were.
        """
        if self._deleted:
            return []
        self._remove_read()
        steps = self._reader.steps
        taken = self._reader.take(limit)
        self._count = max(self._count - len(taken), 0)
        self._records_taken += len(taken)
        if taken or self._reader.steps != steps:
            self._changed(len(taken) or 1)
        if self._count and not self._reader.has_more():
            self._store.warn(f"DISKQUEUE({self.name}): lacks {self._count} of the messages noted")
            self._count = 0
        self._correct_depth()
        return taken

    def look(self, at: At, limit: int) -> tuple[list[bytes], At | None]:
        """Up to ``limit`` records from ``at`` on, and where those behind them are; None where
        there are none. Changes nothing. Raises OSError."""
        block, following = self._look(at, limit)
        if not self._reader.withdrawn.count:
            return block.records, following
        return [record for record, gone in self._withdrawn(block) if not gone], following

    def withdraw(self, ids: Container[bytes], at: At, limit: int) -> tuple[list[bytes], At | None]:
        """Take those of ``ids`` that are among ``limit`` records from ``at`` on. Raises OSError."""
        block, following = self._look(at, limit)
        found = [
            (record, position)
            for (record, gone), position in zip(self._withdrawn(block), block.places(), strict=True)
            if record[10:26] in ids and not gone
        ]
        if found:
            number = block.start[0]
            self._reader.withdrawn.add(
                [(number, position, record[10:26]) for record, position in found]
            )
            self._count = max(self._count - len(found), 0)
            self._pass_withdrawn()
            self._correct_depth()
            self._changed(len(found))
        return [record for record, _ in found], following

    def _look(self, at: At, limit: int) -> tuple[Block, At | None]:
        reader, writer = self._reader, self._writer
        start = max(at, (reader.number, reader.position))
        end = (writer.number, writer.position)
        if self._deleted or start >= end:
            return Block(start, start, []), None
        block = read_block(self._store, self.name, start, end, limit)
        return block, None if block.end >= end else block.end

    def _withdrawn(self, block: Block) -> list[tuple[bytes, bool]]:
        """The records of ``block``, and whether each was withdrawn."""
        number, has = block.start[0], self._reader.withdrawn.has
        places = zip(block.records, block.places(), strict=True)
        return [(record, has(number, position, record)) for record, position in places]

    def _pass_withdrawn(self) -> None:
        """Have the reader at a record that is still there, so that a queue without is empty."""
        while self._reader.withdrawn.count and self._reader.has_more():
            block, _ = self._look((0, 0), PASSED_AT_ONCE)
            gone = [gone for _, gone in self._withdrawn(block)]
            count = gone.index(False) if False in gone else len(gone)
            if not count:
                break
            self._reader.pass_over(count)

    def commit(self) -> None:
        """What was taken so far is in its next place. Of a queue that passes on."""
        if (
            self._deleted
            or not self._forwarding
            or self._committed == (taken := self._read_cursor())
        ):
            return
        self._committed = taken
        for number in self._reader.pop_read_files():
            self._store.remove_files_synced(self.name, range(number, number + 1))
        self._changed(1)

    def probe(self) -> None:
        """Raise OSError if the disk would not take another record now."""
        if not self._deleted:
            self._writer.probe()

    def warn(self, message: str) -> None:
        """Tell an operator something of this queue."""
        self._store.warn(f"DISKQUEUE({self.name}): {message}")

    def empty(self) -> None:
        """Drop all records."""
        if self._deleted or (self._noted_number < 0 and not self.depth):
            return
        self._drop_all()
        self._changed(1)
        self._note_cursors()

    def delete(self) -> None:
        """Remove the queue with all its files. From now on it takes and gives nothing: another
        queue of this name may have its file numbers."""
        self._store.forget(self)
        with self._store.lock:
            self._written_version = _DELETED
            with suppress(OSError):
                self._fs.unlink(self._store.files.meta_path(self.name))
        self._drop_all()
        self._deleted = True

    def close(self, *, leave_file: bool = False) -> None:
        """Note the positions and give descriptor and buffer back.

        All is on the disk once the store's `finish` job has run. Raises OSError if the
        positions can't be written; the records are in their files all the same.

        Args:
            leave_file: have a file to write to, even if nothing was written.
        """
        if self._deleted:
            return
        if leave_file:
            self._writer.open()
        # the original takes a position at the end of a file that it read for a damaged file
        steps = self._reader.steps
        self._reader.skip_read_file()
        if self._reader.steps != steps:
            self.commit()
            self._changed(1)
        self.release()
        if self.changes or self._noted_number < 0:
            now_at = self._cursors(self._committed_cursor())
            self._write_cursors(now_at, self._next_version(), sync=False)
        self._reader.withdrawn.tidy(self._reader.number)

    def release(self) -> None:
        """Give back descriptor and buffer until they are needed again; files that were read go."""
        self._remove_read()
        self._writer.close()
        self._reader.release()

    def sync_jobs(self) -> SyncJobs:
        """What to run in a thread to have all that was put and taken so far on the disk.

        A job raises OSError if that fails; the next ones then try it again. A file whose sync
        failed is not synced again, as that may succeed without the data: it is written anew, and
        nothing more is added to it.
        """
        self._remove_read()
        if self._writer.number in self._failed:
            self._writer.skip_to(self._writer.number + 1)
        taken = self._committed_cursor()
        now_at, version = self._cursors(taken), self._next_version()
        numbers = list(self._writer.unsynced)
        self._writer.unsynced.clear()
        self.changes = 0

        def sync_files() -> None:
            failure: tuple[int | None, str | None, str | None] | None = None
            for number in numbers:
                try:
                    if number in self._failed:
                        rewrite(self._store.files.path(self.name, number), self._fs)
                        self._failed.discard(number)
                    else:
                        self._sync_file(number, written_to=number == now_at.write_number)
                except OSError as error:
                    self._writer.unsynced.add(number)
                    failure = error.errno, error.strerror, error.filename
            if failure is not None:
                self.changes += 1
                raise OSError(*failure)

        def note_cursors() -> None:
            try:
                self._write_cursors(now_at, version, sync=True, synced=taken)
            except OSError:
                self.changes += 1
                raise

        def postpone() -> None:
            self._writer.unsynced.update(numbers)
            self.changes += 1

        return SyncJobs(sync_files, note_cursors, postpone)

    def _drop_all(self) -> None:
        first = min(self._reader.pop_read_files(), default=self._reader.number)
        old = range(first, self._writer.number + 1)
        self.release()
        self._writer.skip_to(old.stop)
        self._reader.skip_to(old.stop)
        self._reader.withdrawn.clear()
        self._count = 0
        self._failed.clear()
        self._committed = self._synced = self._read_cursor()
        self._correct_depth()
        self._store.remove_files(self.name, old)

    def _correct_depth(self) -> None:
        self.depth = self._count or (1 if self._reader.has_more() else 0)

    def _changed(self, count: int) -> None:
        """Take note that ``count`` records were put or taken."""
        self.changes += count
        self._store.note_change(self)

    def _remove_read(self) -> None:
        if not self._forwarding:  # `commit` has these removed
            self._reader.remove_read_files()

    def _committed_cursor(self) -> _ReadCursor:
        """How far the queue was taken for good."""
        return self._committed if self._forwarding else self._read_cursor()

    def _read_cursor(self) -> _ReadCursor:
        return _ReadCursor(self._reader.number, self._reader.position, self._records_taken)

    def _cursors(self, taken: _ReadCursor) -> Cursors:
        depth = self._count + self._records_taken - taken.records
        writer = self._writer
        return Cursors(depth, taken.number, taken.position, writer.number, writer.position)

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _note_cursors(self) -> None:
        """Write the meta file without waiting for the disk; if that fails, the next sync does."""
        taken = self._synced if self._forwarding else self._read_cursor()
        try:
            self._write_cursors(self._cursors(taken), self._next_version(), sync=False)
        except OSError as error:
            self._store.warn(f"DISKQUEUE({self.name}): failed to note positions - {error}")

    def _write_cursors(
        self, now_at: Cursors, version: int, *, sync: bool, synced: _ReadCursor | None = None
    ) -> None:
        path = self._store.files.meta_path(self.name)
        suffix = "sync" if sync else "loop"  # a job and the loop may be here at once
        temporary = write_temporary(path, now_at.encode(), suffix=suffix, sync=sync, fs=self._fs)
        with self._store.lock:
            if version > self._written_version:
                self._fs.replace(temporary, path)
                self._written_version = version
                self._noted_number = now_at.write_number
                self._synced = synced or self._synced
            else:
                self._fs.unlink(temporary)

    def _sync_file(self, number: int, *, written_to: bool) -> None:
        try:
            descriptor = self._fs.open(self._store.files.path(self.name, number), READ)
        except FileNotFoundError:
            # A file that was read to its end is gone by now. The one written to should be
            # there: somebody removed it, and what is written next must not go after it.
            self._writer.check_file = self._writer.check_file or written_to
            return
        try:
            self._fs.fsync(descriptor)
        except OSError:
            self._failed.add(number)
            raise
        finally:
            self._fs.close(descriptor)
