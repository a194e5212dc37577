"""How long to wait before the next attempt to connect or to ask.

Waits double up to a limit, and each is drawn from the upper half of its range,
so that many clients of one server that went away do not all come back at the
same instant.
"""

import random

from nsqcore.backoff import Backoff
from nsqcore.classes import define, field

FIRST_DELAY = 0.1

# A connection that lived this long was a good one: the next attempts start over with short waits.
GOOD_LIFE = 5.0


@define(eq=False, repr=False)
class ReconnectDelay:
    """The waits between attempts, in seconds; `succeeded` starts over."""

    longest: float
    first: float = FIRST_DELAY
    failures: int = 0
    _backoff: Backoff = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._backoff = Backoff(self.first, self.longest, jitter=0.5)

    def delay(self) -> float:
        """Seconds to wait after one more failure."""
        self.failures += 1
        return self._backoff.pause(self.failures)

    def succeeded(self) -> None:
        """Start over with the shortest wait."""
        self.failures = 0


def jittered(interval: float, jitter: float) -> float:
    """``interval`` plus a random part of up to ``jitter`` of it."""
    return interval * (1 + random.uniform(0, jitter))
