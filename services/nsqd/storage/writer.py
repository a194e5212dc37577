"""The writing end of a disk queue: appends batches to the last file, and begins new ones.

A batch is one write per file it goes to. It is written whole or not at all: what a
failed write left behind is cut off at once or, if the disk refuses that too, before
the next write.
"""

import os
from contextlib import suppress

from attrs import define, field

from nsqd.storage.records import SIZE_FIELD, encode_disk_records
from nsqd.storage.store import DiskStore


@define(eq=False)
class Writer:
    """Where the queue ``name`` is written: at ``position`` of file ``number``."""

    name: str
    number: int
    position: int
    _store: DiskStore
    unsynced: set[int] = field(factory=set, init=False)  # files written to since the last sync
    check_file: bool = field(default=False, init=False)  # the file may have been removed
    _descriptor: int = field(default=-1, init=False)

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

    def skip_to(self, number: int) -> None:
        """Write to a new file ``number`` from now on."""
        self.close()
        self.number, self.position = number, 0

    def close(self) -> None:
        """Give the descriptor back until it is needed again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, encoded: bytes | bytearray) -> None:
        if self.check_file or self._descriptor < 0:
            self.open()
        rest = memoryview(encoded)
        position = self.position
        while rest:
            written = os.pwrite(self._descriptor, rest, position)
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
                os.unlink(self._store.path(self.name, later))
        self.skip_to(number)
        self.position = position
        with suppress(OSError):
            if position:
                os.truncate(self._store.path(self.name, number), position)
            else:
                os.unlink(self._store.path(self.name, number))

    def open(self) -> None:
        """Open the file to write to; begin another one if it is not as it was left.

        Raises OSError. The first write does it by itself.
        """
        self.close()
        while self._descriptor < 0:
            path = self._store.path(self.name, self.number)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size > self.position > 0:
                    os.ftruncate(descriptor, self.position)
                    size = self.position
            except OSError:
                os.close(descriptor)
                raise
            if size == self.position:
                self._descriptor = descriptor
            else:
                os.close(descriptor)
                self._replace(path)
        self.check_file = False

    def _replace(self, path: str) -> None:
        if self.position == 0:
            self._store.warn(f"DISKQUEUE({self.name}): {path} is not in use, setting it aside")
            os.replace(path, path + ".bad")
        else:
            self._store.warn(f"DISKQUEUE({self.name}): {path} lost its end, writing to a new file")
            self.skip_to(self.number + 1)
