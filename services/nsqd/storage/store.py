"""The disk queues of one data directory, and what they leave to a thread.

A disk queue writes and reads on the loop, into and out of the page cache. What can
take long is gathered here: fsync, and the removal of many or large files. Whoever
owns the clock asks `DiskStore.due` for a job now and then, and runs it in a thread;
a job may overlap with writes, reads and file rolls of the same queues.

No thread, no clock and no log of its own: `now` is an argument, and what an operator
should read goes to ``warn``.
"""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from attrs import define, field, frozen

from nsqcore.units import SECOND
from nsqd.storage.atomic import sync_directory
from nsqd.storage.files import QueueFiles
from nsqd.storage.filesystem import MODE, REWRITE, SYSTEM, FileSystem

# An unlink of a file up to this size costs microseconds: no need for the thread.
SMALL_FILE = 1 << 20
# The original's defaults: --max-bytes-per-file, --max-msg-size plus a record's header,
# --sync-every, --sync-timeout.
MAX_BYTES_PER_FILE = 100 << 20
MAX_RECORD_SIZE = (1 << 20) + 26
SYNC_EVERY = 2500
SYNC_TIMEOUT = 2.0

# Bytes that `DiskStore.probe` writes at most. What cannot be compressed, as messages may not be.
MAX_TRIAL = 1 << 20
TRIAL_FILE = "nsqd.trial.tmp"

# Closed queues from which on the whole file system is synced at once: two fsyncs for each
# of thousands of queues would outlast the patience of whoever stops nsqd.
MANY = 64


Job = Callable[[], None]


@frozen
class SyncJobs:
    """What brings a queue to the disk: first its files, then the meta file that speaks of them.

    The second is for when the first of all queues that may have got its records is done.
    """

    sync_files: Job
    note_cursors: Job


class Syncable(Protocol):
    """A queue with something to sync."""

    @property
    def name(self) -> str:
        """``topic``, or ``topic:channel``."""

    @property
    def changes(self) -> int:
        """Records put or taken since the last sync."""

    def sync_jobs(self) -> SyncJobs:
        """What to run in a thread to have all that was put so far on the disk."""

    def release(self) -> None:
        """Give back descriptor and buffer until they are needed again."""


def _nothing() -> None:
    return


def _topic(name: str) -> str:
    return name.partition(":")[0]


@define(eq=False)
class DiskStore:
    """Settings of the disk queues in ``directory``, and their chores.

    Sizes are bytes, ``sync_timeout`` is seconds. ``warn`` gets one line for what an
    operator should know; it may be called from the thread of a job. ``wake`` is called
    when there is work that should not wait for the sync timeout: a queue has seen
    ``sync_every`` records since its last sync, or many files are to be removed.
    """

    directory: str
    max_bytes_per_file: int = field(default=MAX_BYTES_PER_FILE, kw_only=True)
    max_record_size: int = field(default=MAX_RECORD_SIZE, kw_only=True)
    sync_every: int = field(default=SYNC_EVERY, kw_only=True)
    sync_timeout: float = field(default=SYNC_TIMEOUT, kw_only=True)
    warn: Callable[[str], None] = field(kw_only=True)
    wake: Job = field(default=_nothing, kw_only=True)
    fs: FileSystem = field(default=SYSTEM, kw_only=True)
    files: QueueFiles = field(init=False)
    lock: threading.Lock = field(factory=threading.Lock, init=False)  # guards meta files' versions
    _changed: dict[Syncable, None] = field(factory=dict, init=False)
    _to_delete: list[tuple[str, range]] = field(factory=list, init=False)
    _reserved: dict[str, int] = field(factory=dict, init=False)
    _last_round: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.files = QueueFiles(self.directory, self.warn, self.fs)

    def first_number(self, name: str) -> int:
        """The lowest file number that a new queue ``name`` may use."""
        return self._reserved.get(name, 0)

    def note_change(self, queue: Syncable) -> None:
        """Have ``queue`` synced in time."""
        self._changed[queue] = None
        if queue.changes >= self.sync_every:
            self.wake()

    def forget(self, queue: Syncable) -> None:
        """Don't sync ``queue`` any more: it is deleted."""
        self._changed.pop(queue, None)

    def remove_files(self, name: str, numbers: range) -> None:
        """Remove these files of the queue ``name``: at once where that is cheap, else by a job."""
        if len(numbers) <= 2 and all(self._is_small(name, number) for number in numbers):
            for number in numbers:
                self.files.unlink(name, number)
        elif numbers:
            self.remove_files_synced(name, numbers)

    def remove_files_synced(self, name: str, numbers: range) -> None:
        """Remove these files of the queue ``name`` by a job, once its topic's others are synced."""
        self._to_delete.append((name, numbers))
        self._reserved[name] = max(self.first_number(name), numbers.stop)
        self.wake()

    def probe(self) -> None:
        """Write as much as the largest record to the disk, and forget it. For a thread.

        Raises OSError where the disk does not take it.
        """
        path = f"{self.files.directory}/{TRIAL_FILE}"
        descriptor = self.fs.open(path, REWRITE, MODE)
        try:
            rest = memoryview(os.urandom(min(self.max_record_size, MAX_TRIAL)))
            while rest:
                rest = rest[self.fs.write(descriptor, rest) :]
            self.fs.fsync(descriptor)
        finally:
            self.fs.close(descriptor)
            self.fs.unlink(path)

    def due(self, now: int) -> Job | None:
        """The work that is due at ``now``, for a thread; None if there is none.

        The job must have ended before the next call of `due` or `finish`. It raises
        OSError after it has done what it could; what failed is due again.
        """
        self._reserved = {name: numbers.stop for name, numbers in self._to_delete}
        if self._last_round is None:
            self._last_round = now
        everything = now - self._last_round >= self.sync_timeout * SECOND
        if everything:
            self._last_round = now
            for queue in [queue for queue in self._changed if not queue.changes]:
                del self._changed[queue]
                queue.release()
        changed = [queue for queue in self._changed if queue.changes]
        if everything:
            return self._job(changed)
        # Queues of one topic together: what one has noted as taken is on the disk in the others.
        topics = {_topic(queue.name) for queue in changed if queue.changes >= self.sync_every}
        topics.update(_topic(name) for name, _ in self._to_delete)
        return self._job(queue for queue in changed if _topic(queue.name) in topics)

    def finish(self) -> Job | None:
        """All the work that is left once the queues are closed; None if there is none."""
        left = [queue for queue in self._changed if queue.changes]
        if len(left) <= MANY:
            return self._job(left)
        remove = self._job([])

        def work() -> None:
            self.fs.sync()
            if remove is not None:
                remove()

        return work

    def _job(self, queues: Iterable[Syncable]) -> Job | None:
        syncs = [queue.sync_jobs() for queue in queues]
        to_delete, self._to_delete = self._to_delete, []
        if not syncs and not to_delete:
            return None

        def work() -> None:
            synced, failure = [], ""
            for jobs in syncs:
                try:
                    jobs.sync_files()
                    synced.append(jobs)
                except OSError as error:
                    failure = str(error)  # one sick queue must not keep the others from the disk
            if syncs and to_delete:
                sync_directory(self.files.directory, self.fs)
            for name, numbers in to_delete:
                for number in numbers:
                    self.files.unlink(name, number)
            for jobs in synced:
                try:
                    jobs.note_cursors()
                except OSError as error:
                    failure = str(error)
            if syncs:
                sync_directory(self.files.directory, self.fs)
            if failure:
                raise OSError(failure)

        return work

    def _is_small(self, name: str, number: int) -> bool:
        with suppress(OSError):
            return (self.files.size(name, number) or 0) <= SMALL_FILE
        return True
