"""How long the event loop has no turn for others, in the processor's time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio


@attrs.define(eq=False)
class Passes(trio.abc.Instrument):
    """Seconds of the processor of the longest pass of trio over the tasks that are ready."""

    longest: float = 0.0
    _since: float = 0.0

    def after_io_wait(self, timeout: float) -> None:
        """A pass begins."""
        self._since = time.thread_time()

    def before_io_wait(self, timeout: float) -> None:
        """It has ended."""
        if self._since:
            self.longest = max(self.longest, time.thread_time() - self._since)
            self._since = 0.0


@contextmanager
def measured_passes() -> Iterator[Passes]:
    """Measures while the block runs, in a task."""
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    try:
        yield passes
    finally:
        passes.before_io_wait(0)  # the pass that this is in is one, too
        trio.lowlevel.remove_instrument(passes)
