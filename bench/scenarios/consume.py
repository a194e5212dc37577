"""Consuming what is queued, and consuming while somebody publishes.

Every message must come exactly once. Rates are those of the first 98 %: the last messages may
wait for a server's output buffer timer.
"""

from functools import partial
from typing import Any

from bench import tools
from bench.processes import wait_until
from bench.result import Result, Scenario, Side, Slices
from bench.server import Server, running

SLICES = 2


def fill(server: Server, topic: str, count: int, size: int = 200) -> None:
    """Publish ``count`` messages to ``topic`` and wait until its channel has them."""
    server.create(topic, "ch")
    tools.load("publish", server=server.tcp, topic=topic, count=count, size=size, connections=4)
    server.settle(topic, count)


def drain(server: Server, topic: str, count: int, **flags: object) -> dict[str, Any]:
    """Consume ``count`` messages of ``topic``."""
    return tools.load("consume", server=server.tcp, topic=topic, channel="ch", count=count, **flags)


def check_drained(
    server: Server, result: Result, topic: str, count: int, done: dict[str, Any]
) -> None:
    """All came, none twice, none is left."""
    result.check(done["unique"] == count, f"{done['unique']} different messages of {count}")
    result.check(done["count"] == done["unique"], f"{done['count'] - done['unique']} came twice")

    def empty() -> bool:
        channel = server.topic(topic)["channels"]["ch"]
        return bool(channel["depth"] == channel["in_flight_count"] == 0)

    wait_until(empty, f"{topic} is empty after the drain", timeout=5)


def consume(
    side: Side,
    result: Result,
    *,
    count: int,
    size: int = 200,
    connections: int = 2,
    ready: int = 2500,
    disk: bool = False,
) -> Slices:
    """Drain queues filled before, one per slice."""
    flags = [] if disk else [f"--mem-queue-size={side.memory_limit}"]
    count = side.count(count) // SLICES
    taking = cpu = tool = 0.0
    shares = []
    with running(side.bin_dir, "nsqd", *flags) as server:
        for n in range(SLICES):
            fill(server, f"bench{n}", count, size)
        for n in range(SLICES):
            yield
            before = server.cpu()
            done = drain(server, f"bench{n}", count, connections=connections, ready=ready)
            check_drained(server, result, f"bench{n}", count, done)
            cpu += server.cpu() - before
            tool += done["cpu"]
            taking += 0.98 * count / max(done["rate"], 1e-9)
            shares.append(done["fairness"])
        total = SLICES * count
        result.high("consumed", 0.98 * total / taking, "msg/s")
        result.low("server CPU", cpu / total * 1e6, "s/Mmsg")
        result.put("client CPU", tool / total * 1e6, "s/Mmsg")
        result.low("peak memory", server.peak_rss() / 1e6, "MB")
        if connections > 2:
            result.high("fewest/most per consumer", min(shares), "")


def both(side: Side, result: Result, *, count: int, disk: bool) -> Slices:
    """Publish in batches of 200 and consume at the same time."""
    flags = [] if disk else [f"--mem-queue-size={side.memory_limit}"]
    count = side.count(count) // SLICES
    into = out = cpu = 0.0
    with running(side.bin_dir, "nsqd", *flags) as server:
        for n in range(SLICES):
            server.create(f"bench{n}", "ch")
        for n in range(SLICES):
            yield
            before = server.cpu()
            where: dict[str, object] = {"server": server.tcp, "topic": f"bench{n}", "count": count}
            with tools.start("consume", channel="ch", **where) as consumer:
                wait_until(partial(subscribed, server, f"bench{n}"), "consumers subscribe")
                published = tools.load("publish", **where)
                done = consumer.result()
            check_drained(server, result, f"bench{n}", count, done)
            cpu += server.cpu() - before
            into += published["seconds"]
            out += 0.98 * count / done["rate_from_first"]
        total = SLICES * count
        result.high("in", total / into, "msg/s")
        result.high("out", 0.98 * total / out, "msg/s")
        result.low("server CPU", cpu / total * 1e6, "s/Mmsg")
        result.low("peak memory", server.peak_rss() / 1e6, "MB")


def subscribed(server: Server, topic: str) -> bool:
    """Whether both consumers are there."""
    return bool(server.topic(topic)["channels"]["ch"]["client_count"] == 2)


SCENARIOS = [
    Scenario("sub/200B/c2/memory", partial(consume, count=800_000), quick=True),
    Scenario("sub/200B/c2/disk", partial(consume, count=600_000, disk=True), quick=True),
    Scenario("sub/1K/c2/disk", partial(consume, count=300_000, size=1024, disk=True)),
    Scenario(
        "sub/200B/c1/rdy1", partial(consume, count=20_000, connections=1, ready=1), quick=True
    ),
    Scenario("sub/200B/c50/memory", partial(consume, count=400_000, connections=50, ready=100)),
    Scenario("both/b200/memory", partial(both, count=800_000, disk=False), quick=True),
    Scenario("both/b200/disk", partial(both, count=600_000, disk=True)),
]
