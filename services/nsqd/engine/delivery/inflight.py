"""The messages one consumer holds, and until when.

Deliveries of one consumer have one timeout, so their deadlines come in order: a batch is one entry
in a queue of *holds*. A hold keeps ids, not records: FIN lets the record go at once, and the hold
notices later that its ids are in flight no longer. Messages that were touched have deadlines of
their own, in a heap. Nothing here looks through all messages, but for the first TOUCH of a
consumer, which notes when each was delivered.
"""

from collections import deque
from collections.abc import Container, Iterable
from heapq import heapify, heappop, heappush
from sys import maxsize

from nsqcore.classes import Factory, define
from nsqcore.wire.hot import hold, release

# So many entries more than there are messages in flight may be stale before they are thrown out.
STALE = 64


@define(eq=False, repr=False)
class InFlight:
    """``records`` in flight by id; all other times are monotonic ns.

    ``msg_timeout`` is how long after its delivery, or its last TOUCH, a message times out;
    ``max_msg_timeout`` how long after its delivery at the latest.
    """

    msg_timeout: int
    max_msg_timeout: int
    records: dict[bytes, bytes] = Factory(dict)
    _holds: deque[tuple[int, int, list[bytes]]] = Factory(deque)  # deadline, serial number, ids
    _held: int = 0  # ids in the holds
    _serial: int = 0  # of the newest hold
    # Ids that left other than by FIN, and so may come again: stale in holds up to this number.
    _left: dict[bytes, int] = Factory(dict)
    _delivered: dict[bytes, int] | None = None  # when; only for who has ever touched
    _touched: dict[bytes, int] = Factory(dict)  # their deadlines
    _deadlines: list[tuple[int, bytes]] = Factory(list)  # a heap of these, some of them stale

    @property
    def next_deadline(self) -> int | None:
        """When the first message may time out; it may be finished by then."""
        heap, touched = self._deadlines, self._touched
        while heap and touched.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        if not self._holds:
            return heap[0][0] if heap else None
        first = self._holds[0][0]
        return min(first, heap[0][0]) if heap else first

    def add(self, records: list[bytes], now: int) -> None:
        """Hold ``records``, delivered at ``now``."""
        ids = hold(records, self.records)
        self._serial += 1
        self._holds.append((now + self.msg_timeout, self._serial, ids))
        self._held += len(ids)
        if self._delivered is not None:
            self._delivered.update(dict.fromkeys(ids, now))
        if self._held > 2 * len(self.records) + STALE:
            self._drop_stale()

    def finish(self, ids: list[bytes]) -> list[bytes]:
        """Let go of ``ids`` for good; returns those that are not in flight."""
        missing: list[bytes] = release(ids, self.records)
        if self._delivered is not None:
            for id in ids:
                self._delivered.pop(id, None)
                self._touched.pop(id, None)
        return missing

    def take(self, id: bytes) -> bytes | None:
        """The record of ``id``, in flight no longer; None if it was not."""
        record = self.records.pop(id, None)
        if record is None:
            return None
        if self._delivered is not None:
            self._delivered.pop(id, None)
            self._touched.pop(id, None)
        if self._holds:
            self._left[id] = self._serial
            if len(self._left) > 2 * len(self.records) + STALE:
                self._drop_stale()
        return record

    def take_many(self, ids: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
        """`take` of each of ``ids``: the records, and the ids that are not in flight."""
        records: list[bytes] = []
        missing: list[bytes] = []
        for id in ids:
            record = self.take(id)
            if record is None:
                missing.append(id)
            else:
                records.append(record)
        return records, missing

    def take_all(self) -> list[bytes]:
        """Every record, none of which is in flight any longer."""
        records = list(self.records.values())
        self.clear()
        return records

    def clear(self) -> None:
        """Forget everything."""
        self.records.clear()
        self._holds.clear()
        self._held = 0
        self._left.clear()
        self._delivered = None
        self._touched.clear()
        self._deadlines.clear()

    def touch(self, id: bytes, now: int) -> int | None:
        """When ``id`` times out now that its timeout starts anew; None if it is not in flight."""
        if id not in self.records:
            return None
        if self._delivered is None:
            self._delivered = self._delivery_times()
        deadline = min(now + self.msg_timeout, self._delivered[id] + self.max_msg_timeout)
        self._touched[id] = deadline
        heappush(self._deadlines, (deadline, id))
        if len(self._deadlines) > 2 * len(self._touched) + STALE:
            self._deadlines = [(deadline, id) for id, deadline in self._touched.items()]
            heapify(self._deadlines)
        return deadline

    def expire(self, now: int, limit: int = maxsize) -> list[bytes]:
        """The records whose time is up, in flight no longer: about ``limit`` at most."""
        expired: list[bytes] = []
        records, touched, left = self.records, self._touched, self._left
        while self._holds and self._holds[0][0] <= now and len(expired) < limit:
            _, serial, ids = self._holds.popleft()
            self._held -= len(ids)
            for id in ids:
                if id in touched or (left and serial <= left.get(id, 0)):
                    continue
                record = records.pop(id, None)
                if record is not None:
                    expired.append(record)
                    if self._delivered is not None:
                        del self._delivered[id]
        if not self._holds:
            left.clear()
        heap = self._deadlines
        while heap and heap[0][0] <= now and len(expired) < limit:
            deadline, id = heappop(heap)
            if touched.get(id) == deadline:
                record = self.take(id)
                assert record is not None
                expired.append(record)
        return expired

    def deadlines(self, ids: Container[bytes]) -> dict[bytes, int]:
        """When those of ``ids`` that are in flight time out."""
        found: dict[bytes, int] = {}
        for deadline, _, held in self._holds:  # of two deliveries the later one counts
            found.update((id, deadline) for id in held if id in ids)
        return {id: self._touched.get(id, found[id]) for id in found if id in self.records}

    def _delivery_times(self) -> dict[bytes, int]:
        times: dict[bytes, int] = {}
        for deadline, _, ids in self._holds:  # of two deliveries the later one counts
            times.update(dict.fromkeys(ids, deadline - self.msg_timeout))
        return {id: times[id] for id in self.records}

    def _drop_stale(self) -> None:
        """Leave each message in flight in the hold of its last delivery alone."""
        records, left = self.records, self._left
        holds: deque[tuple[int, int, list[bytes]]] = deque()
        for deadline, serial, ids in self._holds:
            kept = [id for id in ids if id in records and serial > left.get(id, 0)]
            if kept:
                holds.append((deadline, serial, kept))
        self._holds = holds
        self._held = sum(len(ids) for _, _, ids in holds)
        left.clear()
