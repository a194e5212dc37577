import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType

import pytest
import trio
from tests.fakes.fake_http import fake_server

from nsqd.lookup.channels import open_client


async def answer(body: bytes, stream: trio.SocketStream) -> None:
    async with stream:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += await stream.receive_some()
        assert request.startswith(b"GET /channels?topic=some.topic HTTP/1.1")
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
def lookupd(nursery):
    async def start(body: bytes) -> str:
        serve = partial(trio.serve_tcp, partial(answer, body), 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        return f"127.0.0.1:{listener.socket.getsockname()[1]}"

    return start


@pytest.mark.slow
async def test_channels_of_all_that_answer_are_united(lookupd):
    one = await lookupd(json.dumps({"channels": ["a", "b"]}).encode())
    other = await lookupd(json.dumps({"channels": ["b", "c"]}).encode())
    client = open_client(60.0, 60.0)
    names, failures = await client.ask("some.topic", [one, other, "127.0.0.1:1"])
    await client.close()

    assert names == ["a", "b", "c"]
    assert len(failures) == 1
    assert "127.0.0.1:1" in failures[0]


@pytest.mark.slow
async def test_nobody_answering_is_no_channels_and_a_failure_each(lookupd):
    broken = await lookupd(b"no json")
    client = open_client(60.0, 60.0)
    names, failures = await client.ask("some.topic", [broken, "127.0.0.1:1"])
    await client.close()

    assert names == []
    assert len(failures) == 2


@pytest.mark.parametrize(
    "body",
    [
        rb'{"channels": ["\ud800", "a b", "", 5, null, {}, ["a"], "%s"]}' % (b"x" * 65),
        b'{"channels": "abc"}',
        b'{"channels": {"a": 1}}',
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b"9" * 5000,
        b"\xff\xfe",
    ],
)
async def test_an_odd_answer_hides_no_channel_of_another_and_ends_nothing(lookupd, body):
    """Strange names in an answer ended nsqd."""
    odd, good = await lookupd(body), await lookupd(b'{"channels": ["a"]}')
    client = open_client(60.0, 60.0)
    names, _ = await client.ask("some.topic", [odd, good])
    await client.close()
    assert names == ["a"]


# Calls of Python functions for one question: 1800 today. A new HTTP client for each, or TLS
# settings, are tens of thousands.
MOST_CALLS = 3000


async def calls(run: Callable[[], Awaitable[object]]) -> int:
    """How many Python functions are called until ``run()`` is done, by everybody."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await run()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.slow
async def test_a_new_topic_costs_little_however_many_came_before():
    async with fake_server(lambda _asked: (200, {"channels": ["c"]})) as lookupd:
        client = open_client(60.0, 60.0)
        await client.ask("first", [lookupd.address])
        work = []
        for number in range(60):
            question = partial(client.ask, f"t{number}", [lookupd.address])
            work.append(await calls(question))
        await client.close()

    assert max(work) < MOST_CALLS
    assert sum(work[-20:]) < 1.2 * sum(work[:20])
    assert lookupd.connections == 1
