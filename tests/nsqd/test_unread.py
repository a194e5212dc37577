"""A peer that does not read is let go in bounded time, whatever form its connection has."""

import contextlib
import random
import socket
from typing import Any

import pytest
import trio
from tests.nsqd.sites import MIB, Site, certificate, encrypted, site, sized, socket_of, upgraded

__all__ = ["certificate", "site"]  # fixtures

FORMS = ["plain", "tls", "deflate", "snappy", "tls snappy"]
BIG = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def longest() -> float:
    """Longer than the longest patience; the clock is a test's own."""
    return 1000


async def gone(site: Site) -> float:
    """The seconds, on the clock of the test, until no connection is left."""
    began = trio.current_time()
    for _ in range(3000):
        if not site.reactor.connections:
            break
        await trio.sleep(0.1)
    assert not site.reactor.connections
    return trio.current_time() - began


def noise(size: int, seed: int) -> bytes:
    """Bytes that cannot be compressed."""
    return random.Random(seed).randbytes(size)


async def served(site: Site) -> None:
    """Return once what other clients have sent is acted on."""
    other = await site.connect("http")
    await other.send_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    await other.receive_some(1000)
    await trio.aclose_forcefully(other)


async def keep_sending(stream: Any, data: bytes) -> None:
    """Send ``data`` over and over, and read nothing, until the connection ends."""
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(data)


async def sip(stream: Any) -> None:
    """Read a byte a second until the connection ends."""
    with contextlib.suppress(OSError):
        while socket_of(stream).fileno() >= 0:
            if await socket_of(stream).recv(1) == b"":
                return
            await trio.sleep(1)


async def answer_heartbeats(stream: Any) -> None:
    """Say NOP twice a second until the connection ends."""
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(b"NOP\n")
            await trio.sleep(0.5)


async def http(site: Site, form: str, room: int = 16 * 1024) -> Any:
    """A client of the HTTP API, whose kernel has as much ``room`` for answers."""
    stream = await site.connect(form)
    if room:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    return await encrypted(site, stream) if form == "https" else stream


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("who", ["silent", "says NOP", "says NOP and sips"])
async def test_a_consumer_that_stops_reading_is_disconnected(
    site, nursery, form, who, autojump_clock
):
    stream = await upgraded(site, form, heartbeat_interval=1000)
    await stream.send_all(b"SUB t c#ephemeral\nRDY 100\n")
    await served(site)
    site.world.publish("t", *[noise(90_000, number) for number in range(100)])
    if "NOP" in who:
        nursery.start_soon(answer_heartbeats, stream)
    if "sips" in who:
        nursery.start_soon(sip, stream)
    assert await gone(site) < 10
    assert "c#ephemeral" not in site.world.broker.topics["t"].channels


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("interval", [1000, -1])
async def test_a_publisher_that_reads_no_answers_is_disconnected(
    site, nursery, form, interval, autojump_clock
):
    stream = await upgraded(site, form, heartbeat_interval=interval)
    socket_of(stream).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for connection in site.reactor.handlers:
        connection.outbox.add(noise(8 * MIB, 1))  # as many answers
    nursery.start_soon(keep_sending, stream, b"PUB t\n" + sized(bytes(100)))
    assert await gone(site) < (10 if interval > 0 else 150)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["http", "https"])
@pytest.mark.parametrize("reads", ["nothing", "a byte a second"])
async def test_a_client_that_asks_on_without_reading_is_disconnected(
    site, nursery, form, reads, autojump_clock
):
    stream = await http(site, form)
    nursery.start_soon(keep_sending, stream, BIG * 10)
    if reads != "nothing":
        nursery.start_soon(sip, stream)
    await served(site)
    assert 50 < await gone(site) < 130


@pytest.mark.slow
@pytest.mark.parametrize("form", ["http", "https"])
async def test_a_client_that_reads_slowly_gets_everything(site, form, autojump_clock):
    stream = await http(site, form, room=0)
    await stream.send_all(BIG * 9)
    found = 0
    for until in range(MIB // 4, 9 * MIB + 1, MIB // 4):
        while found < until:
            chunk = await stream.receive_some(16 * 1024)
            assert chunk
            found += len(chunk)
        await trio.sleep(20)
    await trio.aclose_forcefully(stream)
    await gone(site)
