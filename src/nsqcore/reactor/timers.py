"""Calls at deadlines, for sessions and the engine.

Deadlines are integer nanoseconds of the clock given as ``now``. They lie in a heap; a cancelled
one stays there until it comes up or until too many have gathered. One task sleeps until the
earliest; nothing scans.

A call is never early. It may be a millisecond late: what falls due within a millisecond is done
in one wake-up, so that thousands of heartbeating clients cost a thousand wake-ups a second at most.
"""

import heapq
import logging
import math
from collections.abc import Callable

import trio

from nsqcore.classes import define, field

logger = logging.getLogger(__name__)

# The pause after a wake-up, in seconds: bounds both the lateness and the wake-ups per second.
RESOLUTION = 0.001
# Cancelled entries are cleared out when they are at least this many and more than half of the heap.
SWEEP_AT = 1024


def _nothing() -> None:
    """What is done after a wake-up when nobody asked for anything."""


@define(eq=False, repr=False)
class Timer:
    """One call to come. ``fn`` is None once it is cancelled or done."""

    when: int
    fn: Callable[[], None] | None
    _timers: "Timers"

    def cancel(self) -> None:
        """Forget the call; cancelling twice, or afterwards, is fine."""
        if self.fn is not None:
            self.fn = None
            self._timers.cancelled()


@define(eq=False, repr=False)
class Timers:
    """Calls functions at deadlines from one sleeping task, `run`.

    ``after`` is called once after each wake-up in which something was called: a reactor's
    ``finish_tick``.
    """

    now: Callable[[], int]
    after: Callable[[], None] = _nothing
    _heap: list[tuple[int, int, Timer]] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)
    _cancelled: int = field(default=0, init=False)
    _sleep: trio.CancelScope | None = field(default=None, init=False)

    def call_at(self, when: int, fn: Callable[[], None]) -> Timer:
        """A handle on the call of ``fn()`` that comes at ``when`` or up to a millisecond later.

        A function that raises is logged; the others are not disturbed.
        """
        timer = Timer(when, fn, self)
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, timer))
        if self._sleep is not None and self._heap[0][2] is timer:
            self._sleep.deadline = self._wake_time()
        return timer

    def cancelled(self) -> None:
        """Note that one entry of the heap is dead; clear out when most are."""
        self._cancelled += 1
        if self._cancelled > SWEEP_AT and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].fn is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def run_due(self) -> int:
        """How many calls were due and have been made."""
        heap, now, made = self._heap, self.now(), 0
        while heap and heap[0][0] <= now:
            timer = heapq.heappop(heap)[2]
            fn, timer.fn = timer.fn, None
            if fn is None:
                self._cancelled -= 1
                continue
            made += 1
            try:
                fn()
            except Exception:  # a supervisor: one session's fault is not the others'
                logger.exception("timers: call failed")
            heap = self._heap
        return made

    async def run(self) -> None:
        """Make the calls as they fall due, until cancelled."""
        while True:
            if self.run_due():
                self.after()
                await trio.sleep(RESOLUTION)
            with trio.CancelScope(deadline=self._wake_time()) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None

    def _wake_time(self) -> float:
        """When the earliest call is due, on trio's clock."""
        if not self._heap:
            return math.inf
        return trio.current_time() + (self._heap[0][0] - self.now()) / 1e9
