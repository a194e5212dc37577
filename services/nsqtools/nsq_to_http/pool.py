"""Idle connections to the endpoints: a few for each, none of them for long.

Some endpoints have few workers and bind one to each connection. Whatever is kept here is taken from
their other clients, so it is little and is let go of soon. And where such an endpoint leaves new
connections unanswered because its workers wait on those that it has answered, the answered ones are
closed, and not used again, until the waiting ones have had their turn.
"""

import math
from collections.abc import Iterator

from nsqcore.classes import define, field
from nsqtools.nsq_to_http.connection import HttpConnection
from nsqtools.nsq_to_http.url import Origin

# What the original keeps for each host.
MAX_IDLE = 2

# Seconds a connection stays idle: servers close theirs after 5 (Node.js, Apache) or more.
IDLE_TIME = 4.0

# Seconds after which a connection is not used again: shorter than the time-out of a request that
# waits for the worker it binds.
MAX_AGE = 15.0

# Seconds for which a new connection waits for its first answer before that means anything.
PATIENCE = 0.25

# Seconds for which no connection is used again to an endpoint that closes them without a word after
# an answer: a request that meets with that is lost. One that has answered twice on one connection
# is trusted.
DISTRUST = 60.0


@define(eq=False, repr=False)
class _Endpoint:
    trusted: bool = False
    distrusted_until: float = -math.inf
    idle: list[tuple[float, HttpConnection]] = field(factory=list)  # since when
    waiting: dict[HttpConnection, float] = field(factory=dict)  # new ones, since when

    def give_way(self, now: float) -> bool:
        """Whether a connection is to be closed so that one that waits for long has its turn.

        Each that waits asks for that once in a while, so one that hangs does not close all others.
        """
        connection, since = next(iter(self.waiting.items()), (None, now))
        if connection is None or now - since < PATIENCE:
            return False
        del self.waiting[connection]
        self.waiting[connection] = now
        return True


@define(eq=False, repr=False)
class Pool:
    """The connections that are open. ``now`` is a time of trio's clock, in seconds."""

    _endpoints: dict[Origin, _Endpoint] = field(factory=dict)

    def take(self, origin: Origin) -> HttpConnection | None:
        """An idle connection that the endpoint has not closed; None if there is none."""
        endpoint = self._endpoints.get(origin)
        while endpoint and endpoint.idle:
            _, connection = endpoint.idle.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        return None

    def asked(self, origin: Origin, connection: HttpConnection, now: float) -> None:
        """Note that a new connection waits for its first answer."""
        self._endpoints.setdefault(origin, _Endpoint()).waiting[connection] = now

    def done(self, origin: Origin, connection: HttpConnection, now: float, *, keep: bool) -> None:
        """Keep a connection that is free again, or close it."""
        endpoint = self._endpoints.setdefault(origin, _Endpoint())
        endpoint.waiting.pop(connection, None)
        endpoint.trusted |= connection.answered > 1
        good = keep and len(endpoint.idle) < MAX_IDLE and now - connection.opened < MAX_AGE
        good = good and now >= endpoint.distrusted_until
        if good and not endpoint.give_way(now):
            endpoint.idle.append((now, connection))
        else:
            connection.close()

    def lost(self, origin: Origin, now: float) -> None:
        """Note that a connection was used again, and ended without an answer."""
        endpoint = self._endpoints.setdefault(origin, _Endpoint())
        if not endpoint.trusted:
            endpoint.distrusted_until = now + DISTRUST
            for _, connection in endpoint.idle:
                connection.close()
            endpoint.idle.clear()

    def close_old(self, now: float) -> None:
        """Close what has been idle for too long, and what its endpoint has closed."""
        for endpoint in self._endpoints.values():
            for since, connection in endpoint.idle.copy():
                if now - since > IDLE_TIME or not connection.is_fresh():
                    endpoint.idle.remove((since, connection))
                    connection.close()

    def close(self) -> None:
        """Close everything that is idle."""
        for connection in self._all():
            connection.close()
        self._endpoints.clear()

    def idle_count(self) -> int:
        """How many connections are idle."""
        return len(list(self._all()))

    def _all(self) -> Iterator[HttpConnection]:
        for endpoint in self._endpoints.values():
            for _, connection in endpoint.idle:
                yield connection
