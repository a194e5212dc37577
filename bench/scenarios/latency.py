"""Latency from publishing to receiving at a steady rate, with nothing else going on."""

import math
import statistics
import time
from functools import partial

from bench import tools
from bench.processes import pause
from bench.result import Result, Scenario, Side, Slices
from bench.server import running


def latency(
    side: Side, result: Result, *, rate: int, ready: int = 100, buffered: bool = True
) -> Slices:
    """Publish ``rate`` messages a second, one by one; none may be lost or come twice."""
    with running(side.bin_dir, "nsqd") as server:
        server.create("bench", "ch")
        yield
        before = server.cpu()
        seconds = max(2.0, side.seconds(4.0))
        done = tools.load(
            "latency",
            server=server.tcp,
            topic="bench",
            channel="ch",
            rate=rate,
            seconds=seconds,
            ready=ready,
            buffered=buffered,
        )
        result.check(done["lost"] == 0, f"{done['lost']} messages lost")
        result.check(done["twice"] == 0, f"{done['twice']} messages came twice")
        result.check(not math.isnan(done["p50"]), "messages came")
        for name in ("p50", "p99"):
            result.low(name, done[name], "ms")
        result.put("worst", done["max"], "ms")
        result.low("OK after, p50", done["ack_p50"], "ms")
        result.low("OK after, p99", done["ack_p99"], "ms")
        cpu = server.cpu() - before
        result.low("server CPU", cpu / done["seconds"] * 100, "% of a core")
        result.put("sent", done["sent"] / done["seconds"], "msg/s")
        result.put("sender late at most", done["sender_late_max"], "ms")


def beside_publisher(side: Side, result: Result) -> Slices:
    """Latency at 100 messages a second while another client publishes all it can."""
    with running(side.bin_dir, "nsqd", f"--mem-queue-size={side.memory_limit}") as server:
        server.create("bench", "ch")
        server.create("noise", "ch")
        yield
        seconds = max(2.0, side.seconds(3.0))
        where = {"server": server.tcp, "topic": "bench", "channel": "ch", "buffered": False}
        with tools.start(
            "publish", server=server.tcp, topic="noise", seconds=seconds + 1.5
        ) as publisher:
            done = tools.load("latency", rate=100, seconds=seconds, **where)
            noise = publisher.result()
        result.check(done["lost"] == done["twice"] == 0, "no message lost or twice")
        result.low("p50", done["p50"], "ms")
        result.low("p99", done["p99"], "ms")
        result.put("worst", done["max"], "ms")
        result.high("published beside it", noise["rate"], "msg/s")


def beside_stats(side: Side, result: Result, *, topics: int) -> Slices:
    """Latency at 100 messages a second while somebody asks for the statistics of many topics.

    The worst message tells how long the server did nothing else.
    """
    with running(side.bin_dir, "nsqd") as server:
        for n in range(topics):
            server.create(f"topic_{n:04}", "ch_a", "ch_b")
        server.create("bench", "ch")
        server.quiet()
        yield
        where = {"server": server.tcp, "topic": "bench", "channel": "ch", "buffered": False}
        times = []
        with tools.start("latency", rate=100, seconds=side.seconds(5.0), **where) as tool:
            while tool.process.poll() is None:
                started = time.monotonic()
                server.request("GET", "/stats?format=json&include_clients=false")
                times.append((time.monotonic() - started) * 1e3)
                pause(0.1)
            done = tool.result()
        result.check(done["lost"] == done["twice"] == 0, "no message lost or twice")
        result.low("/stats", statistics.median(times), "ms")
        result.low("p50", done["p50"], "ms")
        result.low("p99", done["p99"], "ms")
        result.low("worst", done["max"], "ms")


SCENARIOS = [
    Scenario("latency/100", partial(latency, rate=100), quick=True),
    Scenario("latency/2000", partial(latency, rate=2000), quick=True),
    Scenario("latency/100/unbuffered", partial(latency, rate=100, buffered=False)),
    Scenario("latency/2000/unbuffered", partial(latency, rate=2000, buffered=False)),
    Scenario("latency/100/rdy1", partial(latency, rate=100, ready=1)),
    Scenario("latency/20000", partial(latency, rate=20_000, ready=2500)),
    Scenario("latency/100/beside-publisher", beside_publisher),
    Scenario("latency/100/beside-stats2000x2", partial(beside_stats, topics=2000)),
]
