"""The reading end of a disk queue: takes large blocks and decodes records from them.

No descriptor is kept between blocks: opening costs little beside reading a block, and
thousands of queues may be read at once. A file whose last record is taken is removed by
`remove_read_files`, or by whoever calls `pop_read_files`: not before what was taken is in its next
place, or a crash would lose it.
A file with an impossible or unfinished record is renamed to ``.bad``, a missing one is
skipped; reading goes on with the next.
"""

import os

from attrs import define, field

from nsqd.storage.records import (
    RECORD_HEADER,
    SIZE_FIELD,
    decode_disk_records,
    size_at,
)
from nsqd.storage.store import DiskStore
from nsqd.storage.writer import Writer

# Reading starts small, for thousands of queues may have a few records each, and doubles up to
# a size at which the system calls no longer show beside the decoding (a thousand records).
FIRST_BLOCK = 16 << 10
LARGEST_BLOCK = 256 << 10

# A call ends with the block that brings what it has taken to this: a thousand records may be some
# hundred KB or some GB.
TAKEN_AT_ONCE = 4 << 20

_UNKNOWN = 1 << 63  # longer than any file


@define(eq=False)
class Reader:
    """Where the queue ``name`` is read: at ``position`` of file ``number``.

    ``steps`` counts how often it went on to another file.
    """

    name: str
    number: int
    position: int
    _writer: Writer
    _store: DiskStore
    steps: int = field(default=0, init=False)
    _read: list[int] = field(factory=list, init=False)  # files to remove
    _end: int = field(default=_UNKNOWN, init=False)  # of the file, once nothing is added to it
    _block: bytes = field(default=b"", init=False)
    _block_position: int = field(default=0, init=False)
    _block_size: int = field(default=FIRST_BLOCK, init=False)
    _trouble: str = field(default="", init=False)

    def has_more(self) -> bool:
        """Whether there is something to read."""
        return self.number < self._writer.number or self.position < self._writer.position

    def take(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``; fewer if they are large, if there are no more, or
        if reading fails."""
        taken: list[bytes] = []
        size = 0
        while len(taken) < limit and size < TAKEN_AT_ONCE and self.has_more():
            records, end = decode_disk_records(
                self._block, self._block_position, limit - len(taken), self._store.max_record_size
            )
            if records:
                size += end - self._block_position
                self.position += end - self._block_position
                self._block_position = end
                taken = taken + records if taken else records
                if self.position >= self._end and self.number < self._writer.number:
                    self._finish_file()
            elif not self._advance():
                break
        return taken

    def pop_read_files(self) -> list[int]:
        """The numbers of the files that were read to their ends since the last call."""
        read, self._read = self._read, []
        return read

    def remove_read_files(self) -> None:
        """Remove the files that were read to their ends."""
        for number in self.pop_read_files():
            self._store.remove_files(self.name, range(number, number + 1))

    def skip_to(self, number: int) -> None:
        """Go on with the start of file ``number``."""
        self.number, self.position, self._end = number, 0, _UNKNOWN
        self._block, self._block_position = b"", 0
        self.steps += 1

    def release(self) -> None:
        """Give the buffer back until it is needed again."""
        self._block, self._block_position, self._block_size = b"", 0, FIRST_BLOCK

    def _advance(self) -> bool:
        """Load a block, or step over what can't be read. False if it can be neither just now."""
        path = self._store.path(self.name, self.number)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._skip_missing(path)
            return True
        except OSError as error:
            # Too many open files, or no permission: nothing is wrong with the file.
            self._warn_once(f"failed to open {path} - {error}")
            return False
        try:
            problem = self._load_block(descriptor)
        except OSError as error:
            problem = str(error)
        finally:
            os.close(descriptor)
        if problem:
            self._warn(f"reading at {self.position} of {path} - {problem}")
            self._leave_bad_file(path)
        self._trouble = ""
        return True

    def _load_block(self, descriptor: int) -> str:
        """Read the next block; says what is wrong with the record at its start, if anything."""
        start, end = self.position, self._writer.position
        if self.number < self._writer.number:
            end = self._end = os.fstat(descriptor).st_size
            if start >= end:
                self._finish_file()
                return ""
        block = os.pread(descriptor, min(self._block_size, end - start), start)
        size = size_at(block, 0)
        if size is None:
            return "the file ends within a record"
        if not RECORD_HEADER <= size <= self._store.max_record_size:
            return f"invalid record size {size}"
        whole = SIZE_FIELD + size
        if len(block) < whole <= end - start:
            block = os.pread(descriptor, whole, start)
        if len(block) < whole:
            return "the file ends within a record"
        self._block, self._block_position = block, 0
        self._block_size = min(self._block_size * 2, LARGEST_BLOCK)
        return ""

    def _finish_file(self) -> None:
        self._read.append(self.number)
        self.skip_to(self.number + 1)

    def _leave_bad_file(self, path: str) -> None:
        if self.number == self._writer.number:
            self._writer.skip_to(self.number + 1)
        self._warn(f"jumping to the next file, keeping the bad one as {path}.bad")
        self._store.set_aside(self.name, path)
        self.skip_to(self.number + 1)

    def _skip_missing(self, path: str) -> None:
        self._warn(f"{path} is missing, jumping to the next file")
        if self.number == self._writer.number:
            self._writer.skip_to(self.number + 1)
        later = (number for number in self._store.numbers(self.name) if number > self.number)
        self.skip_to(min(next(later, self._writer.number), self._writer.number))

    def _warn_once(self, trouble: str) -> None:
        """Warn of what is met again and again, once."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._warn(trouble)

    def _warn(self, message: str) -> None:
        self._store.warn(f"DISKQUEUE({self.name}): {message}")
