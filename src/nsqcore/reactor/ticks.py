"""When a reactor takes its ticks, and when it lets the other tasks of trio have theirs.

Asking trio to wait costs more than a small tick, and a peer's next request often comes within
microseconds. So after a tick the task waits a moment for the next events itself, unless the tick
has given another task something to do. Under full load it steps aside every few milliseconds.

A thread that sleeps in the kernel is woken tens of microseconds late, longer than a peer that waits
for each answer needs for its next request. So while requests keep coming that closely the task
first looks again and again without sleeping; it stops as soon as one takes longer, which is also
what happens where other programs want the processor.
"""

import select
from collections.abc import Callable
from typing import cast

import trio

from nsqcore.classes import define, field
from nsqcore.reactor.polling.system import Events, clock, poll

# Seconds the task may run before timers and other tasks get their turn.
SLICE = 0.003
# Milliseconds it waits for the next request without trio: the shortest epoll knows, and no later
# than timers may be.
POLL_TIMEOUT = 1
# Seconds it looks again and again without sleeping: about what a sleep and a wake-up cost.
SPIN = 0.00005
# It does so once the next events came within `SPIN` so many times in a row: more than a publish,
# its delivery and the FIN make, or a quiet nsqd would spend half as much again on each message.
SPIN_AFTER = 8

__all__ = ["Events", "run_ticks"]


@define(eq=False, repr=False)
class _Others:
    """The tasks that have something to do, as trio tells its instruments."""

    waiting: set[trio.lowlevel.Task] = field(factory=set)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """``task`` is to run."""
        self.waiting.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """``task`` is running."""
        self.waiting.discard(task)


@define(eq=False, repr=False)
class Ticks:
    """Tick after tick, with whatever ``epoll`` reports, as long as there is something to do.

    ``tick`` returns the events that it has left for the next one. ``waiting`` holds the tasks that
    are to have their turn.
    """

    epoll: "select.epoll"
    tick: Callable[[Events], Events | None]
    waiting: set[trio.lowlevel.Task]
    _fd: int = field(init=False)
    #: Times in a row that the next events came within `SPIN`.
    _in_a_row: int = field(default=0, init=False)
    _left: Events | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._fd = self.epoll.fileno()

    def run(self) -> bool:
        """Whether there is more to do at once, after others have had their turn."""
        # The task's own slice of real time, whatever clock trio runs on.
        since: float = clock()
        events: Events = self._left or poll(self.epoll, self._fd, 0)
        while events:
            self._left = self.tick(events)
            ended: float = clock()
            if self.waiting or ended - since >= SLICE:
                return True
            events = self._left or self._next(ended)
        return False

    def _next(self, ended: float) -> Events:
        """What can be done within a moment after ``ended``."""
        events: Events = []
        while self._in_a_row >= SPIN_AFTER and not events and clock() - ended < SPIN:
            events = poll(self.epoll, self._fd, 0)
        if not events:
            events = poll(self.epoll, self._fd, POLL_TIMEOUT)
            self._in_a_row = self._in_a_row + 1 if clock() - ended < SPIN else 0
        return events


async def run_ticks(epoll: "select.epoll", tick: Callable[[Events], Events | None]) -> None:
    """Call ``tick`` with whatever ``epoll`` reports, until cancelled.

    It returns the events that it has left for the next tick.
    """
    others = _Others()
    instrument = cast("trio.abc.Instrument", others)
    ticks = Ticks(epoll, tick, others.waiting)
    trio.lowlevel.add_instrument(instrument)
    try:
        fileno = epoll.fileno()
        while True:
            if ticks.run():
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(fileno)
    finally:
        trio.lowlevel.remove_instrument(instrument)
