"""When which channel has to look at its clocks again.

A heap of (deadline, channel), one live entry a channel. Arming earlier than what
is armed adds an entry and makes the old one stale; stale entries are skipped when
they surface, and thrown out once most of the heap is stale. Nothing is scanned.
"""

from heapq import heapify, heappop, heappush
from typing import Protocol

from attrs import Factory, define

# Stale entries that are not worth a rebuild of the heap.
MAX_STALE = 64


class Expiring(Protocol):
    """What has deadlines."""

    def expire(self, now: int) -> bool:
        """Act on everything due at ``now``, arm the next deadline, tell whether there was any."""


@define(eq=False)
class Deadlines:
    """The deadlines of all channels, in monotonic ns."""

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

    def arm(self, channel: Expiring, deadline: int) -> None:
        """Have ``channel`` expire at ``deadline``, or before if it is armed for earlier."""
        armed = self._armed.get(channel)
        if armed is None or deadline < armed:
            self._armed[channel] = deadline
            self._entries += 1
            heappush(self._heap, (deadline, self._entries, channel))
            if len(self._heap) > 2 * len(self._armed) + MAX_STALE:
                self._throw_out_stale()

    def disarm(self, channel: Expiring) -> None:
        """Forget ``channel``."""
        self._armed.pop(channel, None)

    def expire(self, now: int) -> list[Expiring]:
        """Let every channel that is due act; returns those in which something happened."""
        changed = []
        while (first := self.next) is not None and first <= now:
            _, _, channel = heappop(self._heap)
            del self._armed[channel]
            if channel.expire(now):
                changed.append(channel)
        return changed

    def _throw_out_stale(self) -> None:
        self._heap = [
            (deadline, number, channel)
            for number, (channel, deadline) in enumerate(self._armed.items())
        ]
        heapify(self._heap)
        self._entries = len(self._heap)
