"""What runs inside this process, as text: for /debug/pprof and for people.

The endpoints have the names that Go's have, so that habits and scripts keep working; the contents
are Python's. Each answer is made on the spot and costs nothing before.
"""

import gc
import io
import sys
import threading
import traceback
from collections import Counter

import trio

from nsqcore.redaction import redact

# What one wants to see at once; the rest is noise.
_TOP = 60
_FRAMES = 5

# A profile slows the process down to half: nobody should leave it on by accident.
MAX_PROFILE_SECONDS = 120.0

INDEX = """/debug/pprof/

cmdline        the command line of this process, words separated by NUL
goroutine      every trio task with its stack
heap           the objects the garbage collector knows, by type
profile        where the time goes, for ?seconds=30
symbol         always 1: names need no looking up here
threadcreate   every thread with its stack
block          the same as threadcreate
"""


def cmdline() -> str:
    """The command line of this process, words separated by NUL; no password in a URL of it."""
    return "\0".join(map(redact, sys.orig_argv))


def symbol() -> str:
    """The answer that tells pprof's tools that there are symbols."""
    return "num_symbols: 1\n"


def tasks() -> str:
    """Every trio task, indented under its parent, with its innermost frames."""
    root = trio.lowlevel.current_root_task()
    if root is None:
        return ""
    lines: list[str] = []
    # Deep trees are possible, so no recursion.
    pending = [(root, 0)]
    while pending:
        task, depth = pending.pop()
        indent = "  " * depth
        lines.append(f"{indent}{task.name}")
        lines += [f"{indent}    {frame}" for frame in _frames(task)[-_FRAMES:]]
        for nursery in reversed(task.child_nurseries):
            pending += [(child, depth + 1) for child in nursery.child_tasks]
    return "\n".join(lines) + "\n"


def _frames(task: trio.lowlevel.Task) -> list[str]:
    found = [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in task.iter_await_frames()
    ]
    # How trio itself waits is the same everywhere and tells nothing.
    return [f"{path}:{line} {name}" for path, line, name in found if "/trio/_core/" not in path]


def threads() -> str:
    """Every thread with its stack."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    out = io.StringIO()
    for ident, frame in sys._current_frames().items():
        out.write(f"{names.get(ident, ident)}\n")
        out.write("".join(traceback.format_stack(frame)))
        out.write("\n")
    return out.getvalue()


def heap() -> str:
    """The objects the garbage collector knows, counted by type, and what it has done."""
    objects = gc.get_objects()
    counts = Counter(type(thing).__qualname__ for thing in objects)
    out = [f"{len(objects)} objects tracked, {len(counts)} types"]
    out += [f"{count:10} {name}" for name, count in counts.most_common(_TOP)]
    for generation, stats in enumerate(gc.get_stats()):
        out.append(f"generation {generation}: {stats}")
    return "\n".join(out) + "\n"


async def profile(seconds: float) -> str:
    """Where this thread spends its time during the next ``seconds``, as cProfile tells it.

    Raises:
        RuntimeError: another profile is being taken.
    """
    import cProfile  # seldom needed, and slow to import
    import pstats

    profiler = cProfile.Profile()
    if sys.getprofile() is not None:
        raise RuntimeError("a profile is being taken already")
    profiler.enable()
    try:
        await trio.sleep(min(max(seconds, 0.0), MAX_PROFILE_SECONDS))
    finally:
        profiler.disable()
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).sort_stats("tottime").print_stats(_TOP)
    return out.getvalue()
