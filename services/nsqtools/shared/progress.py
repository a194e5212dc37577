"""How far long work has got: one line on a terminal, rewritten twice a second.

Where standard error is no terminal nothing is ever written. Log lines and this line share the
terminal: it ends with a carriage return, so that whatever comes next is written over it.
"""

import os
from collections.abc import Callable

import trio

from nsqcore.app.log import LogStream
from nsqcore.classes import define

INTERVAL = 0.5

_CLEAR = "\x1b[K"


@define(eq=False, repr=False)
class Progress:
    """Counts of the work done; `show` displays them. ``expected`` is in bytes, 0 if unknown."""

    messages: int = 0
    size: int = 0
    expected: int = 0

    def add(self, messages: int, size: int) -> None:
        """Count messages and bytes that are done."""
        self.messages += messages
        self.size += size

    def line(self, elapsed: float, recent: float) -> str:
        """What is shown: the count, ``recent`` messages a second, bytes, and the part done."""
        text = f"{self.messages:,} messages, {recent:,.0f}/s, {_bytes(self.size)}"
        if self.expected:
            text += f", {min(100 * self.size // self.expected, 100)} %"
        return f"{text}, {elapsed:.0f} s"

    async def show(self, descriptor: int, clock: Callable[[], float] = trio.current_time) -> None:
        """Show the counts until cancelled; on anything but a terminal, return at once."""
        if not is_terminal(descriptor):
            return
        stream = LogStream(descriptor)
        began = before = clock()
        count = self.messages
        try:
            while True:
                await trio.sleep(INTERVAL)
                now = clock()
                recent = (self.messages - count) / (now - before)
                before, count = now, self.messages
                stream.write(self.line(now - began, recent) + _CLEAR + "\r")
        finally:
            elapsed = clock() - began
            average = self.messages / elapsed if elapsed > 0 else 0.0
            stream.write(self.line(elapsed, average) + _CLEAR + "\n")


def is_terminal(descriptor: int) -> bool:
    """Whether somebody sees what is written to ``descriptor``."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
