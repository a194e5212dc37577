"""What Prometheus' users expect to hear of every process: memory, CPU, descriptors, garbage.

Names and units are those of its client libraries
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics), so that ready-made
dashboards work. What the system does not tell is left out.
"""

import contextlib
import gc
import os
import platform
import resource
from collections.abc import Iterator

from nsqcore.metrics.prometheus import heading, labels, single

# The fields of /proc/self/stat behind the name, from 0: proc(5).
_STARTED = 19

_COLLECTOR = (
    ("collected", "python_gc_objects_collected_total", "Objects that the collector freed."),
    ("uncollectable", "python_gc_objects_uncollectable_total", "Garbage that cannot be freed."),
    ("collections", "python_gc_collections_total", "Runs of the collector."),
)


def process_metrics() -> str:
    """The metrics of this process. Reads files, one of them as long as there are descriptors."""
    return "".join((*_memory(), *_usage(), _python(), *_garbage()))


def _memory() -> Iterator[str]:
    with contextlib.suppress(OSError, ValueError):  # not Linux, or no descriptor is left
        with open("/proc/self/statm") as statm:
            pages = [int(word) for word in statm.read().split()]
        size = os.sysconf("SC_PAGE_SIZE")
        for name, count, what in (
            ("process_virtual_memory_bytes", pages[0], "Address space in use."),
            ("process_resident_memory_bytes", pages[1], "Memory in use."),
        ):
            yield single(name, "gauge", what, count * size)


def _usage() -> Iterator[str]:
    with contextlib.suppress(OSError, ValueError):
        yield single(
            "process_start_time_seconds", "gauge", "When it began, of the Unix epoch.", _started()
        )
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = round(used.ru_utime + used.ru_stime, 6)
    yield single("process_cpu_seconds_total", "counter", "CPU time, user and system.", seconds)
    with contextlib.suppress(OSError):
        count = len(os.listdir("/proc/self/fd")) - 1  # the last is what lists them
        yield single("process_open_fds", "gauge", "Open file descriptors.", count)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield single("process_max_fds", "gauge", "Descriptors it may open.", most)


def _started() -> float:
    """When this process began, in seconds of the Unix epoch. Raises OSError, ValueError."""
    with open("/proc/self/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[_STARTED])
    with open("/proc/stat") as system:
        booted = next(int(line.split()[1]) for line in system if line.startswith("btime "))
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def _python() -> str:
    major, minor, patch = platform.python_version_tuple()
    told = labels(
        implementation=platform.python_implementation(),
        major=major,
        minor=minor,
        patchlevel=patch,
        version=platform.python_version(),
    )
    return f"{heading('python_info', 'gauge', 'The interpreter.')}python_info{told} 1\n"


def _garbage() -> Iterator[str]:
    generations = gc.get_stats()
    for key, name, what in _COLLECTOR:
        yield heading(name, "counter", what)
        for number, counts in enumerate(generations):
            yield f"{name}{labels(generation=str(number))} {counts[key]}\n"
