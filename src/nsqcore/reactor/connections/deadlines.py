"""Deadlines of connections that are to do something soon: to shake hands, or to go.

A peer that does not is cut. Few connections have a deadline at any time, so they are simply looked
through now and then.
"""

from collections.abc import Callable

import trio

from nsqcore.classes import define, field
from nsqcore.reactor.connections.connection import Connection

# Seconds between looks.
LOOK_EVERY = 0.1


@define(eq=False, repr=False)
class ConnectionDeadlines:
    """Connections with a deadline each. ``overdue`` is given those that have passed theirs."""

    overdue: Callable[[list[Connection]], None]
    _waiting: set[Connection] = field(factory=set, init=False)
    _looking: bool = field(default=False, init=False)

    def arm(self, connection: Connection, when: float, nursery: trio.Nursery) -> None:
        """Report ``connection`` at ``when``, on trio's clock, unless it is armed anew."""
        connection.deadline = when
        self._waiting.add(connection)
        if not self._looking:
            self._looking = True
            nursery.start_soon(self._look)

    def disarm(self, connection: Connection) -> None:
        """It has done what it was to do, or has gone."""
        self._waiting.discard(connection)

    async def _look(self) -> None:
        """Report those whose time is up, while there are any to look at."""
        try:
            while self._waiting:
                await trio.sleep(LOOK_EVERY)
                now = trio.current_time()
                late = [connection for connection in self._waiting if connection.deadline <= now]
                if late:
                    self.overdue(late)
        finally:
            self._looking = False
