"""The ``Date`` header, rendered once a second."""

import time
from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.units import SECOND

# Not strftime's names, which are in the language of the process.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@define(eq=False, repr=False)
class Dates:
    """What the date is. ``now`` is the wall clock, in ns."""

    now: Callable[[], int]
    _second: int = field(default=-1, init=False)
    _line: bytes = field(default=b"", init=False)

    def line(self) -> bytes:
        """The header's line, with its end: the same object within a second."""
        second = self.now() // SECOND
        if second != self._second:
            self._second, self._line = second, _render(second)
        return self._line


def _render(second: int) -> bytes:
    date = time.gmtime(second)
    day, month = _DAYS[date.tm_wday], _MONTHS[date.tm_mon - 1]
    clock = f"{date.tm_hour:02}:{date.tm_min:02}:{date.tm_sec:02}"
    return f"Date: {day}, {date.tm_mday:02} {month} {date.tm_year} {clock} GMT\r\n".encode()
