"""A queue of records in memory.

Batches go in and come out; inside they stay lists, so that the cost is per batch and a record costs
one pointer. The lists are the queue's own and of a bounded length, so that what was taken is let go
of at once, however large it is.
"""

from collections import deque
from collections.abc import Container, Iterator

from nsqcore.classes import define, field

# Records of a list at most: taking from it moves the pointers that are left.
CHUNK = 512
# Lists shorter than this are gathered into one: a list costs as much as eight pointers.
SMALL_BATCH = 64


@define(eq=False, repr=False)
class MemoryQueue:
    """Records, first in, first out."""

    depth: int = field(default=0, init=False)
    #: How many were taken so far: the position of the first record, as `look` counts.
    taken: int = field(default=0, init=False)
    _chunks: deque[list[bytes]] = field(factory=deque, init=False)
    _tail: list[bytes] = field(factory=list, init=False)  # the only chunk that still grows

    def put(self, records: list[bytes]) -> None:
        """Append ``records``."""
        count = len(records)
        self.depth += count
        tail = self._tail
        if count < SMALL_BATCH:
            tail += records
            if len(tail) >= CHUNK:
                self._close_tail()
            return
        if tail:
            self._close_tail()
        for start in range(0, count, CHUNK):
            self._chunks.append(records[start : start + CHUNK])

    def take(self, limit: int) -> list[bytes]:
        """The oldest records, at most ``limit``; fewer only if there are no more."""
        taken: list[bytes] = []
        missing = max(min(limit, self.depth), 0)
        self.depth -= missing
        self.taken += missing
        while missing > 0:
            if not self._chunks:
                self._close_tail()
            first = self._chunks[0]
            if len(first) <= missing:
                missing -= len(first)
                taken = taken + first if taken else first
                self._chunks.popleft()
            else:
                taken += first[:missing]
                del first[:missing]
                missing = 0
        return taken

    def records(self) -> Iterator[bytes]:
        """Every record, oldest first; none is taken."""
        for chunk in self._chunks:
            yield from chunk
        yield from self._tail

    def look(self, position: int, limit: int) -> tuple[list[bytes], int]:
        """Up to ``limit`` records from ``position`` on, and the position behind them.

        Positions count all records that ever came; what is before the first one is the first one.
        """
        position = max(position, self.taken)
        seen: list[bytes] = []
        skip = position - self.taken
        for chunk in (*self._chunks, self._tail):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            seen += chunk[skip : skip + limit - len(seen)]
            skip = 0
            if len(seen) >= limit:
                break
        return seen, position + len(seen)

    def withdraw(self, ids: Container[bytes], position: int, limit: int) -> tuple[list[bytes], int]:
        """Take those of ``ids`` that are among the ``limit`` records from ``position`` on; and the
        position behind these."""
        position = max(position, self.taken)
        found: list[bytes] = []
        skip, left = position - self.taken, limit
        for chunk in (*self._chunks, self._tail):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            part = chunk[skip : skip + left]
            hits = [number for number, record in enumerate(part, skip) if record[10:26] in ids]
            found += [chunk.pop(number) for number in reversed(hits)]
            left -= len(part)
            skip = 0
            if left <= 0:
                break
        # what is behind them keeps its position, what is before them moves up
        self.depth -= len(found)
        self.taken += len(found)
        return found, position + limit - left

    def clear(self) -> None:
        """Drop all records."""
        self.taken += self.depth
        self._chunks.clear()
        self._tail = []
        self.depth = 0

    def _close_tail(self) -> None:
        self._chunks.append(self._tail)
        self._tail = []
