"""The files of the journal: made, filled with zeros, used, full, used again.

A file in use is one of: *ready* (nothing of its epoch in it), *current* (the journal's), *full*
(the journal went on to the next; its entries are needed until a checkpoint), *failed* (a write to
it failed: it is never trusted again, and removed after the next checkpoint).
"""

import os
import re
import uuid

from attrs import define, field

from nsqd.storage.durable.disk import ZEROS, Disk
from nsqd.storage.durable.entries import HEAD_SIZE, BadHead, Head, Scan, UnknownFormat, scan
from nsqd.storage.durable.journal import MAX_GROUP_BYTES, JournalFile

FILE_SIZE = 64 << 20
# More than one write has at once, which is all that may be missing before an entry that is there.
READ_AHEAD = MAX_GROUP_BYTES + (1 << 20)
_NAME = re.compile(r"journal\.(\d{6,})")


@define(eq=False)
class Found:
    """A journal file found at the start: what it holds of its epoch."""

    path: str
    head: Head | None  # None: its head is damaged, and it is read by what its entries say
    scan: Scan
    blank: bool = False  # there is nothing in it yet


@define(eq=False)
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

    def find(self) -> list[Found]:
        """The files there are, in the order in which they were written.

        Raises:
            UnknownFormat: one is of a format that this nsqd does not know.
            OSError: one can't be read.
        """
        found: list[Found] = []
        for name in self.disk.names(self.directory):
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            self._last = max(self._last, int(match[1]))
            found.append(self._read(os.path.join(self.directory, name)))
        found.sort(key=lambda each: each.head.epoch if each.head else 0)
        self.epoch = max((each.head.epoch for each in found if each.head), default=0)
        self._found = [each.path for each in found]
        return found

    def recovered(self) -> None:
        """What was found is in the states by now: its files may be used again."""
        self._free += self._found
        self._found = []

    def _read(self, path: str) -> Found:
        size = self.disk.size(path) or 0
        descriptor = self.disk.open(path)
        try:
            image = self.disk.read(descriptor, READ_AHEAD, 0)
            head = Head.decode(image)
            found = scan(image, head.epoch)
            # What is behind the last entry by more than one write can have is of an earlier use.
            while len(image) < size and len(image) < found.end + READ_AHEAD:
                image += self.disk.read(descriptor, READ_AHEAD, len(image))
                found = scan(image, head.epoch)
        except BadHead:
            # zeros are no damage: whoever made the file was killed before it was used
            return Found(path, None, Scan(), blank=not image[:HEAD_SIZE].strip(b"\0"))
        except UnknownFormat as error:
            raise UnknownFormat(f"{path}: {error}") from None
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

    def prepare(self, number: int) -> None:
        """Make a file ready for entries after ``number``. Raises OSError.

        Filling a new file takes a fraction of a second.
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
            self._fill(path)
        descriptor = self.disk.open(path)
        try:
            head = Head(self.file_size, epoch, number + 1, self.uuid)
            self.disk.write(descriptor, [head.encode()], 0, sync=True)
        except OSError:
            self.disk.close(descriptor)
            self._free.append(path)
            raise
        self._ready.append(JournalFile(path, descriptor, self.file_size, epoch))

    def _fill(self, path: str) -> None:
        """Make a new file full of zeros, so that writing to it changes no metadata."""
        descriptor = self.disk.open(path, create=True)
        try:
            position = 0
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
