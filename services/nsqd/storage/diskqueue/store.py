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

from nsqcore.classes import define, field, frozen
from nsqcore.units import SECOND
from nsqd.storage.files.atomic import sync_directory, sync_names
from nsqd.storage.files.filesystem import MODE, REWRITE, SYSTEM, FileSystem
from nsqd.storage.files.queue_files import QueueFiles

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
#: Told that what was put is on the disk (None), or why it is not.
Synced = Callable[[str | None], None]

# Of what is in every topic's way.
_ALL = ""
# Why a topic is not synced now, but by `DiskStore.finish`.
_STOPS = "nsqd stops"


@frozen
class SyncJobs:
    """What brings a queue to the disk: first its files, then the meta file that speaks of them.

    The second is for when the first of all queues that may have got its records is done.
    """

    sync_files: Job
    note_cursors: Job
    postpone: Job  # instead of the second, or of both: it is due again


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


@define(eq=False, repr=False)
class Round:
    """The work that is due: called in a thread, it does it; then `answer`, on the loop, tells those
    who wait for it, by topic. ``failures`` are by topic, too."""

    work: Callable[[dict[str, str]], None]
    waiting: list[tuple[str, Synced]]
    failures: dict[str, str] = field(factory=dict)

    def __call__(self) -> None:
        """Raises OSError after all was done that could be."""
        self.failures[_ALL] = "the sync was broken off"
        try:
            self.work(self.failures)
        except OSError as error:
            self.failures[_ALL] = str(error)
        else:
            del self.failures[_ALL]
        for failure in self.failures.values():
            if failure != _STOPS:
                raise OSError(failure)

    def answer(self) -> None:
        """Tell them."""
        failures = self.failures
        for topic, done in self.waiting:
            done(failures.get(topic, failures.get(_ALL)))


def _nothing() -> None:
    return


def _topic(name: str) -> str:
    return name.partition(":")[0]


@define(eq=False, repr=False)
class DiskStore:
    """Settings of the disk queues in ``directory``, and their chores.

    Sizes are bytes, ``sync_timeout`` is seconds. ``warn`` gets one line for what an
    operator should know; it may be called from the thread of a job. ``wake`` is called
    when there is work that should not wait for the sync timeout: a queue has seen
    ``sync_every`` records since its last sync, or many files are to be removed.

    Who has written the last of these waits for the sync: ``owed`` has the topics, `when_synced`
    tells. Everybody who waits at the begin of a round shares it.
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
    owed: set[str] = field(factory=set, init=False)
    failing: bool = field(default=False, init=False)  # something of the last round is not synced
    hurried: bool = field(default=False, init=False)  # by a stop: rounds leave the rest to `finish`
    _waiting: list[tuple[str, Synced]] = field(factory=list, init=False)
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

    def owe(self, name: str) -> None:
        """The queue ``name`` has got as many records as are to be synced."""
        self.owed.add(_topic(name))

    def when_synced(self, topic: str, done: Synced) -> None:
        """Have ``done`` told when what the queues of ``topic`` have by now is on the disk."""
        self._waiting.append((topic, done))

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for a sync."""
        return bool(self._waiting)

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
            self.fs.write_all(descriptor, os.urandom(min(self.max_record_size, MAX_TRIAL)))
            self.fs.fsync(descriptor)
        finally:
            self.fs.close(descriptor)
            self.fs.unlink(path)

    def due(self, now: int) -> Round | None:
        """The work that is due at ``now``, for a thread; None if there is none.

        The round must have ended before the next call of `due` or `finish`. What failed is due
        again.
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

    def hurry(self) -> None:
        """Have a round that is under way end soon: with thousands of queues it may take long, and
        `finish` has a quicker way."""
        self.hurried = True

    def finish(self) -> Job | None:
        """All the work that is left once the queues are closed; None if there is none."""
        self.hurried = False
        left = [queue for queue in self._changed if queue.changes]
        if len(left) <= MANY:
            return self._job(left)
        remove = self._job([])

        def work() -> None:
            self.fs.sync()
            if remove is not None:
                remove()

        return work

    def _job(self, queues: Iterable[Syncable]) -> Round | None:
        syncs = [(_topic(queue.name), queue.sync_jobs()) for queue in queues]
        to_delete, self._to_delete = self._to_delete, []
        waiting, self._waiting = self._waiting, []
        self.owed.clear()  # all of them are among these queues, or deleted
        if not syncs and not to_delete and not waiting:
            return None

        def work(failures: dict[str, str]) -> None:
            self.failing = True  # until the end
            synced = []
            for topic, jobs in syncs:
                if self.hurried:
                    failures.setdefault(topic, _STOPS)
                    synced.append((topic, jobs))
                    continue
                try:
                    jobs.sync_files()
                    synced.append((topic, jobs))
                except OSError as error:
                    failures[topic] = str(error)  # a sick queue keeps no other from the disk
            if syncs and to_delete:
                sync_directory(self.files.directory, self.fs)
            for name, numbers in to_delete:
                if _topic(name) in failures:  # what they had may be nowhere else
                    self._to_delete.append((name, numbers))
                    continue
                for number in numbers:
                    self.files.unlink(name, number)
            for topic, jobs in synced:
                if self.hurried:
                    failures.setdefault(topic, _STOPS)
                try:
                    if topic in failures:
                        jobs.postpone()
                    else:
                        jobs.note_cursors()
                except OSError as error:
                    failures[topic] = str(error)
            if syncs:
                sync_names(self.files.directory, self.fs)
            self.failing = failures.keys() != {_ALL}

        return Round(work, waiting)

    def _is_small(self, name: str, number: int) -> bool:
        with suppress(OSError):
            return (self.files.size(name, number) or 0) <= SMALL_FILE
        return True
