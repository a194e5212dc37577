"""Deadlines of the connections that are closing.

A peer that takes nothing of what it was to be told, or does not go, is cut after a while. Few
connections are closing at any time, so they are simply looked through now and then.
"""

from collections.abc import Callable

import attrs
import trio

from nsqcore.reactor.connection import Connection

# Seconds between looks.
LOOK_EVERY = 0.1


@attrs.define(eq=False)
class ClosingDeadlines:
    """Connections that are closing, each with a deadline. ``cut`` is given those that overran."""

    cut: Callable[[list[Connection]], None]
    _closing: set[Connection] = attrs.field(factory=set, init=False)
    _looking: bool = attrs.field(default=False, init=False)

    def arm(self, connection: Connection, linger: float, nursery: trio.Nursery) -> None:
        """Cut ``connection`` in ``linger`` seconds, unless it is armed again or disarmed."""
        connection.deadline = trio.current_time() + linger
        self._closing.add(connection)
        if not self._looking:
            self._looking = True
            nursery.start_soon(self._look)

    def disarm(self, connection: Connection) -> None:
        """It has gone."""
        self._closing.discard(connection)

    async def _look(self) -> None:
        """Cut those whose time is up, while there are any."""
        while self._closing:
            await trio.sleep(LOOK_EVERY)
            now = trio.current_time()
            late = [connection for connection in self._closing if connection.deadline <= now]
            if late:
                self.cut(late)
        self._looking = False
