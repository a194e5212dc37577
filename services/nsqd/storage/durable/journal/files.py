"""The files of the journal: made, filled with zeros, used, full, used again.

A file in use is one of: *ready* (nothing of its epoch in it), *current* (the journal's), *full*
(the journal went on to the next; its entries are needed until a checkpoint), *failed* (a write to
it failed: it is never trusted again, and removed after the next checkpoint).
"""

import os
import re
import uuid

from nsqcore.classes import define, field, frozen
from nsqd.storage.durable.format.entries import (
    ENTRY_HEADER,
    HEAD_SIZE,
    BadHead,
    Head,
    Scan,
    UnknownFormat,
    entry_number,
    entry_size,
    scan,
)
from nsqd.storage.durable.journal.journal import MAX_GROUP_BYTES, JournalFile
from nsqd.storage.files.durable_disk import ZEROS, Disk

FILE_SIZE = 64 << 20
# More than one write has at once, which is all that may be missing before an entry that is there.
READ_AHEAD = MAX_GROUP_BYTES + (1 << 20)
_NAME = re.compile(r"journal\.(\d{6,})")


@define(eq=False, repr=False)
class Found:
    """A journal file found at the start: what it holds of its epoch."""

    path: str
    head: Head | None  # None: its head is damaged, and it is read by what its entries say
    scan: Scan
    blank: bool = False  # there is nothing in it yet


@frozen
class _Begin:
    """What a journal file begins with; ``first`` is the number of its first entry, 0 if it has none
    that can be read."""

    path: str
    head: Head | None
    first: int = 0
    blank: bool = False


@define(eq=False, repr=False)
class JournalFiles:
    """The journal's files in ``directory``, ``file_size`` bytes each. See `journal.Spares`."""

    disk: Disk
    directory: str
    file_size: int = FILE_SIZE
    epoch: int = 0  # the last one given out
    uuid: bytes = field(factory=lambda: uuid.uuid4().bytes)
    full: list[JournalFile] = field(factory=list, init=False)
    failed: list[JournalFile] = field(factory=list, init=False)
    _ready: list[JournalFile] = field(factory=list, init=False)
    _free: list[str] = field(factory=list, init=False)  # to be used again
    _found: list[str] = field(factory=list, init=False)  # at the start, needed until a checkpoint
    _last: int = field(default=0, init=False)  # number of the last file made

    # ------------------------------------------------------------ at the start

    def find(self, *, after: int = 0) -> list[Found]:
        """The files there are, in the order in which they were written.

        Those whose entries all have numbers up to ``after`` are not read: their scans are empty.

        Raises:
            UnknownFormat: one is of a format that this nsqd does not know.
            OSError: one can't be read.
        """
        begins: list[_Begin] = []
        for name in self.disk.names(self.directory):
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            self._last = max(self._last, int(match[1]))
            begins.append(self._begin(os.path.join(self.directory, name)))
        begins.sort(key=lambda each: each.head.epoch if each.head else 0)
        self.epoch = max((each.head.epoch for each in begins if each.head), default=0)
        self._found = [each.path for each in begins]
        found: list[Found] = []
        past = False  # a later file begins with an entry that is not after the one behind `after`
        for begin in reversed(begins):
            found.insert(0, self._read(begin, past=past))
            past = past or 0 < begin.first <= after + 1
        return found

    def recovered(self) -> None:
        """What was found is in the states by now: its files may be used again."""
        self._free += self._found
        self._found = []

    def _begin(self, path: str) -> "_Begin":
        descriptor = self.disk.open(path)
        try:
            image = self.disk.read(descriptor, HEAD_SIZE + ENTRY_HEADER, 0)
        finally:
            self.disk.close(descriptor)
        try:
            head = Head.decode(image)
        except BadHead:
            # zeros are no damage: whoever made the file was killed before it was used
            return _Begin(path, None, blank=not image[:HEAD_SIZE].strip(b"\0"))
        except UnknownFormat as error:
            raise UnknownFormat(f"{path}: {error}") from None
        return _Begin(path, head, entry_number(image[HEAD_SIZE:], head.epoch))

    def _read(self, begin: "_Begin", *, past: bool) -> Found:
        path, head = begin.path, begin.head
        if head is None or past:
            return Found(path, head, Scan(), begin.blank)
        size = self.disk.size(path) or 0
        descriptor = self.disk.open(path)
        try:
            image = self.disk.read(descriptor, READ_AHEAD, 0)
            found = scan(image, head.epoch)
            # What is behind the last entry by more than one write can have is of an earlier use.
            position = len(image)
            while position < size:
                image = self.disk.read(descriptor, READ_AHEAD, found.end)
                whole = entry_size(image, head.epoch)
                if whole > len(image):
                    image = self.disk.read(descriptor, whole + READ_AHEAD, found.end)
                position = found.end + len(image)
                if not found.extend(scan(image, head.epoch, at=0)):
                    break
        finally:
            self.disk.close(descriptor)
        return Found(path, head, found)

    # ------------------------------------------------------------ for the journal

    def take(self) -> JournalFile | None:
        """A file ready for use, or None if one is still being made."""
        return self._ready.pop(0) if self._ready else None

    def retire(self, file: JournalFile, *, failed: bool) -> None:
        """``file`` is written to no more."""
        (self.failed if failed else self.full).append(file)

    @property
    def free(self) -> int:
        """How many files are ready, or need little to be."""
        return len(self._ready) + len(self._free)

    @property
    def unread(self) -> bool:
        """Whether what was found at the start is still needed, for want of a checkpoint."""
        return bool(self._found)

    @property
    def wants_file(self) -> bool:
        """Whether one should be made ready (`prepare`)."""
        return not self._ready

    # ------------------------------------------------------------ chores, for a thread

    def prepare(self, number: int, *, fill: bool = True) -> None:
        """Make a file ready for entries after ``number``. Raises OSError.

        To ``fill`` a new one with zeros takes a fraction of a second, and makes syncs cheap.
        Otherwise the file only has its room.
        """
        self.epoch += 1
        epoch = self.epoch
        path = self._free.pop(0) if self._free else None
        if path is not None and self.disk.size(path) != self.file_size:
            self.disk.unlink(path)
            path = None
        if path is None:
            self._last += 1
            path = os.path.join(self.directory, f"journal.{self._last:06d}")
            self._make(path, fill=fill)
        descriptor = self.disk.open(path)
        try:
            head = Head(self.file_size, epoch, number + 1, self.uuid)
            self.disk.write(descriptor, [head.encode()], 0, sync=True)
        except OSError:
            self.disk.close(descriptor)
            self._free.append(path)
            raise
        self._ready.append(JournalFile(path, descriptor, self.file_size, epoch))

    def _make(self, path: str, *, fill: bool) -> None:
        """Make a new file of zeros; if ``fill`` so that writing to it changes no metadata."""
        descriptor = self.disk.open(path, create=True)
        try:
            position = 0
            if not fill:
                self.disk.reserve(descriptor, 0, self.file_size)
                self.disk.truncate(descriptor, self.file_size)
                position = self.file_size
            while position < self.file_size:
                part = ZEROS[: self.file_size - position]
                self.disk.write(descriptor, [part], position)
                position += len(part)
            self.disk.sync(descriptor)
        except OSError:
            self.disk.unlink(path)
            raise
        finally:
            self.disk.close(descriptor)
        self.disk.sync_directory(self.directory)

    # ------------------------------------------------------------ after a checkpoint

    def checkpointed(self, full: list[JournalFile], failed: list[JournalFile]) -> None:
        """What is in these files is superfluous; the ``failed`` ones are removed."""
        for file in full:
            self.disk.close(file.descriptor)
            self.full.remove(file)
            self._free.append(file.path)
        for file in failed:
            self.disk.close(file.descriptor)
            self.failed.remove(file)

    def close(self, current: JournalFile | None) -> None:
        """Close every file."""
        for file in [*self.full, *self.failed, *self._ready, *([current] if current else [])]:
            self.disk.close(file.descriptor)
        self.full, self.failed, self._ready = [], [], []
