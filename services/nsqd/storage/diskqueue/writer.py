"""The writing end of a disk queue: appends batches to the last file, and begins new ones.

A batch is one write per file it goes to. It is written whole or not at all: what a
failed write left behind is cut off at once or, if the disk refuses that too, before
the next write.
"""

from contextlib import suppress

from nsqcore.classes import define, field
from nsqd.storage.diskqueue.records import SIZE_FIELD, encode_disk_records
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import MODE, WRITE, FileSystem

# Bytes written to see whether the disk takes more: a block of any file system.
PROBE = 4096


@define(eq=False, repr=False)
class Writer:
    """Where ``queue`` is written: at ``position`` of file ``number``."""

    queue: str
    number: int
    position: int
    _store: DiskStore
    unsynced: set[int] = field(factory=set, init=False)  # files written to since the last sync
    check_file: bool = field(default=False, init=False)  # the file may have been removed
    _fs: FileSystem = field(init=False)
    _descriptor: int = field(default=-1, init=False)

    def __attrs_post_init__(self) -> None:
        self._fs = self._store.files.fs

    def put(self, records: list[bytes], sizes: list[int]) -> None:
        """Append ``records``, which are ``sizes`` long; where that raises OSError, none of them."""
        number, position = self.number, self.position
        try:
            if position + sum(sizes) + SIZE_FIELD * len(sizes) <= self._store.max_bytes_per_file:
                self._append(encode_disk_records(records))
            else:
                self._append_and_roll(records, sizes)
        except OSError:
            if self._descriptor >= 0 or self.number != number:
                self._undo(number, position)
            raise

    def probe(self) -> None:
        """Raise OSError if the file does not take another block; leaves it as it was."""
        if self.check_file or self._descriptor < 0:
            self.open()
        try:
            self._fs.pwrite(self._descriptor, bytes(PROBE), self.position)
        finally:
            self._fs.ftruncate(self._descriptor, self.position)

    def skip_to(self, number: int) -> None:
        """Write to a new file ``number`` from now on."""
        self.close()
        self.number, self.position = number, 0

    def close(self) -> None:
        """Give the descriptor back until it is needed again."""
        if self._descriptor >= 0:
            self._fs.close(self._descriptor)
            self._descriptor = -1

    def _append(self, encoded: bytes | bytearray) -> None:
        if self.check_file or self._descriptor < 0:
            self.open()
        rest = memoryview(encoded)
        position = self.position
        while rest:
            written = self._fs.pwrite(self._descriptor, rest, position)
            position += written
            rest = rest[written:]
        self.position = position
        self.unsynced.add(self.number)

    def _append_and_roll(self, records: list[bytes], sizes: list[int]) -> None:
        start, position = 0, self.position
        for index, size in enumerate(sizes):
            whole = SIZE_FIELD + size
            position += whole
            # A record larger than any file gets one of its own.
            if position > self._store.max_bytes_per_file and position > whole:
                if index > start:
                    self._append(encode_disk_records(records[start:index]))
                self.skip_to(self.number + 1)
                start, position = index, whole
        self._append(encode_disk_records(records[start:]))

    def _undo(self, number: int, position: int) -> None:
        """Be at ``position`` of file ``number`` again, as if nothing had been written since."""
        for later in range(number + 1, self.number + 1):
            with suppress(OSError):
                self._fs.unlink(self._store.files.path(self.queue, later))
        self.skip_to(number)
        self.position = position
        with suppress(OSError):
            if position:
                self._fs.truncate(self._store.files.path(self.queue, number), position)
            else:
                self._fs.unlink(self._store.files.path(self.queue, number))

    def open(self) -> None:
        """Open the file to write to; begin another one if it is not as it was left.

        Raises OSError. The first write does it by itself.
        """
        self.close()
        while self._descriptor < 0:
            path = self._store.files.path(self.queue, self.number)
            descriptor = self._fs.open(path, WRITE, MODE)
            try:
                size = self._fs.size(descriptor)
                if size > self.position > 0:
                    self._fs.ftruncate(descriptor, self.position)
                    size = self.position
            except OSError:
                self._fs.close(descriptor)
                raise
            if size == self.position:
                self._descriptor = descriptor
            else:
                self._fs.close(descriptor)
                self._replace(path)
        self.check_file = False

    def _replace(self, path: str) -> None:
        if self.position == 0:
            self._store.warn(f"DISKQUEUE({self.queue}): {path} is not in use, setting it aside")
            self._fs.replace(path, path + ".bad")
        else:
            self._store.warn(f"DISKQUEUE({self.queue}): {path} lost its end, writing to a new file")
            self.skip_to(self.number + 1)
