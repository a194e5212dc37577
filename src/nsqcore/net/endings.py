"""Deadlines of the connections that are closing.

A peer that takes nothing of what it was to be told, or does not go, is cut after a while. Few
connections are closing at any time, so they are simply looked through now and then.
"""

from collections.abc import Callable

import attrs
import trio

from nsqcore.net.line import Line

# Seconds between looks.
LOOK_EVERY = 0.1


@attrs.define(eq=False)
class Endings:
    """The lines that are to end, each with a deadline. ``cut`` is given those that overran."""

    cut: Callable[[list[Line]], None]
    _lines: set[Line] = attrs.field(factory=set, init=False)
    _looking: bool = attrs.field(default=False, init=False)

    def expect(self, line: Line, linger: float, nursery: trio.Nursery) -> None:
        """Cut ``line`` in ``linger`` seconds, unless this is called again or it has gone."""
        line.deadline = trio.current_time() + linger
        self._lines.add(line)
        if not self._looking:
            self._looking = True
            nursery.start_soon(self._look)

    def forget(self, line: Line) -> None:
        """It has gone."""
        self._lines.discard(line)

    async def _look(self) -> None:
        """Cut those whose time is up, while there are any."""
        while self._lines:
            await trio.sleep(LOOK_EVERY)
            now = trio.current_time()
            late = [line for line in self._lines if line.deadline <= now]
            if late:
                self.cut(late)
        self._looking = False
