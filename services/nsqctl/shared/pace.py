"""So many messages a second, evenly."""

import trio

from nsqcore.classes import define


@define(eq=False, repr=False)
class Pace:
    """Lets ``rate`` messages a second go; None is as many as there are."""

    rate: float | None
    _next: float = 0.0

    async def wait(self) -> None:
        """Return when the next one may go. What was not used is not made up for."""
        if self.rate is None:
            return
        now = trio.current_time()
        self._next = max(self._next, now)
        await trio.sleep_until(self._next)
        self._next += 1 / self.rate
