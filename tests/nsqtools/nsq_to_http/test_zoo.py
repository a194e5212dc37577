"""A zoo of endpoints: each odd in its own way, and every message must fare as its status says."""

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trustme

from nsqtools.nsq_to_http import client as client_module
from nsqtools.nsq_to_http.client import DeliveryFailed, EndpointClient
from nsqtools.nsq_to_http.pool import MAX_IDLE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
OK_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"


@attrs.define(eq=False)
class Caller:
    """One connection of a client, as an endpoint sees it."""

    stream: Any
    endpoint: "Endpoint"
    _buffer: bytes = b""

    async def head(self) -> bytes:
        """The head of the next request; empty at the end of the stream."""
        while b"\r\n\r\n" not in self._buffer:
            data = await self.stream.receive_some()
            if not data:
                return b""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def body(self, head: bytes) -> bytes:
        """The body that belongs to a head."""
        lines = [line.split(b":", 1) for line in head.split(b"\r\n")[1:]]
        size = int({name.lower(): value for name, value in lines}[b"content-length"])
        while len(self._buffer) < size:
            data = await self.stream.receive_some()
            if not data:
                break
            self._buffer += data
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        self.endpoint.bodies.append(body)
        return body

    async def request(self) -> bytes | None:
        """The body of the next request; None at the end of the stream."""
        head = await self.head()
        return await self.body(head) if head else None

    async def say(self, answer: bytes) -> None:
        """Send ``answer``."""
        await self.stream.send_all(answer)


Behave = Callable[[Caller], Awaitable[None]]


@attrs.define(eq=False)
class Endpoint:
    """An HTTP server in the test's loop: ``behave`` gets each connection; it is closed then."""

    behave: Behave
    workers: int = 1000
    bodies: list[bytes] = attrs.field(factory=list)
    open_count: int = 0
    connections: int = 0
    tls: ssl.SSLContext | None = None
    address: str = ""
    _free: trio.CapacityLimiter = attrs.field(init=False)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Endpoint"]:
        self._free = trio.CapacityLimiter(self.workers)
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1")
            (listener,) = await nursery.start(serve)
            self.address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
            yield self
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.address}/in"

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.open_count += 1
        self.connections += 1
        given: trio.abc.Stream = stream
        if self.tls is not None:
            given = trio.SSLStream(stream, self.tls, server_side=True, https_compatible=True)
        try:
            async with self._free:  # a worker, bound to this connection
                await self.behave(Caller(given, self))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open_count -= 1
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def client(*, request_timeout: float = 10.0) -> AsyncIterator[EndpointClient]:
    async with EndpointClient.open(
        headers={}, content_type="text/plain", connect_timeout=5.0, request_timeout=request_timeout
    ) as opened:
        yield opened


async def well(caller: Caller) -> None:
    while await caller.request() is not None:
        await caller.say(OK)


def once(answer: bytes) -> Behave:
    """One request, ``answer``, and the end."""

    async def behave(caller: Caller) -> None:
        await caller.request()
        await caller.say(answer)

    return behave


def and_stays(answer: bytes) -> Behave:
    """One request, ``answer``, and then nothing, for ever."""

    async def behave(caller: Caller) -> None:
        await caller.request()
        await caller.say(answer)
        await trio.sleep_forever()

    return behave


async def drips(caller: Caller) -> None:
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await caller.say(b"x")
        await trio.sleep(0.05)


async def drips_without_frame(caller: Caller) -> None:
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await caller.say(b"x")
        await trio.sleep(0.05)


async def never_stops(caller: Caller) -> None:
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await caller.say(b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def drips_its_head(caller: Caller) -> None:
    while await caller.request() is not None:
        for byte in OK:
            await caller.say(bytes([byte]))


async def resets_after_the_head(caller: Caller) -> None:
    await caller.request()
    await caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")
    caller.stream.setsockopt(*LINGER)


LINGER = (1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: closing resets

TAKEN = {
    "well": well,
    "closes-politely": once(OK_CLOSE),
    "closes-without-a-word": once(OK),
    "bare-line-feeds": once(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nOK"),
    "length-said-twice": once(OK.replace(b"Content", b"Content-Length: 2\r\nContent")),
    "two-lengths": once(OK.replace(b"Content", b"Content-Length: 7\r\nContent")),
    "short-body": once(OK.replace(b": 2", b": 50")),
    "unfinished-chunks": once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    "no-chunks": and_stays(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "space-in-a-name": and_stays(b"HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\nOK"),
    "no-frame-and-stays": and_stays(b"HTTP/1.1 200 OK\r\n\r\nOK"),
    "hints-first": once(b"HTTP/1.1 102 Processing\r\n\r\n" + OK),
    "drips": drips,
    "drips-without-frame": drips_without_frame,
    "never-stops": never_stops,
    "drips-its-head": drips_its_head,
    "resets-after-the-head": resets_after_the_head,
}


@pytest.mark.parametrize("name", TAKEN)
async def test_a_final_head_with_success_settles_it_whatever_else_is_odd(name):
    async with Endpoint(TAKEN[name]).listening() as endpoint:
        async with client(request_timeout=1.5) as http:
            for number in range(2):
                await http.post(endpoint.url, b"%d" % number)
    assert endpoint.bodies == [b"0", b"1"]


async def hangs_up_after_the_request(caller: Caller) -> None:
    if await caller.request() == b"bad":
        return
    await caller.say(OK)
    await hangs_up_after_the_request(caller)


async def hangs_up_after_the_head(caller: Caller) -> None:
    await caller.head()
    caller.endpoint.bodies.append(b"")


NOT_TAKEN = {
    "hangs-up": hangs_up_after_the_head,
    "half-a-head": once(b"HTTP/1.1 200 OK\r\nContent-"),
    "only-hints": once(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "not-http": once(b"220 smtp.example.test ESMTP\r\n"),
    "refuses": once(OK.replace(b"200", b"503")),
    "switches-protocol": once(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "no-status": once(b"HTTP/1.1 2xx OK\r\n\r\n"),
    "never-answers": and_stays(b""),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
async def test_what_is_no_success_fails_once(name):
    async with Endpoint(NOT_TAKEN[name]).listening() as endpoint:
        async with client(request_timeout=0.5) as http:
            with pytest.raises(DeliveryFailed):
                await http.post(endpoint.url, b"x")
    assert len(endpoint.bodies) == 1


async def post_all(
    http: EndpointClient, url: str, bodies: list[bytes], *, workers: int
) -> list[DeliveryFailed]:
    """Post ``bodies``, ``workers`` at a time; gives the failures."""
    left, failures = bodies[::-1], []

    async def work() -> None:
        while left:
            try:
                await http.post(url, left.pop())
            except DeliveryFailed as error:
                failures.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(work)
    return failures


@pytest.mark.slow
async def test_few_workers_that_are_bound_to_connections_serve_everybody():
    """Apache prefork, puma: a connection that is kept keeps its worker from all others."""

    async def behave(caller: Caller) -> None:
        while await caller.request() is not None:
            await trio.sleep(0.01)
            await caller.say(OK)

    bodies = [b"%d" % number for number in range(300)]
    async with Endpoint(behave, workers=10).listening() as endpoint:
        async with client(request_timeout=8.0) as http:
            assert await post_all(http, endpoint.url, bodies, workers=100) == []
    assert Counter(endpoint.bodies) == Counter(bodies)


@pytest.mark.slow
async def test_one_that_hangs_does_not_make_every_other_connect_anew():
    connections = 0

    async def behave(caller: Caller) -> None:
        nonlocal connections
        connections += 1
        while (body := await caller.request()) is not None:
            if body == b"hangs":
                await trio.sleep_forever()
            await caller.say(OK)

    async with Endpoint(behave).listening() as endpoint, client(request_timeout=2.0) as http:
        bodies = [b"hangs"] + [b"x"] * 2000
        (failure,) = await post_all(http, endpoint.url, bodies, workers=10)
        assert "no answer in time" in str(failure)
    assert connections < 60


@pytest.mark.slow
async def test_a_message_at_which_the_endpoint_hangs_up_is_posted_once():
    async with Endpoint(hangs_up_after_the_request).listening() as endpoint, client() as http:
        await post_all(http, endpoint.url, [b"x"] * 100, workers=50)
        with pytest.raises(DeliveryFailed):
            await http.post(endpoint.url, b"bad")
    assert endpoint.bodies.count(b"bad") == 1


@pytest.mark.slow
async def test_after_a_burst_a_few_idle_connections_are_left_and_then_none(autojump_clock):
    autojump_clock.autojump_threshold = 0.02
    async with Endpoint(well).listening() as endpoint, client() as http:
        await post_all(http, endpoint.url, [b"x"] * 200, workers=100)
        await trio.sleep(0.5)
        assert http.idle_count() <= MAX_IDLE
        assert endpoint.open_count <= MAX_IDLE
        await trio.sleep(10)
        assert (http.idle_count(), endpoint.open_count) == (0, 0)


@pytest.mark.slow
async def test_a_connection_that_the_endpoint_closes_is_closed_here_too(autojump_clock):
    autojump_clock.autojump_threshold = 0.02
    async with Endpoint(once(OK)).listening() as endpoint, client() as http:
        await post_all(http, endpoint.url, [b"x"] * 100, workers=100)
        await trio.sleep(1.5)
        assert http.idle_count() == 0


def early(answer: bytes, *, reads_on: bool) -> Behave:
    """Answers when it has the head, and reads the body afterwards or not at all."""

    async def behave(caller: Caller) -> None:
        head = await caller.head()
        await caller.say(answer)
        if reads_on:
            await caller.body(head)

    return behave


@pytest.mark.parametrize("size", [1000, 1_000_000, 7_000_000])
async def test_an_answer_that_comes_before_the_body_was_read_counts(size):
    async with Endpoint(early(OK_CLOSE, reads_on=False)).listening() as endpoint:
        async with client() as http:
            with trio.fail_after(30):
                await http.post(endpoint.url, bytes(size))


async def test_a_refusal_that_comes_before_the_body_was_read_is_told_as_such():
    refusal = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n"
    async with Endpoint(early(refusal, reads_on=False)).listening() as endpoint:
        async with client() as http:
            with pytest.raises(DeliveryFailed, match="status code 413"):
                await http.post(endpoint.url, bytes(7_000_000))


async def test_an_endpoint_that_answers_early_and_reads_on_gets_all_of_the_body():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = bytes(range(256)) * 20_000

    async def behave(caller: Caller) -> None:
        request = await caller.head()
        await caller.say(head)
        await caller.body(request)
        await caller.say(b"0\r\n\r\n")

    async with Endpoint(behave).listening() as endpoint, client() as http:
        await http.post(endpoint.url, body)
    assert endpoint.bodies == [body]


@pytest.mark.slow
async def test_an_endpoint_that_closes_without_a_word_loses_few_requests():
    """It says nothing of closing, and does so a moment after each answer."""

    async def behave(caller: Caller) -> None:
        await caller.request()
        await caller.say(OK)
        await trio.sleep(0.005)

    async with Endpoint(behave).listening() as endpoint, client() as http:
        failures = await post_all(http, endpoint.url, [b"x"] * 200, workers=5)
        assert len(failures) <= 5
    assert len(endpoint.bodies) <= 200


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What an HTTPS endpoint has; `nsq_to_http` trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    monkeypatch.setattr(client_module, "system_tls", lambda: trusting)
    return server


SECURE = {name: TAKEN[name] for name in ("well", "closes-without-a-word", "short-body", "drips")}
SECURE["early"] = early(OK_CLOSE, reads_on=False)


@pytest.mark.parametrize("name", SECURE)
async def test_an_https_endpoint_is_as_odd_as_another(tls, name):
    async with Endpoint(SECURE[name], tls=tls).listening() as endpoint:
        async with client(request_timeout=1.5) as http:
            for size in (10, 1_000_000):
                await http.post(endpoint.url, bytes(size))
    if name != "early":
        assert [len(body) for body in endpoint.bodies] == [10, 1_000_000]
    if name == "well":
        assert endpoint.connections == 1


async def test_an_https_endpoint_that_hangs_up_is_posted_once(tls):
    async with Endpoint(hangs_up_after_the_request, tls=tls).listening() as endpoint:
        async with client() as http:
            await http.post(endpoint.url, b"good")
            with pytest.raises(DeliveryFailed):
                await http.post(endpoint.url, b"bad")
    assert endpoint.bodies == [b"good", b"bad"]
