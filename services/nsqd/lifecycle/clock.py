"""The engine's clock: what happens at the end of each tick of the event loop, and at deadlines."""

import time
from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.reactor.timers import Timer, Timers
from nsqd.engine.broker import Broker
from nsqd.lifecycle.durability import Durability


@define(eq=False, repr=False)
class EngineClock:
    """Drives ``broker`` by the monotonic clock ``now`` (ns)."""

    broker: Broker
    timers: Timers
    durability: Durability
    now: Callable[[], int] = time.monotonic_ns
    _expiry: Timer | None = field(default=None, init=False)
    _expiry_at: int = field(default=0, init=False)

    def wall(self) -> int:
        """The wall clock, in ns."""
        return self.now() + self.broker.wall_offset

    def end_tick(self) -> None:
        """Deliver what this tick brought, and see to it that the next deadline is met."""
        now, call_at, broker = self.now(), self.timers.call_at, self.broker
        durability = self.durability
        broker.flush(now)
        if durability.running:
            durability.end_tick(now, call_at)
        if broker.dispatch(now):
            call_at(now, _next_tick)
        if durability.running:
            durability.after_delivery(now, call_at)
        deadline = broker.deadlines.next
        if deadline is None or (self._expiry is not None and self._expiry_at <= deadline):
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry_at = deadline
        self._expiry = self.timers.call_at(deadline, self._expire)

    def request_tick(self) -> None:
        """Have a tick ended soon, though nothing comes in."""
        self.timers.call_at(self.now(), _next_tick)

    def _expire(self) -> None:
        self._expiry = None
        self.broker.expire(self.now())


def _next_tick() -> None:
    """Nothing but the tick that ends after it."""
