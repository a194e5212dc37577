"""How fast the client library is, with pynsq beside it: `python -m bench.client [--quick]`.

Each line is one kind of work against a fresh nsqd of ours on loopback, 200-byte
messages, one client process at a time; the best of some rounds, taken in turn,
so that a noisy moment hits everyone. After each run nsqd's counters must show
every message. Connecting is not counted when publishing, and is when consuming.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

from attrs import frozen

from bench.clients.work import BODY, CHANNEL, TOPIC
from bench.processes import Broken
from bench.server import Server, running

CLIENTS = [("ours", "trio"), ("ours", "asyncio"), ("pynsq", "tornado")]


@frozen
class Work:
    """One kind of work: how many messages, and what it must reach (messages a second)."""

    name: str
    title: str
    count: int
    goal: int = 0
    by_pynsq: bool = True


WORKS = [
    Work("publish_many", "publish_many of 200", 400_000, 150_000),
    Work("publish", "publish, 32 in flight", 30_720, 15_000),
    Work("publish_one", "publish, one by one", 5_000),
    Work("consume", "consume: run(handler)", 200_000, 60_000),
    Work("iterate", "consume: async for, process()", 200_000, by_pynsq=False),
]


def measure(client: str, loop: str, work: Work, count: int) -> float:
    """Messages a second in one run."""
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
        return count / float(run.stdout.split()[-1])


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


def main() -> int:
    """Measure, print a table; the exit status is 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    rates: dict[str, dict[str, float]] = {}
    print(f"{'messages a second':32}{'trio':>10}{'asyncio':>10}{'pynsq':>10}{'ratio':>8}  goal")
    missed = False
    for work in WORKS:
        count = work.count // 5 if arguments.quick else work.count
        best: dict[str, float] = {}
        for _ in range(rounds):
            for client, loop in CLIENTS:
                if client == "ours" or work.by_pynsq:
                    best[loop] = max(best.get(loop, 0), measure(client, loop, work, count))
        rates[work.name] = best
        theirs = best.get("tornado", 0)
        ratio = f"{best['trio'] / theirs:7.1f}x" if theirs else " " * 8
        numbers = "".join(f"{best.get(loop, 0):10.0f}" for _, loop in CLIENTS)
        verdict = (
            ""
            if not work.goal
            else f"{work.goal} "
            + ("reached" if min(best["trio"], best["asyncio"]) >= work.goal else "MISSED")
        )
        missed = missed or "MISSED" in verdict
        print(f"{work.title:32}{numbers}{ratio}  {verdict}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rates, indent=2) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
