"""Nothing that a peer sends holds up the others, whatever form its connection has.

Each connection is fed what is the most work for its bytes, by one that expands most where there is
anything to expand; meanwhile another client's /ping is answered, and no round of the reactor takes
longer than `LONGEST`. Rounds are measured in the processor's time, so that a busy machine does not
matter.
"""

import contextlib
import json
import socket
import struct
from typing import Any

import pytest
import trio
from tests.nsqd.sites import MIB, Site, certificate, encrypted, longest, site, sized, upgraded

__all__ = ["certificate", "longest", "site"]  # fixtures

# Seconds of the processor for one round. What is asked for is that a ping is answered in 50 ms.
LONGEST = 0.05


COMMANDS = {
    "NOP": b"NOP\n",
    "FIN that fails": b"FIN 0123456789abcdef\n",
    "TOUCH that fails": b"TOUCH 0123456789abcdef\n",
    "REQ that fails": b"REQ 0123456789abcdef 0\n",
    "RDY": b"RDY 1\n",
    "PUB": b"PUB t\n" + sized(b"x"),
    "PUB to many": b"".join(b"PUB t%d\n" % number + sized(b"x") for number in range(50)),
    "MPUB": b"MPUB t\n" + sized(struct.pack(">i", 1) + sized(b"x")),
    "MPUB of many": b"MPUB t\n" + sized(struct.pack(">i", 20_000) + sized(b"x") * 20_000),
    "DPUB": b"DPUB t 1000\n" + sized(b"x"),
}
REQUESTS = {
    "ping": b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n",
    "upgrade": b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "not found": b"GET /%41/../x HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare lines": b"GET /ping HTTP/1.1\nHost: x\n\n",
    "headers": b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    "chunks": b"POST /pub HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 50_000
    + b"0\r\n\r\n",
}
REGISTRATIONS = {
    "PING": b"PING\n",
    "REGISTER": b"REGISTER t c\n",
    "REGISTER of many": b"".join(b"REGISTER t%d c\n" % number for number in range(2000)),
    "UNREGISTER": b"UNREGISTER t c\n",
}


pytestmark = pytest.mark.usefixtures("tuned_collector")


async def to_the_end(stream: Any) -> None:
    """Read and forget what comes."""
    try:
        while await stream.receive_some(65536):
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def attack(site: Site, stream: Any, data: bytes) -> None:
    """Send ``data`` while another client asks for a ping again and again.

    Every ping is answered, and no round takes long.
    """
    other = await site.connect("http")
    pings = 0
    site.rounds.clear()
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def send() -> None:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(data)
            # what is sent is not taken yet
            done.set()

        nursery.start_soon(to_the_end, stream)
        nursery.start_soon(send)
        while pings < 10 or not done.is_set():
            await other.send_all(REQUESTS["ping"])
            answer = b""
            while not answer.endswith(b"OK"):
                answer += await other.receive_some(1000)
            pings += 1
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(other)
    await trio.aclose_forcefully(stream)
    assert max(site.rounds) < LONGEST


def repeated(data: bytes, size: int) -> bytes:
    return data * max(size // len(data), 1)


FORMS = ["plain", "tls", "deflate", "snappy", "tls snappy"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", COMMANDS)
async def test_no_commands_hold_up_the_others(site, form, command):
    stream = await upgraded(site, form)
    size = MIB // 4 if form in ("plain", "tls") else MIB
    await attack(site, stream, b"SUB s c\n" + repeated(COMMANDS[command], size))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "tls snappy"])
async def test_commands_that_cost_little_do_not_open_the_way_for_others(site, form):
    stream = await upgraded(site, form)
    cheap = COMMANDS["MPUB of many"] * 2
    await attack(site, stream, b"SUB s c\n" + (cheap + COMMANDS["FIN that fails"] * 5000) * 4)


def snappy_chunk(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<I", len(data))[:3] + data


# What a codec has to go through though little or nothing comes of it.
HOLLOW = {
    "snappy identifiers": (b"\xff\x06\x00\x00sNaPpY", b"\xff\x06\x00\x00sNaPpY"),
    "snappy empty chunks": (b"\xff\x06\x00\x00sNaPpY", snappy_chunk(1, bytes(4))),
    "snappy small skippable": (b"\xff\x06\x00\x00sNaPpY", snappy_chunk(0xFE, b"")),
    "snappy large skippable": (b"\xff\x06\x00\x00sNaPpY", snappy_chunk(0x80, bytes(2**24 - 1))),
    "deflate empty blocks": (b"", b"\x00\x00\x00\xff\xff"),
}


@pytest.mark.slow
@pytest.mark.parametrize("tls", ["", "tls "])
@pytest.mark.parametrize("kind", HOLLOW)
async def test_no_hollow_compression_holds_up_the_others(site, kind, tls):
    packed = await upgraded(site, tls + kind.split()[0])
    first, again = HOLLOW[kind]
    await attack(site, packed.stream, first + again[: 2 * MIB] * max(1, 2 * MIB // len(again)))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["http", "https"])
@pytest.mark.parametrize("request_", REQUESTS)
async def test_no_requests_hold_up_the_others(site, form, request_):
    stream: Any = await site.connect(form)
    if form == "https":
        stream = await encrypted(site, stream)
    await attack(site, stream, repeated(REQUESTS[request_], MIB // 2))


NEWCOMERS = {
    "PUB": lambda n: b"PUB p%d\n" % n + sized(b"x"),
    "MPUB": lambda n: b"MPUB m%d\n" % n + sized(struct.pack(">i", 1) + sized(b"x")),
    "DPUB": lambda n: b"DPUB d%d 1000\n" % n + sized(b"x"),
    "XPUB": lambda n: b"XPUB x%d 0\n" % n + sized(struct.pack(">i", 0) + b"x"),
}


@pytest.mark.parametrize("command", NEWCOMERS)
async def test_topics_that_come_by_the_thousand_do_not_hold_up_the_others(site, command):
    stream = await upgraded(site, "plain")
    await attack(site, stream, b"".join(map(NEWCOMERS[command], range(2000))))


@pytest.mark.parametrize("path", ["topic/create?topic", "topic/delete?topic", "pub?topic"])
async def test_requests_that_change_much_do_not_hold_up_the_others(site, path):
    form = f"POST /{path}=t%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    stream = await site.connect("http")
    await attack(site, stream, "".join(form % number for number in range(2000)).encode())


@pytest.mark.slow
@pytest.mark.parametrize("command", REGISTRATIONS)
async def test_no_registrations_hold_up_the_others(site, command):
    stream = await site.connect("lookup")
    who = {"broadcast_address": "h", "hostname": "h", "tcp_port": 1, "http_port": 2, "version": "1"}
    first = b"  V1IDENTIFY\n" + sized(json.dumps(who).encode())
    await attack(site, stream, first + repeated(REGISTRATIONS[command], MIB))


@pytest.mark.slow
async def test_many_who_send_much_do_not_hold_up_another(site):
    streams = [await site.connect("tcp") for _ in range(60)]
    for stream in streams:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        await stream.send_all(b"  V2" + b"NOP\n" * 15_000)
    await attack(site, streams.pop(), b"NOP\n")
    for stream in streams:
        await trio.aclose_forcefully(stream)
