"""When a switchboard takes its turns, and when it lets the other tasks of trio have theirs.

Asking trio to wait costs more than a small turn, and a peer's next request often comes within
microseconds. So after a turn the task waits a moment for the next events itself, unless the turn
has given another task something to do. Under full load it steps aside every few milliseconds.
"""

import select
import time
from collections.abc import Callable
from typing import cast

import attrs
import trio

# Sockets looked at per turn: bounds a turn's length, and the kernel goes round among them.
MAX_EVENTS = 256
# Seconds the task may run before timers and other tasks get their turn.
SLICE = 0.003
# Seconds it waits for the next request without trio: the shortest epoll knows, and no later than
# timers may be.
LOITER = 0.001

Events = list[tuple[int, int]]


@attrs.define(eq=False)
class _Others:
    """The tasks that have something to do, as trio tells its instruments."""

    waiting: set[trio.lowlevel.Task] = attrs.field(factory=set)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """``task`` is to run."""
        self.waiting.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """``task`` is running."""
        self.waiting.discard(task)


async def take_turns(epoll: "select.epoll", turn: Callable[[Events], None]) -> None:
    """Call ``turn`` with whatever ``epoll`` reports, until cancelled."""
    others = _Others()
    waiting = others.waiting
    instrument = cast("trio.abc.Instrument", others)
    trio.lowlevel.add_instrument(instrument)
    try:
        poll, fileno = epoll.poll, epoll.fileno()
        # The task's own slice of real time, whatever clock trio runs on.
        clock = time.perf_counter
        since = clock()
        patience = 0.0
        while True:
            events = poll(patience, MAX_EVENTS)
            if events:
                turn(events)
                patience = LOITER
                if not waiting and clock() - since < SLICE:
                    continue
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(fileno)
            patience = 0.0
            since = clock()
    finally:
        trio.lowlevel.remove_instrument(instrument)
