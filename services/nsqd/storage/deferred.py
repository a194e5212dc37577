"""Records that wait for their time: a heap by when they are due."""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from attrs import Factory, define


@define(eq=False)
class DeferredRecords:
    """Records by when they are due, in ns; those due at once keep their order."""

    _heap: list[tuple[int, int, bytes]] = Factory(list)  # due, number, record
    _numbers: "count[int]" = Factory(count)

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> int | None:
        """When the first is due."""
        return self._heap[0][0] if self._heap else None

    def put(self, records: list[bytes], due: int) -> None:
        """Keep ``records`` until ``due``."""
        for record in records:
            heappush(self._heap, (due, next(self._numbers), record))

    def take_due(self, now: int, limit: int) -> list[bytes]:
        """The first records that are due at ``now``, at most ``limit``."""
        due: list[bytes] = []
        heap = self._heap
        while heap and heap[0][0] <= now and len(due) < limit:
            due.append(heappop(heap)[2])
        return due

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Every record with when it is due, in no order."""
        for due, _, record in self._heap:
            yield record, due

    def take_all(self) -> list[bytes]:
        """All records, in the order in which they are due."""
        records = [record for _, _, record in sorted(self._heap)]
        self._heap.clear()
        return records
