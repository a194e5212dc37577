"""Durable topics: what each promise costs, beside others that sync for each answer.

``acknowledged`` counts until the last answer. The rows of Redis and beanstalkd measure another
program with a load generator of their own, one command at a time on each connection, and are made
where it is installed; ``server CPU`` is that of its one process. ``written`` is what the
process had written to files, over the bytes of the bodies, a killed nsqd ``ready`` how long it took
to start on what was left.
"""

import os
import signal
from functools import partial
from pathlib import Path

from bench import tools
from bench.result import Result, Run, Scenario, Side, Slices
from bench.server import Server, running
from bench.stores import BEANSTALKD, REDIS, Store, append

SLICES = 3
SIZE = 200
BACKLOG = 2_000_000  # messages, half a gigabyte with what stands round them


def publish(side: Side, result: Result, *, durability: str, batch: int, connections: int) -> Slices:
    """Publish for a while in slices; all must be in the channel."""
    flags = [f"--mem-queue-size={side.memory_limit}", f"--durability={durability}"]
    total, spent, cpu = 0, 0.0, 0.0
    with running(side.bin_dir, "nsqd", *flags) as server:
        server.create("bench", "ch")
        for _ in range(SLICES):
            yield
            before = server.cpu()
            done = _load(server, batch, connections, side.seconds(1.5) / SLICES)
            total += done["count"]
            spent += done["seconds"]
            cpu += server.cpu() - before
        server.settle("bench", total)
        depth = server.topic("bench")["channels"]["ch"]["depth"]
        result.check(depth == total, f"the channel holds {total}, not {depth}")
    result.high("acknowledged", total / spent, "msg/s")
    result.low("server CPU", cpu / total * 1e6, "s/Mmsg")


def _load(server: Server, batch: int, connections: int, seconds: float) -> dict[str, float]:
    return tools.load(
        "publish",
        server=server.tcp,
        topic="bench",
        batch=batch,
        size=SIZE,
        connections=connections,
        seconds=seconds,
    )


def backlog(side: Side, result: Result) -> Slices:
    """Five channels behind: one copy on disk; then kill -9, and start on it."""
    wanted, total, written = side.count(BACKLOG), 0, 0
    with running(side.bin_dir, "nsqd", "--durability=os") as server:
        server.create("bench", *(f"ch{n}" for n in range(5)))
        while total < wanted:
            yield
            before = _written(server.pid)
            total += int(_load(server, 200, 2, 0.5)["count"])
            written += _written(server.pid) - before
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        with running(side.bin_dir, "nsqd", "--durability=os", data=server.data) as again:
            for name, channel in again.topic("bench")["channels"].items():
                depth = channel["depth"]
                result.check(depth == total, f"{name} holds {total}, not {depth}")
            result.low("ready after kill -9", again.boot, "s")
    result.put("backlog", total * SIZE / 1e6, "MB")
    result.low("written", written / (total * SIZE), "x")


def _written(pid: int) -> int:
    """Bytes that the process gave to write calls of files."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def scenario(durability: str, batch: int, connections: int) -> Scenario:
    """One combination, named by its parts."""
    run: Run = partial(publish, durability=durability, batch=batch, connections=connections)
    return Scenario(f"durable/{durability}/b{batch}/c{connections}", run)


def beside(name: str, store: Store, connections: int) -> Scenario:
    """Another queue, which syncs before it answers."""
    run: Run = partial(append, store=store, connections=connections, size=SIZE)
    return Scenario(f"durable/{name}-always/b1/c{connections}", run)


OTHERS = {"redis": REDIS, "beanstalkd": BEANSTALKD}

SCENARIOS = [
    *(scenario(kind, 1, n) for kind in ("none", "os", "always") for n in (1, 8, 32)),
    *(scenario(kind, 200, n) for kind in ("none", "os", "always") for n in (1, 32)),
    *(beside(*other, n) for other in OTHERS.items() for n in (1, 8, 32) if other[1].here),
    Scenario("durable/backlog", backlog),
]
