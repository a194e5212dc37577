"""HTTP: publishing, /ping, /stats of many topics, and nsqlookupd's /lookup."""

import json
import statistics
import time
from collections.abc import Generator
from functools import partial
from typing import Any

from bench import tools
from bench.result import Result, Scenario, Side, Slices
from bench.server import Server, running

SLICES = 2
UNCOUNTED = 16  # requests under way when a slice ends: one per connection


def slices(server: Server, result: Result, path: str, **flags: int) -> Generator[None, None, int]:
    """Ask ``path`` in slices and record the numbers; returns how many requests were answered."""
    cpu = 0.0
    done: list[dict[str, Any]] = []
    for _ in range(SLICES):
        yield
        before = server.cpu()
        done.append(tools.browse(server.web, path, **flags))
        cpu += server.cpu() - before
    requests = sum(int(d["count"]) for d in done)
    result.high("requests", statistics.fmean(d["rate"] for d in done), "req/s")
    for name in ("p50", "p99"):
        result.low(name, statistics.median(d[name] for d in done), "ms")
    result.low("server CPU", cpu / requests * 1e6, "s/Mreq")
    return requests


def publish(side: Side, result: Result, *, path: str, lines: int) -> Slices:
    """POST messages of 200 bytes; every answered request is in the channel."""
    with running(side.bin_dir, "nsqd", f"--mem-queue-size={side.memory_limit}") as server:
        server.create("bench", "ch")
        where = f"{path}?topic=bench"
        requests = yield from slices(server, result, where, size=200, lines=lines)
        counted = server.topic("bench")["message_count"]
        most = (requests + SLICES * UNCOUNTED) * lines
        result.check(
            requests * lines <= counted <= most, f"{counted} messages for {requests} requests"
        )


def ping(side: Side, result: Result) -> Slices:
    """GET /ping."""
    with running(side.bin_dir, "nsqd") as server:
        yield from slices(server, result, "/ping")


def stats(side: Side, result: Result, *, topics: int) -> Slices:
    """/stats?format=json of many topics with two channels each."""
    with running(side.bin_dir, "nsqd") as server:
        for n in range(topics):
            server.create(f"topic_{n:04}", "ch_a", "ch_b")
        server.quiet()
        times, single = [], []
        body = b""
        for _ in range(SLICES):
            yield
            for _ in range(15):
                started = time.monotonic()
                body = server.request("GET", "/stats?format=json")
                times.append(time.monotonic() - started)
            for _ in range(50):
                started = time.monotonic()
                server.request("GET", "/stats?format=json&topic=topic_0500")
                single.append(time.monotonic() - started)
        found = json.loads(body)["topics"]
        complete = len(found) == topics and all(len(t["channels"]) == 2 for t in found)
        result.check(complete, f"/stats shows all {topics} topics")
        result.low("all topics", statistics.median(times) * 1e3, "ms")
        result.low("one topic", statistics.median(single) * 1e3, "ms")
        result.put("answer", len(body) / 1e3, "kB")


def lookup(side: Side, result: Result, *, topics: int) -> Slices:
    """GET /lookup of topics in turn, three producers each."""
    with running(side.bin_dir, "nsqlookupd") as server:
        with tools.start("register", server=server.tcp, topic="t", topics=topics) as producers:
            registered = producers.ready()
            answer = json.loads(server.request("GET", "/lookup?topic=t_17"))
            result.check(len(answer["producers"]) == 3, "/lookup knows all three producers")
            yield from slices(server, result, "/lookup?topic=t_{n}", variants=topics)
            result.high("register", registered["rate"], "reg/s")
            result.low("memory", server.rss() / 1e6, "MB")


SCENARIOS = [
    Scenario("http/pub", partial(publish, path="/pub", lines=1), quick=True),
    Scenario("http/mpub20", partial(publish, path="/mpub", lines=20), quick=True),
    Scenario("http/ping", ping, quick=True),
    Scenario("http/stats1000x2", partial(stats, topics=1000)),
    Scenario("http/lookup1000", partial(lookup, topics=1000)),
]
