"""Looking at the records of a disk queue, a block at a time. Changes nothing: no file, no queue."""

from nsqcore.classes import frozen
from nsqd.storage.diskqueue.records import SIZE_FIELD
from nsqd.storage.diskqueue.segment import BadSegment, SegmentReader
from nsqd.storage.diskqueue.store import DiskStore

# Read at a time, in bytes: below a millisecond's work.
BLOCK = 128 << 10
# Files without a record that are passed in one step.
MOST_FILES = 100

#: A file number and a position in the file.
At = tuple[int, int]


@frozen
class Block:
    """Some ``records`` that lie one behind the other from ``start`` on; others follow ``end``."""

    start: At
    end: At
    records: list[bytes]

    def places(self) -> list[int]:
        """Where in the file each of the records begins."""
        places, position = [], self.start[1]
        for record in self.records:
            places.append(position)
            position += SIZE_FIELD + len(record)
        return places


def read_block(store: DiskStore, queue: str, start: At, end: At, limit: int) -> Block:
    """Up to ``limit`` records of ``queue`` from ``start`` on; where there are none, or they can't
    be read as records, those of a later file. ``end`` is where writing goes on.

    There may be none before the block's end, and yet some behind it. Raises OSError.
    """
    number, position = start
    for _ in range(MOST_FILES):
        if (number, position) >= end:
            return Block(end, end, [])
        path = store.files.path(queue, number)
        segment = SegmentReader(store.files.fs, store.max_record_size, path, position, BLOCK)
        try:
            segment.load(end[1] if number == end[0] else None)
        except (BadSegment, FileNotFoundError):
            number, position = number + 1, 0
            continue
        if records := segment.decode(limit):
            return Block((number, position), (number, segment.position), records)
        number, position = number + 1, 0
    return Block((number, position), (number, position), [])
