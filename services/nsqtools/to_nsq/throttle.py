"""So many messages a second, and no more."""

import trio

from nsqcore.classes import define

# Seconds a throttle waits at least; above a thousand messages a second they go in small groups.
SHORTEST_WAIT = 0.001


@define(eq=False, repr=False)
class Throttle:
    """Allows ``rate`` messages a second; what is not used is kept for up to a second."""

    rate: int
    _allowed: float = 1.0
    _last: float | None = None

    async def allow(self, wanted: int) -> int:
        """How many of ``wanted`` messages may go now; waits until that is one at least."""
        if self.rate < 1:
            return wanted
        while True:
            now = trio.current_time()
            if self._last is not None:
                self._allowed += (now - self._last) * self.rate
                self._allowed = min(self._allowed, float(self.rate))
            self._last = now
            if self._allowed >= 1:
                granted = min(wanted, int(self._allowed))
                self._allowed -= granted
                return granted
            # Never for next to nothing: sums of fractions stop just short of one.
            await trio.sleep(max((1 - self._allowed) / self.rate, SHORTEST_WAIT))
