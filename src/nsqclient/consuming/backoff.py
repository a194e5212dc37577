"""Backing off: taking fewer messages while handling them fails.

The rule of the original clients. A failure raises the level and stops all
buffer for a while, longer with each level; then a single message is let through.
If it fails the level rises again, if it succeeds it falls by one; at level 0
everything flows as before. What comes back while buffer is stopped does not
count: a hundred messages that fail together are one failure.

```
 FLOWING ──failed──▶ STOPPED ──time passes──▶ PROBING ──succeeded, level 0──▶ FLOWING
                        ▲                        │
                        └── failed, or succeeded with level > 0 ──┘
```

No clock, no I/O: ``now`` is an argument, in seconds.
"""

from enum import Enum

from attrs import define, field, validators


class Phase(Enum):
    """What buffer is like."""

    FLOWING = "all messages flow"
    STOPPED = "no message is asked for until a time has passed"
    PROBING = "one message is let through"


@define(eq=False, repr=False)
class Backoff:
    """The state of backing off. ``longest`` 0 turns it off. All in seconds."""

    unit: float = field(default=1.0, validator=validators.gt(0))
    longest: float = field(default=120.0, validator=validators.ge(0))
    level: int = 0
    phase: Phase = Phase.FLOWING
    until: float = 0.0

    def failed(self, now: float) -> bool:
        """Count a failure; returns whether the phase changed."""
        if not self.longest or self.phase is Phase.STOPPED:
            return False
        # At the longest wait the level stays, so that the way back is not endless.
        if self._wait(self.level + 1) <= self.longest:
            self.level += 1
        self.level = max(self.level, 1)
        return self._stop(now)

    def succeeded(self, now: float) -> bool:
        """Count a success; returns whether the phase changed."""
        if not self.level or self.phase is Phase.STOPPED:
            return False
        self.level -= 1
        if self.level:
            return self._stop(now)
        self.phase = Phase.FLOWING
        return True

    def advance(self, now: float) -> bool:
        """Start probing if the wait is over; returns whether the phase changed."""
        if self.phase is Phase.STOPPED and now >= self.until:
            self.phase = Phase.PROBING
            return True
        return False

    def _stop(self, now: float) -> bool:
        self.phase = Phase.STOPPED
        self.until = now + min(self._wait(self.level), self.longest)
        return True

    def _wait(self, level: int) -> float:
        return self.unit * float(2 ** min(level, 32))
