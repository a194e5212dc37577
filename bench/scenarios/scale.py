"""Many of something: messages in memory, idle consumers, topics; and starting and stopping."""

import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from bench import tools
from bench.processes import pause, wait_until
from bench.result import Result, Scenario, Side, Slices
from bench.scenarios.consume import check_drained, drain, fill
from bench.server import Server, running


def startup(side: Side, result: Result) -> Slices:
    """Start an empty nsqd and stop it."""
    boots, stops, sizes = [], [], []
    for _ in range(3):
        yield
        with running(side.bin_dir, "nsqd") as server:
            boots.append(server.boot)
            server.quiet()
            sizes.append(server.rss())
            stops.append(server.stop())
    result.low("start until /ping", statistics.median(boots), "s")
    result.low("stop", statistics.median(stops), "s")
    result.low("memory", statistics.median(sizes) / 1e6, "MB")


def million(side: Side, result: Result) -> Slices:
    """Memory of a million queued messages, and what is given back after they are consumed."""
    count = side.count(1_000_000)
    with running(side.bin_dir, "nsqd", f"--mem-queue-size={side.memory_limit}") as server:
        server.create("bench", "ch")
        empty = server.rss()
        yield
        fill(server, "bench", count)
        full = server.rss()
        on_disk = server.topic("bench")["channels"]["ch"]["backend_depth"]
        result.check(on_disk == 0, "everything is in memory")
        # bytes a message are megabytes a million
        result.low("per million messages", (full - empty) / count, "MB")
        result.low("peak per million", (server.peak_rss() - empty) / count, "MB")
        done = drain(server, "bench", count)
        check_drained(server, result, "bench", count, done)
        server.quiet()
        result.low("after the drain", server.rss() / 1e6, "MB")


def crowd(side: Side, result: Result, *, connections: int) -> Slices:
    """Idle consumers whose heartbeat comes every second."""
    with running(side.bin_dir, "nsqd") as server:
        server.create("bench", "ch")
        empty = server.rss()
        yield
        where: dict[str, object] = {"server": server.tcp, "topic": "bench", "channel": "ch"}
        with tools.start("idle", connections=connections, **where) as tool:
            connected = tool.ready()
            pause(1.0)  # the first round of heartbeats is over
            before, seconds = server.cpu(), max(3.0, side.seconds(4.0))
            pause(seconds)
            cpu = server.cpu() - before
            full = server.rss()
            clients = server.topic("bench")["channels"]["ch"]["client_count"]
            tool.stop()
            done = tool.result()
        result.check(clients == connections, f"{clients} of {connections} consumers are there")
        result.check(done["silent"] == 0, f"{done['silent']} consumers got no heartbeat")
        wait_until(
            lambda: server.topic("bench")["channels"]["ch"]["client_count"] == 0,
            "consumers that left are gone",
        )
        result.high("connect + SUB", connected["rate"], "conn/s")
        result.low("memory", full / 1e6, "MB")
        result.low("memory per consumer", (full - empty) / connections / 1e3, "kB")
        result.low("CPU, 1 s heartbeats", cpu / seconds * 100, "% of a core")


def dialling(side: Side, result: Result, *, connections: int) -> Slices:
    """Consumers that come and go, several at a time."""
    count, spent, cpu = 0, 0.0, 0.0
    with running(side.bin_dir, "nsqd") as server:
        server.create("bench", "ch")
        for _ in range(3):
            yield
            before, seconds = server.cpu(), side.seconds(1.0)
            where: dict[str, object] = {"server": server.tcp, "topic": "bench", "channel": "ch"}
            done = tools.load("dial", connections=connections, seconds=seconds, **where)
            wait_until(
                lambda: server.topic("bench")["channels"]["ch"]["client_count"] == 0,
                "consumers that left are gone",
            )
            cpu += server.cpu() - before
            count += done["count"]
            spent += done["seconds"]
    result.high("connect + SUB + close", count / spent, "conn/s")
    result.low("server CPU", cpu / count * 1e6, "us/conn")


def topics(side: Side, result: Result) -> Slices:
    """Create topics over HTTP, stop, start again with them."""
    count = side.count(2000)
    with tempfile.TemporaryDirectory(prefix="nsq-bench-topics-") as home:
        with running(side.bin_dir, "nsqd", data=Path(home)) as server:
            empty = server.rss()
            yield
            started = time.monotonic()
            for number in range(count):
                server.request("POST", f"/topic/create?topic=topic_{number:05}")
            seconds = time.monotonic() - started
            result.high("create", count / seconds, "topic/s")
            result.low("create, until idle", seconds + server.quiet(), "s")
            result.low("memory per topic", (server.rss() - empty) / count / 1e3, "kB")
            result.low("stop", server.stop(), "s")
        yield
        with running(side.bin_dir, "nsqd", data=Path(home)) as server:
            found = json.loads(server.request("GET", "/stats?format=json"))["topics"]
            result.check(len(found) == count, f"{len(found)} of {count} topics after the restart")
            result.low("start until /ping", server.boot, "s")


def restart(side: Side, result: Result) -> Slices:
    """Stop with 100 000 messages in memory, start again, consume them."""
    count = side.count(100_000)
    flag = f"--mem-queue-size={side.memory_limit}"
    with tempfile.TemporaryDirectory(prefix="nsq-bench-restart-") as home:
        with running(side.bin_dir, "nsqd", flag, data=Path(home)) as server:
            fill(server, "bench", count)
            yield
            result.low("stop", server.stop(), "s")
        yield
        with running(side.bin_dir, "nsqd", flag, data=Path(home)) as server:
            result.low("start until /ping", server.boot, "s")
            done = drain(server, "bench", count)
            check_drained(server, result, "bench", count, done)
            result.high("drain", done["rate"], "msg/s")


def big_lookup(side: Side, result: Result) -> Slices:
    """nsqlookupd with very many registrations: one producer more, and /lookup at 200 a second."""
    topics = side.count(20_000)
    with running(side.bin_dir, "nsqlookupd") as server:
        crowd_of = {"server": server.tcp, "topic": "t", "channels": 2, "seconds": 600}
        with tools.start("register", topics=topics, producers=50, **crowd_of) as producers:
            registered = producers.ready()
            yield
            one = {"topics": 2000, "producers": 1, "first": 50}
            with tools.start("register", **crowd_of, **one) as late:
                result.low("one more producer, 2000 topics", late.ready()["seconds"], "s")
                times = paced_lookups(server, topics, 1000)
            result.low("/lookup p50", times[len(times) // 2], "ms")
            result.low("/lookup p99", times[int(0.99 * len(times))], "ms")
            result.high("register", registered["rate"], "reg/s")
            result.low("memory", server.rss() / 1e6, "MB")


def paced_lookups(server: Server, topics: int, count: int) -> list[float]:
    """How long ``count`` lookups took, 200 a second; milliseconds in ascending order."""
    times = []
    begin = time.monotonic()
    for number in range(count):
        pause(max(0.0, begin + number / 200 - time.monotonic()))
        started = time.monotonic()
        server.request("GET", f"/lookup?topic=t_{number * 7 % topics}")
        times.append((time.monotonic() - started) * 1e3)
    return sorted(times)


SCENARIOS = [
    Scenario("scale/start", startup, quick=True),
    Scenario("scale/memory1M", million, quick=True),
    Scenario("scale/connect", partial(dialling, connections=8), quick=True),
    Scenario("scale/idle1000", partial(crowd, connections=1000), quick=True),
    Scenario("scale/idle5000", partial(crowd, connections=5000)),
    Scenario("scale/lookup20000x50", big_lookup),
    Scenario("scale/topics2000", topics, quick=True),
    Scenario("scale/restart100k", restart, quick=True),
]
