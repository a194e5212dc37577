"""A peer that does not read is let go in bounded time, whatever form its connection has."""

import random

import pytest
import trio
from tests.nsqd.sites import Site, certificate, site, upgraded

__all__ = ["certificate", "site"]  # fixtures

FORMS = ["plain", "tls", "deflate", "snappy", "tls snappy"]


async def gone(site: Site) -> float:
    """The seconds, on the clock of the test, until no connection is left."""
    began = trio.current_time()
    for _ in range(700):
        if not site.reactor.connections:
            break
        await trio.sleep(0.1)
    assert not site.reactor.connections
    return trio.current_time() - began


@pytest.mark.parametrize("form", FORMS)
async def test_a_consumer_that_stops_reading_is_disconnected(site, form, autojump_clock):
    stream = await upgraded(site, form, heartbeat_interval=1000)
    await stream.send_all(b"SUB t c#ephemeral\nRDY 100\n")
    other = await site.connect("http")
    await other.send_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    await other.receive_some(1000)
    await trio.aclose_forcefully(other)
    site.world.publish("t", *[noise(90_000, number) for number in range(100)])
    assert await gone(site) < 10
    assert "c#ephemeral" not in site.world.broker.topics["t"].channels


def noise(size: int, seed: int) -> bytes:
    """Bytes that cannot be compressed."""
    return random.Random(seed).randbytes(size)
