"""A queue of records in memory.

Batches go in and come out; inside they stay lists, so that the cost is per batch
and a record costs one pointer. Batches published one by one are gathered into
larger lists, for a list of its own would cost ten times the pointer.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from attrs import define, field

# Below this a batch is copied into a shared list. An empty list is 56 bytes plus
# 8 in the deque: at 64 records that is one byte more for each.
SMALL_BATCH = 64
# A gathered list is closed at this length, so that what was taken is given back soon.
GATHER = 512


@define(eq=False)
class MemoryQueue:
    """Records, first in, first out."""

    depth: int = field(default=0, init=False)
    _chunks: deque[list[bytes]] = field(factory=deque, init=False)
    _offset: int = field(default=0, init=False)  # records of the first chunk that were taken
    _tail: list[bytes] = field(factory=list, init=False)  # the only chunk that still grows

    def put(self, records: list[bytes]) -> None:
        """Append ``records``. The list may be kept: the caller must not change it afterwards."""
        self.depth += len(records)
        tail = self._tail
        if len(records) < SMALL_BATCH:
            tail += records
            if len(tail) >= GATHER:
                self._close_tail()
            return
        if tail:
            self._close_tail()
        self._chunks.append(records)

    def take(self, limit: int) -> list[bytes]:
        """The oldest records, at most ``limit``; fewer only if there are no more."""
        taken: list[bytes] = []
        missing = min(limit, self.depth)
        self.depth -= max(missing, 0)
        while missing > 0:
            if not self._chunks:
                self._close_tail()
            missing -= self._take_from_first(taken, missing)
        return taken

    def records(self) -> Iterator[bytes]:
        """Every record, oldest first; none is taken."""
        if self._chunks:
            yield from self._chunks[0][self._offset :]
        for chunk in islice(self._chunks, 1, None):
            yield from chunk
        yield from self._tail

    def clear(self) -> None:
        """Drop all records."""
        self._chunks.clear()
        self._tail = []
        self._offset = 0
        self.depth = 0

    def _take_from_first(self, taken: list[bytes], limit: int) -> int:
        first, start = self._chunks[0], self._offset
        left = len(first) - start
        if left <= limit:
            taken += first[start:] if start else first
            self._chunks.popleft()
            self._offset = 0
            return left
        end = start + limit
        taken += first[start:end]
        if end * 2 > len(first):
            # Lets go of the records taken. Half of the list is copied at most once per half taken.
            self._chunks[0] = first[end:]
            end = 0
        self._offset = end
        return limit

    def _close_tail(self) -> None:
        self._chunks.append(self._tail)
        self._tail = []
