"""Dead letters: a channel whose consumers fail every message, all of which go to another topic.

``dead-lettered`` counts from the first delivery until the dead-letter topic has the last message:
each is delivered once, given back (REQ) or given up (TERM), and moved. They were published in
batches before; in the rows named ``both`` they are published meanwhile.
"""

import json
from functools import partial

from bench import tools
from bench.processes import wait_until
from bench.result import Result, Run, Scenario, Side, Slices
from bench.scenarios.consume import fill, subscribed
from bench.server import Server, running

SLICES = 2
COUNT = 300_000
POLICY = {"pattern": "bench*", "definition": {"max_attempts": 1}}


def dead(side: Side, result: Result, *, answer: str, durability: str, both: bool) -> Slices:
    """Fail everything, a topic per slice; all must be in its dead-letter topic."""
    flags = [f"--mem-queue-size={side.memory_limit}", f"--durability={durability}"]
    count = side.count(COUNT) // SLICES
    spent = cpu = 0.0
    with running(side.bin_dir, "nsqd", *flags) as server:
        server.request("PUT", "/policy/set?name=bench", json.dumps(POLICY).encode())
        for n in range(SLICES):
            topic = f"bench{n}"
            if both:
                server.create(topic, "ch")
            else:
                fill(server, topic, count)
            yield
            before = server.cpu()
            where: dict[str, object] = {"server": server.tcp, "topic": topic, "count": count}
            with tools.start("consume", channel="ch", answer=answer, **where) as consumer:
                wait_until(partial(subscribed, server, topic), "consumers subscribe")
                if both:
                    tools.load("publish", **where)
                done = consumer.result()
            wait_until(partial(_all_dead, server, topic, count), f"{count} dead letters")
            spent += done["seconds"]
            cpu += server.cpu() - before
            result.check(done["count"] == count, f"{done['count']} deliveries of {count} messages")
    result.high("dead-lettered", SLICES * count / spent, "msg/s")
    result.low("server CPU", cpu / (SLICES * count) * 1e6, "s/Mmsg")


def _all_dead(server: Server, topic: str, count: int) -> bool:
    """Whether each message of ``topic`` is in its dead-letter topic."""
    channel = server.topic(topic)["channels"]["ch"]
    left = channel["depth"] + channel["in_flight_count"]
    return bool(not left and server.topic(f"{topic}.dead")["depth"] == count)


def scenario(answer: str, durability: str, *, both: bool = False) -> Scenario:
    """One combination, named by its parts."""
    run: Run = partial(dead, answer=answer, durability=durability, both=both)
    return Scenario(f"dead/{answer.lower()}/{durability}" + "/both" * both, run)


SCENARIOS = [
    *(scenario("REQ", kind) for kind in ("none", "os", "always")),
    *(scenario("TERM", kind) for kind in ("none", "os", "always")),
    *(scenario("REQ", kind, both=True) for kind in ("none", "os", "always")),
]
