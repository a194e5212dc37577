"""How long requests took: every so many of them, a line in the log.

The text is the one the original logs, for those who grep it.
"""

import logging
import math

from nsqcore.classes import define, field
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)


@define(eq=False, repr=False)
class Timings:
    """The durations of the last requests; ``every`` of them make a line, 0 makes none."""

    name: str
    every: int
    _seconds: list[float] = field(factory=list)

    def add(self, seconds: float) -> None:
        """Count a request that took ``seconds``."""
        if self.every < 1:
            return
        self._seconds.append(seconds)
        if len(self._seconds) >= self.every:
            logger.info("%s", self.line())
            self._seconds.clear()

    def line(self) -> str:
        """Number, percentiles and mean."""
        ordered = sorted(self._seconds)
        mean = sum(ordered) / len(ordered)
        return (
            f"[{self.name}]: finished {len(ordered)} - 99th: {_percentile(ordered, 99):.2f}ms - "
            f"95th: {_percentile(ordered, 95):.2f}ms - avg: {mean * 1000:.2f}ms"
        )


def _percentile(ordered: list[float], percent: int) -> float:
    """In milliseconds."""
    index = math.ceil(len(ordered) * percent / 100) - 1
    return ordered[max(index, 0)] * 1000


@define(eq=False, repr=False)
class StatusLog:
    """Timings of all requests together, and of each destination where there are several."""

    _all: Timings
    _each: dict[str, Timings]

    @classmethod
    def of(cls, destinations: list[str], every: int) -> "StatusLog":
        """A log with a line for every ``every`` requests."""
        several = destinations if len(destinations) > 1 else []
        return cls(
            Timings("aggregate", every), {name: Timings(redact(name), every) for name in several}
        )

    def add(self, destination: str, seconds: float) -> None:
        """Count a request to ``destination``."""
        if destination in self._each:
            self._each[destination].add(seconds)
        self._all.add(seconds)
