"""Records that wait for their time: a heap by when they are due."""

from collections.abc import Container, Iterator
from heapq import heapify, heappop, heappush
from itertools import count

from nsqcore.classes import Factory, define


@define(eq=False, repr=False)
class DeferredRecords:
    """Records by when they are due, in ns; those due at once keep their order."""

    _heap: list[tuple[int, int, bytes]] = Factory(list)  # due, number, record
    _numbers: "count[int]" = Factory(count)
    _withdrawn: set[int] = Factory(set)  # numbers of entries that are to be passed over

    def __len__(self) -> int:
        return len(self._heap) - len(self._withdrawn)

    @property
    def entries(self) -> int:
        """How many positions there are for `withdraw`."""
        return len(self._heap)

    @property
    def next_due(self) -> int | None:
        """When the first is due."""
        if self._withdrawn:
            self._drop_withdrawn()
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
            _, number, record = heappop(heap)
            if number in self._withdrawn:
                self._withdrawn.discard(number)
            else:
                due.append(record)
        return due

    def withdraw(self, ids: Container[bytes], position: int, limit: int) -> tuple[list[bytes], int]:
        """Take those of ``ids`` that are among ``limit`` records from ``position`` of the heap on;
        and the position behind these. What comes or goes meanwhile may move a record to a
        place that was passed."""
        found: list[bytes] = []
        part = self._heap[position : position + limit]
        for _, number, record in part:
            if record[10:26] in ids and number not in self._withdrawn:
                self._withdrawn.add(number)
                found.append(record)
        return found, position + len(part)

    def _drop_withdrawn(self) -> None:
        """Have an entry that counts at the top, and not many that don't."""
        heap, withdrawn = self._heap, self._withdrawn
        if 2 * len(withdrawn) > len(heap):
            self._heap = [entry for entry in heap if entry[1] not in withdrawn]
            heapify(self._heap)
            withdrawn.clear()
            return
        while heap and heap[0][1] in withdrawn:
            withdrawn.discard(heappop(heap)[1])

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Every record with when it is due, in no order; nothing may come or go meanwhile."""
        return self._items(self._heap)

    def look(self) -> Iterator[tuple[bytes, int]]:
        """As `items`, of what there is now, whatever comes or goes until the iterator's end."""
        return self._items(self._heap.copy())

    def _items(self, heap: list[tuple[int, int, bytes]]) -> Iterator[tuple[bytes, int]]:
        withdrawn = self._withdrawn
        for due, number, record in heap:
            if number not in withdrawn:
                yield record, due

    def take_all(self) -> list[bytes]:
        """All records, in the order in which they are due."""
        records = [
            record for _, number, record in sorted(self._heap) if number not in self._withdrawn
        ]
        self._heap.clear()
        self._withdrawn.clear()
        return records
