"""Distributing RDY: one ``max_in_flight`` for all connections of a consumer.

RDY n tells an nsqd that up to n messages may be in flight on a connection.
`RdyDistribution` decides each connection's n so that the sum of what *may* be in
flight never exceeds the budget, at any moment, also while RDY moves from one connection to another:

* RDY that was lowered is not free at once. nsqd does not confirm an RDY, so
  messages it sent under the old one may still be under way; they stay counted
  (``in_transit``) for `TRANSIT_TIME`, and those that came until they are answered.
* RDY is raised only by what is free then. `plan` says when to look again.

With fewer messages than connections the connections take turns: RDY 1 moves on
from one that brings nothing, or has had it long, to the one waiting longest.

No clock, no I/O: ``now`` is an argument, in seconds.
"""

import math
from collections.abc import Callable, Sequence

from attrs import Factory, define, field, validators

# A message sent under an old RDY arrives within this time, or the network is in trouble.
TRANSIT_TIME = 0.5

# The original clients move RDY 1 on from a connection idle for 10 s, or having had it for 30 s;
# idle ones may go sooner here: moving costs two small commands. The more connections wait for a
# place, the sooner: else what hundreds of quiet topics bring waits for all their idle turns.
IDLE_TURN = 2.0
SHORTEST_IDLE_TURN = 0.25
LONGEST_TURN = 30.0

# How often RDYs by rate are computed anew, and how much of the old rate is kept then.
RATE_INTERVAL = 5.0
RATE_MEMORY = 0.5

Strategy = Callable[[int, Sequence[float]], Sequence[int]]
"""From the budget and each connection's messages per second to each one's RDY.

Called only with a budget of at least one message a connection. Whatever it
returns is cut so that each gets at least 1 and the sum fits the budget.
"""


def equal(budget: int, rates: Sequence[float]) -> list[int]:
    """The same for every connection, as the original clients do it."""
    return [budget // len(rates)] * len(rates)


def by_rate(budget: int, rates: Sequence[float]) -> list[int]:
    """More for connections that bring more; half of the budget is spread equally.

    The equal half lets a quiet connection show that it has become busy.
    """
    count, total = len(rates), sum(rates)
    if not total:
        return equal(budget, rates)
    base = max(1, budget // 2 // count)
    rest = budget - base * count
    return [base + int(rest * rate / total) for rate in rates]


STRATEGIES: dict[str, Strategy] = {"equal": equal, "by_rate": by_rate}


@define(eq=False, repr=False)
class ConnectionRdy:
    """One connection's part of max_in_flight.

    ``ready`` is the RDY last sent, ``in_flight`` counts messages held here,
    ``in_transit`` those that may still come under an earlier, higher RDY, until
    ``in_transit_until``. ``rate`` is in messages per second; ``turn_began`` is when RDY was
    last raised from 0, or left at 1 for another turn.
    """

    limit: int = 2500
    ready: int = 0
    in_flight: int = 0
    in_transit: int = 0
    in_transit_until: float = 0.0
    rate: float = 0.0
    _brought: int = 0
    turn_began: float = -math.inf
    last_message: float = -math.inf

    @property
    def outstanding(self) -> int:
        """How many messages may be in flight on this connection at worst."""
        return max(self.ready, self.in_flight + self.in_transit)

    @property
    def is_full(self) -> bool:
        """Whether no more messages may come before some are answered."""
        return self.in_flight >= self.ready and not self.in_transit

    def received(self, count: int, now: float) -> None:
        """Count messages that arrived."""
        self.in_flight += count
        self._brought += count
        self.last_message = now
        if self.in_transit:
            self.in_transit = max(0, self.in_transit - count)

    def answered(self, count: int = 1) -> None:
        """Count messages that were finished, requeued, or timed out."""
        self.in_flight -= count

    def lower(self, ready: int, now: float) -> None:
        """Note that a smaller RDY is sent: what may still come under the old one counts on."""
        self.in_transit = max(0, self.outstanding - self.in_flight)
        self.ready = ready
        self.in_transit_until = now + TRANSIT_TIME

    def grow(self, ready: int, now: float) -> None:
        """Note that a larger RDY is sent."""
        if not self.ready:
            self.turn_began = now
        self.ready = ready

    def measure(self, elapsed: float) -> None:
        """Renew ``rate`` by what was received in ``elapsed`` seconds."""
        self.rate = self.rate * RATE_MEMORY + self._brought / elapsed * (1 - RATE_MEMORY)
        self._brought = 0


@define(eq=False, repr=False)
class RdyDistribution:
    """Gives each connection its RDY out of one ``max_in_flight``.

    ``connecting`` counts connections that are about to join; room is kept for
    them, so that those that come first need not shrink again. ``cap``
    limits the whole for a while: 0 asks for no messages, 1 lets one message through.
    """

    max_in_flight: int = field(validator=validators.ge(0))
    strategy: Strategy = equal
    cap: int | None = None
    connecting: int = 0
    connections: list[ConnectionRdy] = Factory(list)
    raise_pending: bool = False
    _measured: float = -math.inf

    def join(self, connection: ConnectionRdy) -> None:
        """Take a connection in, at the end of the line."""
        self.connections.append(connection)

    def leave(self, connection: ConnectionRdy) -> None:
        """Let a connection go; what it held is nsqd's again."""
        self.connections.remove(connection)

    def is_exhausted(self) -> bool:
        """Whether no connection may bring more messages before some are answered."""
        return all(connection.is_full for connection in self.connections)

    def plan(self, now: float) -> tuple[list[ConnectionRdy], float]:
        """The connections whose RDY changed and has to be sent, and when to plan again.

        Lowered ones come first. Calling it early or late does no harm.
        """
        for connection in self.connections:
            if connection.in_transit and now >= connection.in_transit_until:
                connection.in_transit = 0
        targets = self._targets(now)
        changed = [
            s for s, target in zip(self.connections, targets, strict=True) if target < s.ready
        ]
        for connection, target in zip(self.connections, targets, strict=True):
            if target < connection.ready:
                connection.lower(target, now)
        changed += self._raise(targets, now)
        return changed, self._next_look(now)

    def _targets(self, now: float) -> list[int]:
        connections = self.connections
        budget = self.max_in_flight
        if self.cap is not None:
            budget = min(budget, self.cap)
        if not budget or not connections:
            return [0] * len(connections)
        if budget < len(connections):
            return self._turns(budget, now)
        if budget < len(connections) + self.connecting:
            return [1] * len(connections)
        self._measure(now)
        rates = [connection.rate for connection in connections] + [0.0] * self.connecting
        wanted = self.strategy(budget, rates)[: len(connections)]
        # Whatever a strategy says: one each at least, none over its limit, all within the budget.
        spare = budget - len(connections)
        targets = []
        for connection, count in zip(connections, wanted, strict=True):
            if abs(count - connection.ready) <= connection.ready // 10:
                count = connection.ready  # not worth a command
            more = min(max(0, min(int(count), connection.limit) - 1), spare)
            spare -= more
            targets.append(1 + more)
        return targets

    def _measure(self, now: float) -> None:
        if self._measured == -math.inf:
            self._measured = now
        elapsed = now - self._measured
        if elapsed >= RATE_INTERVAL:
            for connection in self.connections:
                connection.measure(elapsed)
            self._measured = now

    def _turns(self, budget: int, now: float) -> list[int]:
        """RDY 1 for ``budget`` connections: those that may keep it, then who waits longest."""
        idle = self._idle_turn(budget)
        keep = [s for s in self.connections if s.ready and not _turn_is_over(s, now, idle)]
        keep.sort(key=lambda connection: connection.last_message, reverse=True)
        over = [s for s in self.connections if s.ready and s not in keep]
        waiting = [s for s in self.connections if not s.ready]
        waiting.sort(key=lambda connection: connection.turn_began)
        over.sort(key=lambda connection: connection.turn_began)
        chosen = (keep + waiting + over)[:budget]
        for connection in over:
            if connection in chosen:  # nobody waits for its place: another turn
                connection.turn_began = now
        return [int(connection in chosen) for connection in self.connections]

    def _idle_turn(self, budget: int) -> float:
        """How long a connection may bring nothing before its turn is over."""
        waiting = (len(self.connections) - budget) / budget
        return max(SHORTEST_IDLE_TURN, IDLE_TURN / max(1.0, waiting))

    def _raise(self, targets: list[int], now: float) -> list[ConnectionRdy]:
        free = self.max_in_flight - sum(connection.outstanding for connection in self.connections)
        changed = []
        self.raise_pending = False
        # Who waits longest first: in any fixed order the last one might never get what is free.
        order = sorted(
            zip(self.connections, targets, strict=True), key=lambda pair: pair[0].turn_began
        )
        for connection, target in order:
            if target <= connection.ready:
                continue
            before = connection.outstanding
            ready = min(target, before + free)
            # Not for a trickle: a connection on its way up takes a quarter of its goal at least.
            if ready < target and ready - connection.ready < max(1, target // 4):
                self.raise_pending = True
                continue
            connection.grow(ready, now)
            free -= connection.outstanding - before
            changed.append(connection)
            self.raise_pending = self.raise_pending or ready < target
        return changed

    def _next_look(self, now: float) -> float:
        looks = [
            connection.in_transit_until for connection in self.connections if connection.in_transit
        ]
        budget = self.max_in_flight if self.cap is None else self.cap
        if 0 < budget < len(self.connections):
            looks.append(now + self._idle_turn(budget) / 4)
        elif self.strategy is not equal:
            looks.append(now + RATE_INTERVAL)
        return min(looks, default=math.inf)


def _turn_is_over(connection: ConnectionRdy, now: float, idle_turn: float) -> bool:
    idle = now - max(connection.last_message, connection.turn_began)
    if not connection.in_flight and idle >= idle_turn:
        return True
    return now - connection.turn_began >= LONGEST_TURN
