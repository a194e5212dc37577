"""When which channel or topic has to act again.

A heap of (deadline, target), one live entry a target. Arming earlier than what
is armed adds an entry and makes the old one stale; stale entries are skipped when
they surface, and thrown out once most of the heap is stale. Nothing is scanned.
"""

from heapq import heapify, heappop, heappush
from sys import maxsize
from typing import Protocol

from nsqcore.classes import Factory, define

# Stale entries that are not worth a rebuild of the heap.
MAX_STALE = 64


class Expiring(Protocol):
    """What has deadlines."""

    def expire(self, now: int, limit: int) -> int:
        """Act on about ``limit`` messages that are due at ``now``, arm the next deadline, and tell
        how many there were."""


@define(eq=False, repr=False)
class Deadlines:
    """The deadlines of all channels and topics, in monotonic ns."""

    _heap: list[tuple[int, int, Expiring]] = Factory(list)
    _armed: dict[Expiring, int] = Factory(dict)
    _entries: int = 0

    @property
    def next(self) -> int | None:
        """The first deadline; what is behind it may have been finished meanwhile."""
        heap = self._heap
        while heap and self._armed.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def arm(self, target: Expiring, deadline: int) -> None:
        """Have ``target`` expire at ``deadline``, or before if it is armed for earlier."""
        armed = self._armed.get(target)
        if armed is None or deadline < armed:
            self._armed[target] = deadline
            self._entries += 1
            heappush(self._heap, (deadline, self._entries, target))
            if len(self._heap) > 2 * len(self._armed) + MAX_STALE:
                self._drop_stale()

    def disarm(self, target: Expiring) -> None:
        """Forget ``target``."""
        self._armed.pop(target, None)

    def expire(self, now: int, limit: int = maxsize) -> list[Expiring]:
        """Let what is due act, on about ``limit`` messages in all; returns those with any.

        Who is not done is armed for before ``now`` again.
        """
        changed = []
        while limit > 0 and (first := self.next) is not None and first <= now:
            _, _, target = heappop(self._heap)
            del self._armed[target]
            moved = target.expire(now, limit)
            limit -= max(moved, 1)
            if moved:
                changed.append(target)
        return changed

    def _drop_stale(self) -> None:
        self._heap = [
            (deadline, number, target)
            for number, (target, deadline) in enumerate(self._armed.items())
        ]
        heapify(self._heap)
        self._entries = len(self._heap)
