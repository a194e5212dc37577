"""The journal: one per nsqd, for all durable topics.

What happens in a tick gathers here as entries. `begin` makes one write of them all, `end` is told
what became of it; who performs the write in between (a thread with a sync, or the loop without
one: `committer`) is not the journal's business. One write at a time: what comes meanwhile is
the next one (group commit).

The files have a fixed size, are filled with zeros once and used again, so that a sync needs to
write no metadata. A file that is full waits until a checkpoint has made it superfluous.

A write that failed is never trusted again: a later sync of the same file may succeed
without its data. Its entries are still here and go to a fresh file; if that fails too, messages are
refused, and what else happened is written once there is a file that takes it.
"""

from collections.abc import Callable
from typing import Protocol

from nsqcore.classes import Factory, define, field
from nsqd.storage.durable.format.entries import ENTRY_HEADER, HEAD_SIZE, Kind, encode_entry
from nsqd.storage.durable.format.payloads import encode_fields

#: Told what has become of an entry: None, or why it is not in the journal.
Done = Callable[[OSError | None], None]

# At most so many bytes in one write: some milliseconds of a fast disk.
MAX_GROUP_BYTES = 16 << 20
# More than what stands round a batch of one message, or of few, in a file.
OVERHEAD = HEAD_SIZE + 1024
# At most so many parts in one write (IOV_MAX of Linux); more are joined.
MAX_PARTS = 1024

# A commit that takes this long (ns) is one of a slow disk, where lingering pays.
SLOW_COMMIT = 2_000_000
# How long to linger, as a part of the last commit.
LINGER = 0.15


@define(eq=False, repr=False)
class JournalFile:
    """One file of the journal in one use. ``position`` is where the next entry goes."""

    path: str
    descriptor: int
    size: int
    epoch: int
    position: int = HEAD_SIZE
    unsynced: bool = False


@define(eq=False, repr=False)
class _Pending:
    number: int
    kind: Kind
    parts: list[bytes]
    size: int
    sync: bool
    done: Done | None


@define(eq=False, repr=False)
class Write:
    """Bytes to write at ``position`` of ``file``, to be synced before `Journal.end` if ``sync``."""

    file: JournalFile
    position: int
    parts: list[bytes]
    size: int
    sync: bool
    began: int
    entries: list[_Pending] = Factory(list)
    retried: bool = False


class Spares(Protocol):
    """Where files come from that can be written to, of ``file_size`` bytes."""

    file_size: int

    def take(self) -> JournalFile | None:
        """A file ready for use, or None if one is still being made."""

    def retire(self, file: JournalFile, *, failed: bool) -> None:
        """``file`` is written to no more. It may be used again after the next checkpoint,
        if it has not ``failed``."""


@define(eq=False, repr=False)
class Journal:
    """Gathers entries and says what to write when. Numbers go on after ``number``."""

    spares: Spares
    number: int = 0
    file: JournalFile | None = None
    writing: Write | None = None
    error: OSError | None = field(default=None, init=False)  # of the last write
    last_commit: int = field(default=0, init=False)  # how long it took, ns
    commits: int = field(default=0, init=False)
    pending_bytes: int = field(default=0, init=False)  # not yet written, those being written too
    _pending: list[_Pending] = field(factory=list, init=False)
    _retry: list[_Pending] = field(factory=list, init=False)  # of a write that failed once
    _waiting: int = field(default=0, init=False)  # pending entries that want a sync
    _answered: int = field(default=0, init=False)  # of the last group
    _linger_until: int = field(default=0, init=False)

    def add(
        self, kind: Kind, parts: list[bytes], *, sync: bool = False, done: Done | None = None
    ) -> int:
        """Have an entry written with the next group; returns its number.

        ``done`` is called once it is written, and synced if ``sync``.
        """
        self.number += 1
        size = ENTRY_HEADER + sum(map(len, parts))
        self._pending.append(_Pending(self.number, kind, parts, size, sync, done))
        self._waiting += sync
        self.pending_bytes += size
        return self.number

    @property
    def largest(self) -> int:
        """How many bytes a batch may have: what one of the files can hold."""
        return self.spares.file_size - OVERHEAD

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written or is being written."""
        return self.writing is None and not self._pending and not self._retry

    def linger_until(self, now: int) -> int | None:
        """Until when `begin` waits for more, if it does."""
        if not self._linger_until:
            return None
        waits = self._waiting and now < self._linger_until and self._waiting < self._answered
        return self._linger_until if waits and not self._retry else None

    def begin(self, now: int, *, sync: bool = False) -> Write | None:
        """The next write, or None: nothing to do, one is under way, or there is no file yet.

        ``sync`` asks for one though no entry does: of what is written already, too.
        """
        if self.writing is not None or self.linger_until(now) is not None:
            return None
        file = self.file
        dirty = sync and file is not None and file.unsynced
        if not self._pending and not self._retry and not dirty:
            return None
        entries, size = self._next_group(file)
        if file is None or (entries and file.position + size > file.size):
            if file is not None:
                if file.unsynced:  # it is synced before it is left, or nobody would do it
                    self.writing = Write(file, file.position, [], 0, True, now)
                    return self.writing
                self.spares.retire(file, failed=False)
            file = self.file = self.spares.take()
            if file is None:
                return None
        synced = self._take(entries)
        parts: list[bytes] = []
        for entry in entries:
            parts += encode_entry(entry.kind, file.epoch, entry.number, entry.parts)
        if len(parts) > MAX_PARTS:
            parts = [b"".join(parts)]
        wanted = sync or synced > 0
        retried = bool(self._retry)
        self._retry = []
        self.writing = Write(
            file, file.position, parts, size, wanted, now, entries, retried=retried
        )
        file.position += size
        return self.writing

    def end(self, write: Write, error: OSError | None, now: int) -> None:
        """``write`` was performed, or failed with ``error``."""
        self.writing = None
        if error is not None and not write.retried:
            self._fail_over(write, error)
            return
        self.error = error
        self.pending_bytes -= write.size
        if error is None:
            write.file.unsynced = not write.sync
            if write.sync:
                self._committed(write, now)
        else:
            self._give_up(write.file)
            self._keep(write.entries)
        for entry in write.entries:
            done, entry.done = entry.done, None
            if done is not None:
                done(error)

    def _next_group(self, file: JournalFile | None) -> tuple[list[_Pending], int]:
        """What goes into one write: all that waits, up to the end of the file."""
        if self._retry:
            return self._retry, sum(entry.size for entry in self._retry)
        left = file.size - file.position if file else self.spares.file_size - HEAD_SIZE
        room = min(left, MAX_GROUP_BYTES)
        if self.pending_bytes <= room:
            return self._pending, self.pending_bytes
        entries: list[_Pending] = []
        size = 0
        for entry in self._pending:
            if entries and size + entry.size > room:
                break
            entries.append(entry)
            size += entry.size
        return entries, size

    def _take(self, entries: list[_Pending]) -> int:
        """``entries`` are to be written; how many of them want a sync."""
        if entries is self._pending:
            self._pending = []
            synced, self._waiting = self._waiting, 0
            return synced
        synced = sum(entry.sync for entry in entries)
        if entries is not self._retry:
            del self._pending[: len(entries)]
            self._waiting -= synced
        return synced

    def _fail_over(self, write: Write, error: OSError) -> None:
        """Have the entries of ``write`` written once more, to another file."""
        self.error = error
        self._give_up(write.file)
        self._retry = write.entries

    def refuse(self, error: OSError) -> None:
        """Refuse what waits, where there is no file and none can be made, because of ``error``."""
        if self.file is not None or self.writing is not None:
            return
        self.error = error
        waiting, self._retry, self._pending = [*self._retry, *self._pending], [], []
        self._waiting = 0
        self.pending_bytes -= sum(entry.size for entry in waiting)
        self._keep(waiting)
        for entry in waiting:
            done, entry.done = entry.done, None
            if done is not None:
                done(error)

    def _keep(self, entries: list[_Pending]) -> None:
        """Have written later what is not refused: all but messages has happened already."""
        moves = [entry.number for entry in entries if entry.kind == Kind.MOVE]
        if moves:  # the bad file may show them yet, and they may be tried again
            self.add(Kind.TOPIC, [encode_fields({"op": "void", "topic": 0, "entries": moves})])
        kept = [entry for entry in entries if entry.kind not in (Kind.BATCH, Kind.MOVE)]
        self._pending[:0] = kept
        self._waiting += sum(entry.sync for entry in kept)
        self.pending_bytes += sum(entry.size for entry in kept)

    def _give_up(self, file: JournalFile) -> None:
        self.spares.retire(file, failed=True)
        if self.file is file:
            self.file = None

    def _committed(self, write: Write, now: int) -> None:
        self.commits += 1
        self.last_commit = now - write.began
        self._answered = sum(entry.sync for entry in write.entries)
        slow = self.last_commit >= SLOW_COMMIT
        self._linger_until = now + int(LINGER * self.last_commit) if slow else 0
