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
import time
from collections.abc import Callable
from typing import cast

import attrs
import trio

# Sockets looked at per tick: bounds a tick's length, and the kernel goes round among them.
MAX_EVENTS = 256
# Seconds the task may run before timers and other tasks get their turn.
SLICE = 0.003
# Seconds it waits for the next request without trio: the shortest epoll knows, and no later than
# timers may be.
POLL_TIMEOUT = 0.001
# Seconds it looks again and again without sleeping: about what a sleep and a wake-up cost.
SPIN = 0.00005
# It does so once the next events came within `SPIN` so many times in a row: more than a publish,
# its delivery and the FIN make, or a quiet nsqd would spend half as much again on each message.
SPIN_AFTER = 8

Events = list[tuple[int, int]]

_NONE: Events = []


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


async def run_ticks(epoll: "select.epoll", tick: Callable[[Events], Events | None]) -> None:
    """Call ``tick`` with whatever ``epoll`` reports, until cancelled.

    It returns the events that it has left for the next tick.
    """
    others = _Others()
    waiting = others.waiting
    instrument = cast("trio.abc.Instrument", others)
    trio.lowlevel.add_instrument(instrument)
    try:
        poll, fileno = epoll.poll, epoll.fileno()
        # The task's own slice of real time, whatever clock trio runs on.
        clock = time.perf_counter
        since = clock()
        in_a_row = 0  # times in a row that the next events came within `SPIN`
        left: Events | None = None
        while True:
            events = left or poll(0.0, MAX_EVENTS)
            while events:
                left = tick(events)
                ended = clock()
                if waiting or ended - since >= SLICE:
                    break
                events = left or _NONE
                if events:
                    continue
                while in_a_row >= SPIN_AFTER and not events and clock() - ended < SPIN:
                    events = poll(0.0, MAX_EVENTS)
                if not events:
                    events = poll(POLL_TIMEOUT, MAX_EVENTS)
                    in_a_row = in_a_row + 1 if clock() - ended < SPIN else 0
            if events:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(fileno)
            since = clock()
    finally:
        trio.lowlevel.remove_instrument(instrument)
