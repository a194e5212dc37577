"""The cyclic garbage collector, tuned for daemons that hold much and leak nothing.

What a daemon keeps (topics, queues, connections) is freed by reference counts; the
collector is left for the odd traceback and task. A full collection looks at every
container there is: with 10 000 channels it held up the loop for 140 ms. So what
exists at the start is put out of its sight, and full collections are rare: by the count of
containers, and when memory grows though the daemon holds no more than before (`MemoryWatch`).

A look at the young ones must stay short too. A container is looked at with all that is in it: a
publisher of large batches leaves lists of hundreds of messages in memory, and 20 000 of those took
70 to 120 ms.
"""

import ctypes
import gc
import logging
import os
from collections.abc import Callable

import trio

from nsqcore.classes import define, field

logger = logging.getLogger(__name__)

# Containers allocated, net of those freed, before the youngest are looked at: some milliseconds
# where they are lists of 200 messages, a tenth of one elsewhere …
YOUNG = 2_000
# … how many such looks before the middle-aged are, and how many of those before all are.
MIDDLE, OLD = 200, 200

# Seconds between two looks at the memory: one costs some microseconds.
INTERVAL = 1.0
# How much the memory may grow before what is held is counted: this many bytes, and this share.
GROWTH_BYTES, GROWTH_SHARE = 32 * 1024 * 1024, 0.25


def tune() -> None:
    """Set aside what exists and make full collections rare. To be called once start-up is done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


def resident_bytes() -> int:
    """The memory of this process that is not in files; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            _, resident, shared, *_ = statm.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


@define(eq=False, repr=False)
class MemoryWatch:
    """Collects all garbage when memory has grown and what the daemon holds has not.

    ``held`` counts that: messages, or registrations. ``resident`` is the size of the process.
    """

    held: Callable[[], int]
    resident: Callable[[], int] = resident_bytes
    _size: int = field(default=0, init=False)
    _count: int = field(default=0, init=False)

    async def run(self) -> None:
        """Look at the memory every `INTERVAL`, until cancelled."""
        self._size, self._count = self.resident(), self.held()
        while self._size:
            await trio.sleep(INTERVAL)
            self.look()

    def look(self) -> bool:
        """Whether there was a reason to collect, and it was done."""
        size = self.resident()
        self._size = min(self._size, size)
        if size - self._size <= max(GROWTH_BYTES, self._size * GROWTH_SHARE):
            return False
        count = self.held()
        explained = count > self._count * (1 + GROWTH_SHARE) + 100
        self._size, self._count = size, count
        if explained:
            return False
        found = gc.collect()
        _give_back()
        self._size = self.resident()
        logger.debug("garbage: %d objects found, %d bytes given back", found, size - self._size)
        return True


def _give_back() -> None:
    """Give free memory back to the system."""
    # only the GNU C library has it; elsewhere the allocator decides
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def collect() -> None:
    """Collect all garbage now, and give free memory back to the system."""
    gc.collect()
    _give_back()
