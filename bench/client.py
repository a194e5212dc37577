"""How fast the client library is, others beside it: `python -m bench.client [--quick]`.

Each line is one kind of work against a fresh nsqd of ours on loopback, 200-byte
messages, one client process at a time; the best of some rounds, taken in turn,
so that a noisy moment hits everyone. After each run nsqd's counters must show
every message. Connecting is not counted when publishing, and is when consuming.
"""

import argparse
import json
import math
import subprocess
import sys
import sysconfig
from pathlib import Path

from attrs import asdict, frozen

from bench.clients.work import BODY, CHANNEL, TOPIC
from bench.processes import Broken
from bench.server import Server, running

# The columns: the program of each, and the loop it is told to use.
CLIENTS = {
    "trio": ("ours", "trio"),
    "asyncio": ("ours", "asyncio"),
    "sync": ("blocking", "threads"),
    "pynsq": ("pynsq", "tornado"),
    "gnsq": ("gnsq", "gevent"),
    "ansq": ("ansq", "asyncio"),
}


@frozen
class Work:
    """One kind of work: how many messages, and what it must reach (messages a second)."""

    name: str
    title: str
    count: int
    goal: int = 0
    by_others: bool = True
    by_sync: bool = True

    def is_done_by(self, client: str) -> bool:
        """Whether the program of that name can do it."""
        return client == "ours" or (self.by_sync if client == "blocking" else self.by_others)


WORKS = [
    Work("publish_many", "publish_many of 200", 400_000, 150_000, by_sync=False),
    Work("publish", "publish, 32 in flight", 30_720, 15_000, by_sync=False),
    Work("publish_one", "publish, one by one", 5_000),
    Work("consume", "consume: run(handler)", 200_000, 60_000),
    Work("iterate", "consume: async for, process()", 200_000, by_others=False),
]


@frozen
class Speed:
    """What one run showed, or the best of some: messages a second, µs of the client's CPU each."""

    rate: float = 0.0
    cpu: float = math.inf

    def best(self, other: "Speed") -> "Speed":
        """The better of both, in each."""
        return Speed(max(self.rate, other.rate), min(self.cpu, other.cpu))


def measure(column: str, work: Work, count: int) -> Speed:
    """One run."""
    client, loop = CLIENTS[column]
    with running(Path(sysconfig.get_path("scripts")), "nsqd", "--mem-queue-size=10000000") as nsqd:
        nsqd.create(TOPIC, CHANNEL)
        consuming = work.name in ("consume", "iterate")
        if consuming:
            fill(nsqd, count)
        command = [sys.executable, "-m", f"bench.clients.{client}", nsqd.tcp, loop, work.name]
        run = subprocess.run(
            [*command, str(count)], stdout=subprocess.PIPE, timeout=300, check=True
        )
        check(nsqd, count, consuming=consuming)
        seconds, cpu = map(float, run.stdout.split()[-2:])
        return Speed(count / seconds, 1e6 * cpu / count)


def fill(nsqd: Server, count: int) -> None:
    """Queue ``count`` messages."""
    step = 10_000
    for start in range(0, count, step):
        batch = b"\n".join([BODY] * min(step, count - start))
        nsqd.request("POST", f"/mpub?topic={TOPIC}", batch)


def check(nsqd: Server, count: int, *, consuming: bool) -> None:
    """See that every message is where it should be."""
    nsqd.settle(TOPIC, count)
    channel = nsqd.topic(TOPIC)["channels"][CHANNEL]
    left = channel["depth"] + channel["in_flight_count"] + channel["deferred_count"]
    if channel["message_count"] != count or (consuming and left):
        raise Broken(f"{channel['message_count']} of {count} messages, {left} left")


def line(work: Work, best: dict[str, Speed], *, reached: bool) -> str:
    """A line of the table; the ratio is that of the rates of trio and pynsq."""
    cells = [
        f"{best[column].rate:10.0f}{best[column].cpu:8.1f}" if column in best else " " * 18
        for column in CLIENTS
    ]
    theirs = best.get("pynsq")
    ratio = f"{best['trio'].rate / theirs.rate:7.1f}x" if theirs else " " * 8
    goal = f"{work.goal} {'reached' if reached else 'MISSED'}" if work.goal else ""
    return f"{work.title:30}{''.join(cells)}{ratio}  {goal}"


def main() -> int:
    """Measure, print a table; the exit status is 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    results: dict[str, dict[str, Speed]] = {}
    heads = "".join(f"{column:>18}" for column in CLIENTS)
    print(f"{'messages a second, µs of CPU':30}{heads}{'ratio':>8}  goal")
    missed = False
    for work in WORKS:
        count = work.count // 5 if arguments.quick else work.count
        best: dict[str, Speed] = {}
        for _ in range(rounds):
            for column, (client, _) in CLIENTS.items():
                if work.is_done_by(client):
                    best[column] = measure(column, work, count).best(best.get(column, Speed()))
        results[work.name] = best
        reached = not work.goal or min(best["trio"].rate, best["asyncio"].rate) >= work.goal
        missed = missed or not reached
        print(line(work, best, reached=reached), flush=True)
    if arguments.json:
        numbers = {
            work: {column: asdict(speed) for column, speed in best.items()}
            for work, best in results.items()
        }
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
