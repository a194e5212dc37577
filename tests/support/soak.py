"""A soak of nsqd and nsqlookupd: ``python -m tests.support.soak MINUTES``.

Real daemons are visited in every way there is (`tests.support.visitors`), for as long as is said.
Five times after a first part they come to rest: no connection, no topic. Each time they must hold
what they held at the first rest: resident memory and descriptors.
"""

import os
import random
import re
import ssl
import sys
import tempfile
import time
from pathlib import Path

import trustme
from attrs import frozen
from tests.e2e.daemons import Daemon, daemons, wait_until
from tests.support.visitors import Visitors

#: The part of the time after which the first rest is, and it is a minute at most: until then caches
#: fill, code runs for the first time, and the allocator gets the arenas that a busy moment needs.
WARM_UP = 1 / 3
RESTS = 5

#: How much more there may be at a rest than at the first. The allocator's arenas are of 1 MiB, and
#: which of them are held by a few living objects differs from rest to rest. A minute has about
#: 3000 visits, some hundred of each kind: what leaves 10 KiB per visit of one kind shows in a few
#: minutes, an object of 1 KiB in a quarter of an hour.
MOST_GROWTH = 4 * 1024 * 1024


#: nsqd keeps idle connections to nsqlookupd's HTTP; each is a descriptor of both. Some thousands of
#: visits that left one now and then would leave more.
MOST_DESCRIPTORS = 2


@frozen
class Held:
    """What a daemon holds at rest."""

    memory: int
    descriptors: int

    def __str__(self) -> str:
        return f"{self.memory / 2**20:.1f} MiB, {self.descriptors} descriptors"


def https_port(nsqd: Daemon) -> int:
    """The port of its HTTPS."""
    found = re.search(r"HTTPS: listening on 127\.0\.0\.1:(\d+)", nsqd.log())
    assert found, nsqd.log()
    return int(found[1])


def at_rest(visitors: Visitors) -> dict[str, Held]:
    """What each daemon holds when all connections have ended and all topics are gone."""
    nsqd, lookupd = visitors.nsqd, visitors.lookupd
    visitors.rest()
    stats = "/stats?format=json"
    wait_until(lambda: not nsqd.get(stats)["topics"], "nsqd has no topics")
    wait_until(lambda: not nsqd.get(stats).get("producers"), "nsqd has no clients")
    wait_until(lambda: not lookupd.get("/topics")["topics"], "nsqlookupd has forgotten all topics")
    nsqd.post("/debug/freememory")
    held = {}
    for daemon in (nsqd, lookupd):
        seen: list[int] = []

        def steady(daemon: Daemon = daemon, seen: list[int] = seen) -> bool:
            seen.append(daemon.open_files())
            return len(seen) > 20 and len(set(seen[-20:])) == 1

        wait_until(steady, "the connections that have ended are closed")
        held[daemon.program] = Held(daemon.resident(), seen[-1])
    return held


def soak(folder: Path, minutes: float, seed: int) -> list[str]:
    """What has grown."""
    authority = trustme.CA()
    pem = str(folder / "server.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with daemons(folder) as make:
        lookupd = make("nsqlookupd", "--inactive-topic-timeout=1s", "--tombstone-lifetime=1s")
        nsqd = make(
            "nsqd", f"--tls-cert={pem}", f"--tls-key={pem}", "--https-address=127.0.0.1:0",
            f"--lookupd-tcp-address={lookupd.tcp}", "--mem-queue-size=20", "--msg-timeout=1s",
            "--max-msg-timeout=1s",
        )  # fmt: skip
        policy = b'{"pattern": "kept*", "definition": {"durability": "always"}}'
        status, answer = nsqd.request("PUT", "/policy/set?name=kept", policy)
        assert status == 200, answer
        visitors = Visitors(nsqd, https_port(nsqd), lookupd, trusting, random.Random(seed))
        start, whole = time.monotonic(), minutes * 60
        warm = min(60.0, whole * WARM_UP)
        rests: list[dict[str, Held]] = []
        for number in range(RESTS):
            end = start + warm + (whole - warm) * number / (RESTS - 1)
            while time.monotonic() < end:
                visitors.visit()
            rests.append(at_rest(visitors))
            told = "; ".join(f"{program}: {held}" for program, held in rests[-1].items())
            print(f"soak: {visitors.visits} visits; at rest {told}", flush=True)
        status_of_journal = nsqd.get("/durable/status")
        print(f"soak: {status_of_journal['commits']} commits of durable topics", flush=True)
        problems = [f"{d.program} logged {line}" for d in (nsqd, lookupd) for line in errors(d)]
    return problems + grown(rests)


def errors(daemon: Daemon) -> list[str]:
    """Lines of its log that tell of a fault of its own."""
    return [line for line in daemon.log().splitlines() if "Traceback" in line or "FATAL" in line]


def grown(rests: list[dict[str, Held]]) -> list[str]:
    """Which daemons hold more at the last rests than at the first."""
    problems = []
    for program, first in rests[0].items():
        memory = min(rest[program].memory for rest in rests[-2:])
        descriptors = min(rest[program].descriptors for rest in rests[-2:])
        if memory > first.memory + MOST_GROWTH:
            problems.append(f"{program}: {memory - first.memory} bytes more than at the first rest")
        if descriptors > first.descriptors + MOST_DESCRIPTORS:
            more = descriptors - first.descriptors
            problems.append(f"{program}: {more} descriptors more than at the first rest")
    return problems


def main(minutes: float, seed: int) -> int:
    """The exit status."""
    print(f"soak: {minutes:.1f} minutes, NSQ_TEST_SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        problems = soak(Path(folder), minutes, seed)
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    return 1 if problems else 0


def chosen_seed() -> int:
    """NSQ_TEST_SEED, or a new one."""
    return int(os.environ.get("NSQ_TEST_SEED") or random.randrange(10**6))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), chosen_seed()))
