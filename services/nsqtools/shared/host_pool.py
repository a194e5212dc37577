"""Choosing one of several destinations, again and again.

`RoundRobin` takes turns. `HostPool` takes turns, too, but leaves out one that failed: it is tried
again after half a minute, then after twice that, up to a quarter of an hour; when all have failed
all are tried. `EpsilonGreedy` prefers those that answer fast: with a small probability (it falls
from 0.3 to 0.01) it explores as a `HostPool` does, otherwise it draws one with a probability
inversely proportional to its mean response time, in which older times count less.

No clock, no I/O: ``now`` is an argument, in seconds.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from nsqcore.classes import define, field

# Of the pool the original uses.
FIRST_RETRY = 30.0
LONGEST_RETRY = 900.0
FIRST_EPSILON = 0.3
LOWEST_EPSILON = 0.01
EPSILON_DECAY = 0.9

# Seconds in which a response time loses half of its weight. The original forgets after five
# minutes, with weights that fall linearly: half of that is their middle.
HALF_LIFE = 150.0

# No answer is faster than this: keeps the division sane.
SHORTEST = 1e-4


class Chooser(Protocol):
    """What chooses destinations and learns from what became of the choice."""

    def choose(self, now: float) -> str:
        """The destination to use now."""

    def mark(self, host: str, now: float, *, elapsed: float | None) -> None:
        """Note that ``host`` answered after ``elapsed`` seconds, or failed (None)."""


@define(eq=False, repr=False)
class RoundRobin:
    """Every destination in turn, whatever becomes of it."""

    hosts: Sequence[str]
    _turn: int = 0

    def choose(self, now: float) -> str:
        """The destination whose turn it is."""
        self._turn = (self._turn + 1) % len(self.hosts)
        return self.hosts[self._turn]

    def mark(self, host: str, now: float, *, elapsed: float | None) -> None:
        """Nothing."""


@define(eq=False, repr=False)
class _Host:
    name: str
    dead: bool = False
    retry_delay: float = FIRST_RETRY
    retry_at: float = 0.0
    count: float = 0.0  # of response times, decayed
    total: float = 0.0  # their sum, decayed
    _measured: float = 0.0

    def is_worth_a_try(self, now: float) -> bool:
        return not self.dead or now >= self.retry_at

    def tried(self, now: float) -> None:
        if self.dead:
            self.retry_delay = min(2 * self.retry_delay, LONGEST_RETRY)
            self.retry_at = now + self.retry_delay

    def failed(self, now: float) -> None:
        if not self.dead:
            self.dead = True
            self.retry_delay = FIRST_RETRY
            self.retry_at = now + FIRST_RETRY

    def answered(self, elapsed: float, now: float) -> None:
        self.dead = False
        weight = math.exp2((self._measured - now) / HALF_LIFE)
        self.count = self.count * weight + 1
        self.total = self.total * weight + elapsed
        self._measured = now


def _hosts(names: Sequence[str]) -> list[_Host]:
    return [_Host(name) for name in names]


@define(eq=False, repr=False)
class HostPool:
    """The destinations in turn, but for those that failed lately."""

    hosts: list[_Host] = field(converter=_hosts)
    _turn: int = 0

    def choose(self, now: float) -> str:
        """The next destination that is worth a try."""
        count = len(self.hosts)
        for step in range(count):
            host = self.hosts[(self._turn + step) % count]
            if host.is_worth_a_try(now):
                self._turn = (self._turn + step + 1) % count
                host.tried(now)
                return host.name
        for host in self.hosts:
            host.dead = False
        self._turn = 1 % count
        return self.hosts[0].name

    def mark(self, host: str, now: float, *, elapsed: float | None) -> None:
        """Leave a destination out if it failed, have it back if it answered."""
        for one in self.hosts:
            if one.name == host:
                if elapsed is None:
                    one.failed(now)
                else:
                    one.answered(elapsed, now)


@define(eq=False, repr=False)
class EpsilonGreedy:
    """Fast destinations more often than slow ones."""

    pool: HostPool = field(converter=HostPool)
    epsilon: float = FIRST_EPSILON
    draw: Callable[[], float] = random.random

    def choose(self, now: float) -> str:
        """A destination drawn by speed, or the next one, to learn about it."""
        if self.draw() < self.epsilon:
            self.epsilon = max(self.epsilon * EPSILON_DECAY, LOWEST_EPSILON)
            return self.pool.choose(now)
        known = [host for host in self.pool.hosts if host.count and host.is_worth_a_try(now)]
        if not known:
            return self.pool.choose(now)
        speeds = [host.count / max(host.total, SHORTEST * host.count) for host in known]
        point = self.draw() * sum(speeds)
        position = 0
        while position < len(known) - 1 and point > speeds[position]:
            point -= speeds[position]
            position += 1
        host = known[position]
        host.tried(now)
        return host.name

    def mark(self, host: str, now: float, *, elapsed: float | None) -> None:
        """Learn from a response."""
        self.pool.mark(host, now, elapsed=elapsed)


def chooser(mode: str, hosts: Sequence[str]) -> Chooser:
    """What chooses among ``hosts`` in a mode of the command line."""
    if mode == "round-robin":
        return RoundRobin(hosts)
    return EpsilonGreedy(hosts) if mode == "epsilon-greedy" else HostPool(hosts)
