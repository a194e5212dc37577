"""The log of the client, and lines that a peer can cause as often as it likes."""

import logging
import time

from nsqcore.classes import define

log = logging.getLogger("nsqclient")

# Between two lines of one kind. Seconds.
INTERVAL = 10.0


@define(eq=False, repr=False)
class RateLimited:
    """A warning that is logged at most once in `INTERVAL`; the next one tells how many were not."""

    _format: str
    _last: float = -INTERVAL
    _omitted: int = 0

    def warning(self, *args: object, exc_info: BaseException | None = None) -> None:
        """Log it, or count it."""
        now = time.monotonic()
        if now - self._last < INTERVAL:
            self._omitted += 1
            return
        more = f" ({self._omitted} more of these before)" if self._omitted else ""
        self._last, self._omitted = now, 0
        log.warning(self._format + more, *args, exc_info=exc_info)
