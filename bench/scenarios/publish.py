"""Publishing: batch size, connections, channels, memory or disk.

`acknowledged` counts until the last OK; `in every channel` until the last message can be
consumed from each channel, which is what a disk queue makes slow.
"""

import time
from functools import partial

from bench import tools
from bench.result import Result, Run, Scenario, Side, Slices
from bench.server import Server, running

SLICES = 3
IN_MEMORY_BY_DEFAULT = 10_000  # the default --mem-queue-size
SIZES = {"200B": 200, "1K": 1024, "10K": 10240}


def publish(
    side: Side,
    result: Result,
    *,
    batch: int,
    size: int,
    connections: int,
    channels: int,
    disk: bool,
) -> Slices:
    """Publish for a while in slices; every message must reach every channel."""
    flags = [] if disk else [f"--mem-queue-size={side.memory_limit}"]
    names = [f"ch{n}" for n in range(channels)]
    total = 0
    publishing = settling = cpu = tool = 0.0
    with running(side.bin_dir, "nsqd", *flags) as server:
        server.create("bench", *names)
        for _ in range(SLICES):
            yield
            before = server.cpu()
            done = tools.load(
                "publish",
                server=server.tcp,
                topic="bench",
                batch=batch,
                size=size,
                connections=connections,
                seconds=side.seconds(1.0 if size < 10240 else 0.6) / SLICES,
            )
            started = time.monotonic()
            total += done["count"]
            server.settle("bench", total)
            settling += time.monotonic() - started
            publishing += done["seconds"]
            tool += done["cpu"]
            cpu += server.cpu() - before
        check(server, result, total=total, size=size, disk=disk)
        result.high("acknowledged", total / publishing, "msg/s")
        result.high("in every channel", total / (publishing + settling), "msg/s")
        result.low("server CPU", cpu / total * 1e6, "s/Mmsg")
        result.put("client CPU", tool / total * 1e6, "s/Mmsg")
        result.low("peak memory", server.peak_rss() / 1e6, "MB")


def check(server: Server, result: Result, *, total: int, size: int, disk: bool) -> None:
    """What was acknowledged is where it should be."""
    stats = server.topic("bench")
    result.check(stats["message_count"] == total, f"topic counts all {total} messages")
    result.check(stats["message_bytes"] == total * size, "topic counts all bytes")
    for name, channel in stats["channels"].items():
        result.check(channel["depth"] == total, f"{name} holds {total}, not {channel['depth']}")
        on_disk = channel["backend_depth"]
        if not disk:
            result.check(on_disk == 0, f"{name} keeps everything in memory")
        elif total > 2 * IN_MEMORY_BY_DEFAULT:
            result.check(
                on_disk >= total - IN_MEMORY_BY_DEFAULT - 2500, f"{name} overflows to disk"
            )


def scenario(batch: int, size: str, connections: int, channels: int, place: str) -> Scenario:
    """One combination, named by its parts."""
    run: Run = partial(
        publish,
        batch=batch,
        size=SIZES[size],
        connections=connections,
        channels=channels,
        disk=place == "disk",
    )
    name = f"pub/b{batch}/{size}/c{connections}/ch{channels}/{place}"
    return Scenario(name, run, quick=name in QUICK)


QUICK = {
    "pub/b1/200B/c2/ch1/memory",
    "pub/b1/200B/c32/ch1/memory",
    "pub/b10/200B/c2/ch1/memory",
    "pub/b200/200B/c2/ch1/memory",
    "pub/b200/200B/c2/ch1/disk",
    "pub/b200/200B/c2/ch5/disk",
}

# The rows of docs/performance.md: singles, small batches, large batches, large messages.
SCENARIOS = [
    scenario(1, "200B", 2, 1, "memory"),
    scenario(1, "200B", 32, 1, "memory"),
    scenario(1, "200B", 2, 1, "disk"),
    scenario(10, "200B", 2, 1, "memory"),
    scenario(10, "200B", 32, 1, "memory"),
    scenario(10, "200B", 2, 1, "disk"),
    scenario(200, "200B", 2, 1, "memory"),
    scenario(200, "200B", 32, 1, "memory"),
    scenario(200, "200B", 2, 5, "memory"),
    scenario(200, "200B", 2, 1, "disk"),
    scenario(200, "200B", 2, 5, "disk"),
    scenario(100, "1K", 2, 1, "memory"),
    scenario(100, "1K", 2, 1, "disk"),
    scenario(100, "10K", 2, 1, "memory"),
    scenario(100, "10K", 2, 1, "disk"),
]
