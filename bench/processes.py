"""What the kernel says about a process and its children: CPU used, memory held; and waiting on it.

Reads /proc, so Linux only; nothing here touches the network.
"""

import os
import select
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Broken(Exception):
    """A program under test did not do its part; the scenario cannot go on."""


def family(pid: int) -> list[int]:
    """``pid`` and everything it started that is still running."""
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return members


def cpu_seconds(pid: int) -> float:
    """CPU used so far by ``pid`` and its family, in user and kernel."""
    ticks = 0
    for member in family(pid):
        try:
            stat = Path(f"/proc/{member}/stat").read_text()
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split()
        ticks += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return ticks / TICKS


def memory(pid: int, key: str = "VmRSS") -> int:
    """Bytes of ``key`` in /proc/PID/status, over the family; `VmHWM` is the highest so far."""
    total = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))
    return total


def pause(seconds: float) -> None:
    """Sleep: the pace of polling, never a guess at how long something takes."""
    select.select([], [], [], seconds)


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 30.0) -> float:
    """Seconds until ``condition`` held; Broken when it does not within ``timeout``."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            raise Broken(f"{what}: not within {timeout:.0f} s")
        pause(0.005)
    return time.monotonic() - start
