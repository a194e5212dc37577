"""Reads the records of one file of a disk queue. Changes nothing, neither the file nor the queue.

No descriptor is kept between blocks: opening costs little beside reading a block, and thousands of
queues may be read at once.
"""

from nsqcore.classes import define, field
from nsqd.storage.diskqueue.records import RECORD_HEADER, SIZE_FIELD, decode_disk_records, size_at
from nsqd.storage.files.filesystem import READ, FileSystem

# Reading starts small, for thousands of queues may have a few records each, and doubles up to
# a size at which the system calls no longer show beside the decoding (a thousand records).
FIRST_BLOCK = 16 << 10
LARGEST_BLOCK = 256 << 10


class BadSegment(Exception):
    """There is no whole record at the position where the next one should be."""


@define(eq=False, repr=False)
class SegmentReader:
    """The records of the file at ``path``, from ``position`` (bytes) on."""

    fs: FileSystem
    max_record_size: int
    path: str
    position: int = 0
    block_size: int = FIRST_BLOCK  # of what is read next, in bytes
    _block: bytes = field(default=b"", init=False)
    _at: int = field(default=0, init=False)  # how far the block was decoded

    def decode(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``, of the block that is loaded."""
        records: list[bytes]
        records, end = decode_disk_records(self._block, self._at, limit, self.max_record_size)
        self.position += end - self._at
        self._at = end
        return records

    def load(self, end: int | None) -> int:
        """Load the block at `position`; returns where the records end.

        That is ``end``, or the end of the file if that is None. Nothing is loaded when `position`
        is there already.

        Raises:
            BadSegment: what is there is no record, or can't be read.
            OSError: the file can't be opened; nothing need be wrong with it.
        """
        descriptor = self.fs.open(self.path, READ)
        try:
            if end is None:
                end = self.fs.size(descriptor)
            if self.position < end:
                self._load(descriptor, end)
            return end
        except OSError as error:
            raise BadSegment(str(error)) from None
        finally:
            self.fs.close(descriptor)

    def _load(self, descriptor: int, end: int) -> None:
        start = self.position
        block = self.fs.pread(descriptor, min(self.block_size, end - start), start)
        size = size_at(block, 0)
        if size is None:
            raise BadSegment("the file ends within a record")
        if not RECORD_HEADER <= size <= self.max_record_size:
            raise BadSegment(f"invalid record size {size}")
        whole = SIZE_FIELD + size
        if len(block) < whole <= end - start:
            block = self.fs.pread(descriptor, whole, start)
        if len(block) < whole:
            raise BadSegment("the file ends within a record")
        self._block, self._at = block, 0
        self.block_size = min(self.block_size * 2, LARGEST_BLOCK)

    def go_to(self, path: str, position: int = 0) -> None:
        """Go on at ``position`` of another file."""
        self.path, self.position = path, position
        self._block, self._at = b"", 0

    def release(self) -> None:
        """Give the block back until it is needed again."""
        self._block, self._at, self.block_size = b"", 0, FIRST_BLOCK
