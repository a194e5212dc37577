"""Looking at 100 of a million queued messages, while somebody publishes in batches.

``list`` is one page of `/message/list`, asked for again and again. ``/ping`` is another client's,
every few milliseconds: how long it waits is how long the server did nothing else. ``alone`` is the
same before anybody looks, so that the publisher's share is known.
"""

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from bench import tools
from bench.processes import Broken, pause
from bench.result import Result, Scenario, Side, Slices
from bench.scenarios.consume import fill
from bench.server import Server, running

QUEUED = 1_000_000
PAGE = "/message/list?topic=bench&channel=ch&limit=100"
EVERY = 0.005  # seconds between two pings

Beside = Callable[[threading.Event], None]


def browse(side: Side, result: Result, *, durability: str) -> Slices:
    """List the first page, again and again, while messages are published."""
    count = side.count(QUEUED)
    flags = [f"--mem-queue-size={side.memory_limit}", f"--durability={durability}"]
    with running(side.bin_dir, "nsqd", *flags) as server:
        fill(server, "bench", count)
        yield
        seconds = max(1.0, side.seconds(2.0))
        where: dict[str, object] = {"server": server.tcp, "topic": "bench", "connections": 1}
        with tools.start("publish", seconds=2 * seconds + 1, **where) as publisher:
            alone = pings(server, seconds)
            listed: list[float] = []
            during = pings(server, seconds, partial(list_pages, server, PAGE, listed))
            published = publisher.result()
        for name, taken in (("list", listed), ("/ping", during), ("/ping alone", alone)):
            tell(result, name, taken)
        result.put("published beside it", published["rate"], "msg/s")
        result.check(len(listed) > 1, "pages were listed")


def tell(result: Result, name: str, taken: Sequence[float]) -> None:
    """The median, the 99th percentile and the worst of ``taken``, in ms."""
    ordered = sorted(taken)
    for what, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0)):
        at = min(int(share * len(ordered)), len(ordered) - 1)
        result.low(f"{name} {what}", ordered[at] * 1e3, "ms")


def pings(server: Server, seconds: float, beside: Beside | None = None) -> list[float]:
    """How long each ``/ping`` took, for ``seconds``, while ``beside`` runs in a thread."""
    stop = threading.Event()
    other = threading.Thread(target=beside, args=(stop,)) if beside is not None else None
    if other is not None:
        other.start()
    connection = http.client.HTTPConnection(server.web, timeout=30)
    end, taken = time.monotonic() + seconds, list[float]()
    try:
        while time.monotonic() < end:
            taken.append(ask(connection, "/ping"))
            pause(EVERY)
    finally:
        stop.set()
        connection.close()
        if other is not None:
            other.join()
    return taken


def list_pages(server: Server, path: str, taken: list[float], stop: threading.Event) -> None:
    """List until ``stop``; how long each took goes to ``taken``."""
    connection = http.client.HTTPConnection(server.web, timeout=30)
    try:
        while not stop.is_set():
            taken.append(ask(connection, path))
            pause(EVERY)
    finally:
        connection.close()


def ask(connection: http.client.HTTPConnection, path: str) -> float:
    """Seconds until the answer was there; anything but 200 is Broken."""
    started = time.monotonic()
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise Broken(f"GET {path}: {answer.status} {content[:80]!r}")
    return time.monotonic() - started


SCENARIOS = [
    Scenario(f"browse/100-of-1M/{kind}", partial(browse, durability=kind))
    for kind in ("none", "os", "always")
]
