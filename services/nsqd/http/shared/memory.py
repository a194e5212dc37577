"""The memory of this process, under the names that the original's statistics have.

Python's allocator is not Go's; the nearest to each number that costs next to nothing to find out
is given. Where there is no ``/proc`` the byte counts are 0.
"""

import gc
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from attrs import asdict

from nsqcore.classes import define, field, frozen

# As many pauses as the original remembers.
REMEMBERED = 256


@frozen(kw_only=True)
class MemoryStats:
    """The memory section of /stats; sizes are bytes, pauses microseconds."""

    heap_objects: int  # blocks that Python has allocated
    heap_idle_bytes: int  # data of the process that is not in memory
    heap_in_use_bytes: int  # memory that is the process's own
    heap_released_bytes: int  # how much less memory it has than it once had
    gc_pause_usec_100: int
    gc_pause_usec_99: int
    gc_pause_usec_95: int
    next_gc_bytes: int  # always 0: Python's collector counts objects, not bytes
    gc_total_runs: int

    def to_json(self) -> dict[str, int]:
        """The value of ``memory`` in /stats."""
        return asdict(self)


@define(eq=False, repr=False)
class GcWatch:
    """Times the garbage collector's latest pauses, once `install`ed."""

    _pauses: deque[int] = field(factory=lambda: deque(maxlen=REMEMBERED), init=False)
    _began: int = field(default=0, init=False)

    def install(self) -> None:
        """Listen to the collector, until `remove`."""
        gc.callbacks.append(self._collecting)

    def remove(self) -> None:
        """Stop listening."""
        gc.callbacks.remove(self._collecting)

    def _collecting(self, phase: str, _info: dict[str, Any]) -> None:
        # the process's own time: nothing else is told how long a pause was
        now = time.perf_counter_ns()
        if phase == "start":
            self._began = now
        elif self._began:
            self._pauses.append(now - self._began)

    def take(self) -> MemoryStats:
        """The memory as it is now."""
        pauses = sorted(self._pauses)
        sizes = _sizes()
        return MemoryStats(
            heap_objects=sys.getallocatedblocks(),
            heap_idle_bytes=max(sizes["VmData"] - sizes["RssAnon"], 0),
            heap_in_use_bytes=sizes["RssAnon"],
            heap_released_bytes=max(sizes["VmHWM"] - sizes["VmRSS"], 0),
            gc_pause_usec_100=percentile(100, pauses) // 1000,
            gc_pause_usec_99=percentile(99, pauses) // 1000,
            gc_pause_usec_95=percentile(95, pauses) // 1000,
            next_gc_bytes=0,
            gc_total_runs=sum(generation["collections"] for generation in gc.get_stats()),
        )


def percentile(percent: int, ordered: Sequence[int]) -> int:
    """The value below which ``percent`` of the ``ordered`` ones are; 0 if there are none."""
    if not ordered:
        return 0
    return ordered[min(int(percent / 100 * len(ordered) + 0.5), len(ordered) - 1)]


def _sizes() -> dict[str, int]:
    """The sizes in ``/proc/self/status``, in bytes, by name."""
    sizes = dict.fromkeys(("VmData", "RssAnon", "VmHWM", "VmRSS"), 0)
    try:
        with open("/proc/self/status") as status:
            for line in status:
                name, _, value = line.partition(":")
                if name in sizes:
                    sizes[name] = int(value.split()[0]) * 1024
    except OSError:
        pass
    return sizes
