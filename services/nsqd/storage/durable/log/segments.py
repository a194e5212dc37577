"""One file of a topic's log: batches one behind the other, named by its first ordinal.

Batches are written where the journal says they are, so writing one twice changes nothing. A
sparse index says for every 64 KiB which ordinal and which id begin there. It is kept in memory
while the segment grows or is looked into; where there is none it is made anew by walking the
headers.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from nsqcore.classes import Factory, define, field
from nsqd.storage.durable.format.batches import (
    BATCH_HEADER,
    FLAG_PARKED,
    ITEM_HEADER,
    Batch,
    BatchHeader,
    find_header,
    read_batch,
    read_header,
)
from nsqd.storage.durable.format.crc import crc32c
from nsqd.storage.durable.format.hot import decode_items, whole_batches
from nsqd.storage.files.durable_disk import Disk

SUFFIX = ".log"
INDEX_SPACING = 64 << 10
READ_BLOCK = 256 << 10


def segment_name(first: int) -> str:
    """The file name of the segment whose first record has the ordinal ``first``."""
    return f"{first:020d}{SUFFIX}"


def first_of(name: str) -> int | None:
    """The first ordinal of the segment called ``name``; None for another file."""
    stem = name.removesuffix(SUFFIX)
    return int(stem) if name.endswith(SUFFIX) and len(stem) == 20 and stem.isdigit() else None


@define(eq=False, repr=False)
class Index:
    """Where in a segment to begin looking for an ordinal or an id."""

    ordinals: "array[int]" = Factory(lambda: array("Q"))
    ids: "array[int]" = Factory(lambda: array("Q"))
    positions: "array[int]" = Factory(lambda: array("Q"))

    def note(self, ordinal: int, id: int, position: int) -> None:
        """Note the batch at ``position``, unless one shortly before it is noted already."""
        if not self.positions or position - self.positions[-1] >= INDEX_SPACING:
            self.ordinals.append(ordinal)
            self.ids.append(id)
            self.positions.append(position)

    def position_of_ordinal(self, ordinal: int) -> int:
        """Where to begin looking for ``ordinal``."""
        at = bisect_right(self.ordinals, ordinal)
        return self.positions[at - 1] if at else 0

    def position_of_id(self, id: int) -> int:
        """Where to begin looking for ``id``."""
        at = bisect_right(self.ids, id)
        return self.positions[at - 1] if at else 0


@define(eq=False, repr=False)
class Segment:
    """The batches from ordinal ``first`` up to ``next``, not including it.

    ``size`` is how many bytes are written, ``reserved`` up to where the disk has room for sure.
    """

    disk: Disk
    path: str
    first: int
    next: int
    size: int = 0
    reserved: int = 0
    tail: int = 0  # where the next batch goes; behind `size` if the last one was cut off
    unsynced: bool = False
    failed: bool = False  # a sync of it failed: another one may succeed without the data
    index: Index | None = None
    _descriptor: int | None = field(default=None, init=False)
    _first_id: int | None = field(default=None, init=False)

    @property
    def descriptor(self) -> int:
        """To read and write the file, made if need be. Raises OSError."""
        if self._descriptor is None:
            self._descriptor = self.disk.open(self.path, create=True)
        return self._descriptor

    def write(self, data: bytes, position: int) -> None:
        """Put the batch ``data`` at ``position``. Raises OSError."""
        self.disk.write(self.descriptor, [data], position)
        self.size = max(self.size, position + len(data))
        self.unsynced = True

    def batches(self, position: int, *, headers_only: bool = False) -> Iterator[tuple[int, Batch]]:
        """The batches from ``position`` on, with where each begins; what is no batch is skipped.

        Raises OSError.
        """
        while position + BATCH_HEADER <= self.size:
            block = self.disk.read(self.descriptor, READ_BLOCK, position)
            at = 0
            while (header := read_header(block, at)) is not None:
                if at + header.size > len(block) and not (headers_only and at == 0):
                    break
                batch = Batch(header) if headers_only else read_batch(block, at, header)
                yield position + at, batch
                at += header.size
            if at:
                position += at
            elif header is not None:
                # larger than a block, or cut off at the end of the file
                whole = self.disk.read(self.descriptor, header.size, position)
                yield position, read_batch(whole, 0, header)
                position += header.size
            else:
                position = self._after_damage(position + 1)
                if position < 0:
                    return

    def headers(
        self, position: int, *, check: bool = True
    ) -> Iterator[tuple[int, BatchHeader, Batch | None]]:
        """The headers of the batches from ``position`` on, with where each begins.

        Where something is damaged the batch comes with its header. Records are not looked at if
        not ``check``. Raises OSError.
        """
        while position + BATCH_HEADER <= self.size:
            block = self.disk.read(self.descriptor, READ_BLOCK, position)
            whole, at = whole_batches(block, 0, check)
            for begins, *fields in whole:
                yield position + begins, BatchHeader(*fields), None
            position += at
            if at:
                continue
            for begins, batch in self.batches(position, headers_only=not check):
                # one that is damaged, or larger than a block, and up to where all is well again
                yield begins, batch.header, batch if check else None
                position = begins + batch.header.size
                if not check or not batch.damaged:
                    break
            else:
                return

    def _after_damage(self, position: int) -> int:
        """Where the next batch from ``position`` on begins; -1 if there is none."""
        while position + BATCH_HEADER <= self.size:
            block = self.disk.read(self.descriptor, READ_BLOCK, position)
            found = find_header(block, 0)
            if found >= 0:
                return position + found
            position += max(1, len(block) - BATCH_HEADER)
        return -1

    def indexed(self) -> Index:
        """The index, made by walking the headers if it is not there. Raises OSError."""
        if self.index is None:
            index = Index()
            for position, header, _ in self.headers(0, check=False):
                if not index.positions or position - index.positions[-1] >= INDEX_SPACING:
                    index.note(header.first, self._id_at(position), position)
            self.index = index
        return self.index

    def _id_at(self, position: int) -> int:
        start = position + BATCH_HEADER + ITEM_HEADER + 10
        digits = self.disk.read(self.descriptor, 16, start)
        try:
            return int(digits, 16)
        except ValueError:  # damaged
            return 0

    @property
    def first_id(self) -> int:
        """The id of the first record; 0 if it can't be read. No other one has a lesser id, but in
        a segment of parked ones (`TopicLog.parked`)."""
        if self._first_id is None and self.size:
            self._first_id = self._checked_id()
        return self._first_id or 0

    def begins_with(self, record: bytes) -> None:
        """Its first batch, which is not written yet, begins with ``record``."""
        self._first_id = int(record[10:26], 16)

    def _checked_id(self) -> int:
        """The id of the first record, if that is not damaged and no parked one."""
        try:
            block = self.disk.read(self.descriptor, BATCH_HEADER + ITEM_HEADER, 0)
            header = read_header(block, 0)
            if header is None or len(block) < BATCH_HEADER + ITEM_HEADER:
                return 0
            if header.flags & FLAG_PARKED:  # dropped, but nsqd was killed over it
                return 0
            length = int.from_bytes(block[BATCH_HEADER : BATCH_HEADER + 4], "little")
            size = BATCH_HEADER + ITEM_HEADER + min(length, header.length)
            block = self.disk.read(self.descriptor, size, 0)
        except OSError:
            return 0
        seed = crc32c(header.rest())
        records, _ = decode_items(block, BATCH_HEADER, len(block), 1, seed)
        return int(records[0][10:26], 16) if records else 0

    def rewrite(self) -> None:
        """Put what the file has into a fresh one, synced, in its place. Raises OSError.

        For a thread; nobody writes to the segment meanwhile. It is to be `release`-d afterwards.
        """
        descriptor = self.disk.open(self.path)
        try:
            content = self.disk.read(descriptor, self.size, 0)
        finally:
            self.disk.close(descriptor)
        self.disk.replace(self.path, content, sync=True)

    def release(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self.disk.close(descriptor)
