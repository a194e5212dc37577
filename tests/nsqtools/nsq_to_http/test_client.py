"""Requests that carry messages, against servers of every sort."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
import trustme
from tests.fakes.fake_http import fake_server

from nsqtools.nsq_to_http import client
from nsqtools.nsq_to_http.client import DeliveryFailed, EndpointClient
from nsqtools.nsq_to_http.connection import HttpConnection
from nsqtools.nsq_to_http.headers import parse_headers
from nsqtools.nsq_to_http.url import check_url

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"

Serve = Callable[[trio.abc.Stream, int], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that leaves each connection, with its number, to ``serve``; gives its address."""
    count = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal count
        count += 1
        wrapped: trio.abc.Stream = stream
        if tls is not None:
            wrapped = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        try:
            await serve(wrapped, count)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def calls(**settings: object) -> AsyncIterator[EndpointClient]:
    fields: dict[str, object] = {
        "headers": {},
        "content_type": "application/octet-stream",
        "connect_timeout": 5.0,
        "request_timeout": 10.0,
    }
    async with EndpointClient.open(**(fields | settings)) as opened:  # type: ignore[arg-type]
        yield opened


def answers(*given: bytes, keep: bool = True) -> Serve:
    """Each request gets the next of ``given``, over all connections."""
    left = list(given)

    async def serve(stream: trio.abc.Stream, number: int) -> None:
        while left:
            if not await stream.receive_some():
                return
            await stream.send_all(left.pop(0))
            if not keep:
                return
        await trio.sleep_forever()

    return serve


async def test_a_post_carries_the_message_as_it_is():
    async with fake_server(lambda asked: (204, None)) as endpoint, calls() as http:
        await http.post(f"http://{endpoint.address}/in?x=1", b"\x00 body\r\n\xff")
    (asked,) = endpoint.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/in", {"x": "1"})
    assert asked.body == b"\x00 body\r\n\xff"
    assert asked.headers["host"] == endpoint.address
    assert asked.headers["content-type"] == "application/octet-stream"
    assert asked.headers["user-agent"].startswith("nsq_to_http v")


async def test_a_get_carries_the_message_in_its_url():
    async with fake_server(lambda asked: (200, None)) as endpoint, calls() as http:
        await http.get(f"http://{endpoint.address}/in?d=%s&p=100%%25", "a b&c=d/é%".encode())
    (asked,) = endpoint.asked
    assert (asked.method, asked.query) == ("GET", {"d": "a b&c=d/é%", "p": "100%"})
    assert "content-type" not in asked.headers


@pytest.mark.parametrize(
    ("method", "status", "good"),
    [
        ("get", 200, True),
        ("get", 204, False),
        ("get", 404, False),
        ("post", 200, True),
        ("post", 299, True),
        ("post", 304, False),
        ("post", 500, False),
    ],
)
async def test_success_is_200_of_a_get_and_2xx_of_a_post(method, status, good):
    async with fake_server(lambda asked: (status, None)) as endpoint, calls() as http:
        call = getattr(http, method)(f"http://{endpoint.address}/%s", b"x")
        if good:
            await call
        else:
            with pytest.raises(DeliveryFailed, match=f"got status code {status}"):
                await call


async def test_own_headers_win():
    headers = {"Content-Type": "a/b", "user-agent": "me", "Host": "example.test", "X-A": "1"}
    async with fake_server(lambda asked: (200, None)) as endpoint, calls(headers=headers) as http:
        await http.post(f"http://{endpoint.address}/", b"x")
    found = endpoint.asked[0].headers
    assert found["content-type"] == "a/b"
    assert (found["user-agent"], found["host"], found["x-a"]) == ("me", "example.test", "1")


async def test_user_and_password_of_a_url_are_sent():
    async with fake_server(lambda asked: (200, None)) as endpoint, calls() as http:
        await http.post(f"http://a%40b:c@{endpoint.address}", b"x")
    assert endpoint.asked[0].headers["authorization"] == "Basic YUBiOmM="
    assert endpoint.asked[0].path == "/"


async def test_a_connection_is_used_again():
    numbers: list[int] = []

    async def serve(stream: trio.abc.Stream, number: int) -> None:
        while await stream.receive_some():
            numbers.append(number)
            await stream.send_all(OK)

    async with server(serve) as address, calls() as http:
        for _ in range(3):
            await http.post(f"http://{address}/", b"x")
    assert numbers == [1, 1, 1]


async def test_a_connection_that_the_server_closed_is_not_used_again():
    async with server(answers(OK, OK, keep=False)) as address, calls() as http:
        for _ in range(2):
            await http.post(f"http://{address}/", b"x")


async def test_a_request_of_which_nothing_arrived_is_sent_once_more(monkeypatch):
    # The server closes an idle connection, and the request is on its way before the news is here.
    monkeypatch.setattr(HttpConnection, "is_fresh", lambda self: True)
    bodies: list[bytes] = []

    async def serve(stream: trio.abc.Stream, number: int) -> None:
        bodies.append(await stream.receive_some())
        await stream.send_all(OK)

    async with server(serve) as address, calls() as http:
        for _ in range(3):
            await http.post(f"http://{address}/", b"x")
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(bodies) == 3


async def test_a_request_that_arrived_is_not_sent_again():
    bodies: list[bytes] = []

    async def serve(stream: trio.abc.Stream, number: int) -> None:
        bodies.append(await stream.receive_some())
        await stream.send_all(OK)
        bodies.append(await stream.receive_some())

    async with server(serve) as address, calls() as http:
        await http.post(f"http://{address}/", b"x")
        with pytest.raises(DeliveryFailed, match="closed before the answer"):
            await http.post(f"http://{address}/", b"x")
    assert len(bodies) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 800_000,
    ],
)
async def test_every_sort_of_answer_is_understood(answer):
    async with server(answers(answer, keep=False)) as address, calls() as http:
        await http.get(f"http://{address}/%s", b"x")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed before the answer"),
        (b"HTTP/1.1 200 OK\r\n", "closed before the answer"),
        (b"nonsense\r\n\r\n", "not an HTTP answer"),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer, reason):
    async with server(answers(answer, keep=False)) as address, calls() as http:
        with pytest.raises(DeliveryFailed, match=reason):
            await http.post(f"http://{address}/", b"x")


async def test_redirects_are_followed():
    seen: list[bytes] = []

    async def serve(stream: trio.abc.Stream, number: int) -> None:
        while request := await stream.receive_some():
            seen.append(request)
            first = request.split(b"\r\n")[0]
            to = b"/b" if b" /a " in first else b"/c"
            status = b"307" if b" /a " in first else b"302"
            if b" /c " in first:
                await stream.send_all(OK)
            else:
                await stream.send_all(
                    b"HTTP/1.1 %s x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, to)
                )

    async with server(serve) as address, calls() as http:
        await http.post(f"http://{address}/a", b"body")
    assert [request.split(b" ")[:2] for request in seen] == [
        [b"POST", b"/a"],
        [b"POST", b"/b"],
        [b"GET", b"/c"],
    ]
    assert seen[1].endswith(b"body")
    assert not seen[2].endswith(b"body")


async def test_a_redirect_to_another_host_does_not_get_what_was_meant_for_the_first():
    seen: list[bytes] = []

    async def serve(stream: trio.abc.Stream, number: int) -> None:
        while request := await stream.receive_some():
            seen.append(request)
            if b" /a " in request:
                to = f"http://localhost:{address.rpartition(':')[2]}/b".encode()
                await stream.send_all(
                    b"HTTP/1.1 302 x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to
                )
            else:
                await stream.send_all(OK)

    headers = {"authorization": "Bearer secret", "Host": "first", "X-Tag": "1"}
    async with server(serve) as address, calls(headers=headers) as http:
        await http.post(f"http://{address}/a", b"body")
    assert b"Bearer secret" in seen[0]
    assert b"Host: first" in seen[0]
    assert b"Bearer secret" not in seen[1]
    assert b"Host: localhost:" in seen[1]
    assert b"X-Tag: 1" in seen[1]


async def test_redirects_in_a_circle_end():
    again = b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    async with server(answers(*[again] * 20)) as address, calls() as http:
        with pytest.raises(DeliveryFailed, match="redirects"):
            await http.get(f"http://{address}/%s", b"x")


async def test_a_silent_server_is_given_up_in_time(autojump_clock):
    async def serve(stream: trio.abc.Stream, number: int) -> None:
        await trio.sleep_forever()

    # Real sockets and a virtual clock: it jumps only when nothing else can happen.
    autojump_clock.autojump_threshold = 0.05
    async with server(serve) as address, calls(request_timeout=20.0) as http:
        with pytest.raises(DeliveryFailed, match="no answer in time"):
            await http.post(f"http://{address}/", b"x")


async def test_nobody_there_is_a_failure():
    async with calls() as http:
        with pytest.raises(DeliveryFailed, match="refused"):
            await http.post("http://127.0.0.1:1/", b"x")


@pytest.mark.slow
async def test_https_endpoints_have_to_be_trusted(monkeypatch):
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with server(answers(OK, OK), tls) as address:
        async with calls() as http:
            with pytest.raises(DeliveryFailed, match="certificate"):
                await http.post(f"https://{address}/", b"x")
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(trusting)
        monkeypatch.setattr(client, "system_tls", lambda: trusting)
        async with calls() as http:
            await http.post(f"https://{address}/", b"x")


def test_headers_are_names_and_values():
    assert parse_headers(["A: b", "C:d:e"]) == {"A": "b", "C": "d:e"}


def test_names_of_headers_are_compared_without_case():
    assert parse_headers(["X-Tag: 1", "x-tag: 2"]) == {"x-tag": "2"}


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "TRAILER"])
async def test_a_header_of_the_command_line_cannot_change_the_framing(name):
    async with fake_server(lambda asked: (200, None)) as endpoint:
        async with calls(headers={name: "chunked", "X-A": "1"}) as http:
            for _ in range(2):
                await http.post(f"http://{endpoint.address}/", b"body")
    assert [asked.body for asked in endpoint.asked] == [b"body", b"body"]
    assert "transfer-encoding" not in endpoint.asked[0].headers
    assert endpoint.asked[0].headers["x-a"] == "1"


@pytest.mark.parametrize("text", ["a", "a:", ": b", ":", "a: b\r\nc: d", "a b: c"])
def test_what_is_no_header_is_refused(text):
    with pytest.raises(ValueError, match="name: value"):
        parse_headers([text])


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:1/x", "ftp://x/", "http://", "http://x:0/", "http://x:99999/", "//x"]
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["http://x", "HTTP://x:1/a?b#c", "https://[::1]:5/", "http://bücher.de/ä ö"]
)
def test_urls_are_accepted(url):
    check_url(url)
