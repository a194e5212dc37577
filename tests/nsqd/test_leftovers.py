"""What a connection held goes with it, at once: the collector is switched off.

Connections of every kind end in every way, over and over; afterwards no type has more living
objects than before. A daemon's collector is rare, so what waits for it is as good as kept.
"""

import contextlib
import gc
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from tests.nsqd.sites import (
    Site,
    before_tls,
    certificate,
    encrypted,
    identify,
    longest,
    site,
    sized,
    socket_of,
    upgraded,
)

__all__ = ["certificate", "longest", "site"]  # fixtures

TIMES = 3
OURS = ("nsqcore.", "nsqd.", "nsqlookupd.", "httptools.")

PUB = b"PUB t\n" + sized(b"x")
OPENINGS: dict[str, Callable[[Site], Awaitable[Any]]] = {
    "plain": lambda site: upgraded(site, "plain"),
    "tls": lambda site: upgraded(site, "tls"),
    "deflate": lambda site: upgraded(site, "deflate"),
    "snappy": lambda site: upgraded(site, "snappy"),
    "tls deflate": lambda site: upgraded(site, "tls deflate"),
    "http": lambda site: site.connect("http"),
    "https": lambda site: https(site),
    "lookup": lambda site: site.connect("lookup"),
    "tcp before the magic": lambda site: site.connect("tcp"),
    "https before the handshake": lambda site: site.connect("https"),
    "tls before the handshake": lambda site: before_tls(site),
}
V2 = ("plain", "tls", "deflate", "snappy", "tls deflate")
HTTP = ("http", "https")
SENT = {
    "nothing": (b"", tuple(OPENINGS)),
    "garbage": (b"\xff garbage \x00" * 50 + b"\r\n\r\n", tuple(OPENINGS)),
    "commands": (PUB * 50 + b"SUB t c\nRDY 3\nNOP\n", V2),
    "a bad command": (PUB + b"FOO bar\n", V2),
    "half a PUB": (PUB + b"PUB t\n" + struct.pack(">i", 1000) + b"half", V2),
    "half an MPUB": (
        b"MPUB t\n" + struct.pack(">ii", 5000, 3) + sized(b"x" * 1000) + b"\0\0",
        V2,
    ),
    "a bad MPUB": (b"MPUB t\n" + sized(struct.pack(">i", 2) + sized(b"x") + sized(b"")), V2),
    "a bad IDENTIFY": (identify(feature_negotiation=True, sample_rate=1000), V2),
    "requests": (b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 5, HTTP),
    "half a request": (b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", HTTP),
    "an upgrade": (
        b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        HTTP,
    ),
    "a large body": (b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", HTTP),
    "a registration": (
        b"  V1IDENTIFY\n"
        + sized(
            b'{"broadcast_address":"h","hostname":"h","tcp_port":1,"http_port":2,"version":"1"}'
        )
        + b"REGISTER t c\nPING\n",
        ("lookup",),
    ),
    "a bad registration": (b"  V1REGISTER t c\n", ("lookup",)),
}
ENDS = ("closed", "reset", "closed by us")
CASES = [(kind, sent) for sent, (_, kinds) in SENT.items() for kind in kinds]


async def https(site: Site) -> Any:
    return await encrypted(site, await site.connect("https"))


async def visit(site: Site, kind: str, data: bytes, end: str) -> None:
    """Connect, send ``data``, and end the connection; when it returns the reactor knows."""
    stream = await OPENINGS[kind](site)
    if data:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(data)
    if end == "reset":
        socket_of(stream).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if end == "closed by us":
        # what was sent is read before
        other = await site.connect("http")
        await other.send_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        await other.receive_some(1000)
        await trio.aclose_forcefully(other)
        for connection in list(site.reactor.handlers):
            connection.outbox.close("enough")
        site.reactor.finish_tick()
    socket_of(stream).close()
    for _ in range(10_000):
        if not site.reactor.connections:
            break
        await trio.sleep(0.001)
    assert not site.reactor.connections
    await trio.testing.wait_all_tasks_blocked()
    site.world.ended.clear()


# Timers that were cancelled are swept out of their heap together, by the thousand.
SWEPT = "nsqcore.reactor.timers.Timer"


def living() -> Counter[str]:
    """How many objects there are of each of our types; clients are none of ours."""
    kinds = Counter(type(one) for one in gc.get_objects())
    names = {f"{kind.__module__}.{kind.__qualname__}": count for kind, count in kinds.items()}
    return Counter(
        {name: n for name, n in names.items() if name.startswith(OURS) and name != SWEPT}
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sent"), CASES)
async def test_nothing_of_a_connection_outlives_it(site, kind, sent):
    data = SENT[sent][0]
    for end in ENDS:
        await visit(site, kind, data, end)
    gc.collect()
    gc.disable()
    try:
        before = living()
        for _ in range(TIMES):
            for end in ENDS:
                await visit(site, kind, data, end)
        after = living()
    finally:
        gc.enable()
    more = {name: count - before[name] for name, count in after.items()}
    left = {name: count for name, count in more.items() if count >= TIMES}
    assert not left, left
