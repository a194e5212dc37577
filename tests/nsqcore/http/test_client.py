"""One client for all HTTP that the programs send."""

import gc
import gzip
import json
import ssl
import zlib

import anyio
import httpx
import pytest
import trio
import trustme
from tests.fakes.fake_http import fake_server
from tests.fakes.raw_server import RawServer
from tests.support.passes import measured_passes

from nsqcore.http.client import HttpClient, RequestFailed
from nsqcore.http.pools import descriptors_for_idle

LIBRARY = (httpx.Response, httpx.Request, httpx.AsyncClient, httpx.AsyncHTTPTransport)


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def ask(url, backend, **settings):
    async def main():
        async with HttpClient(**settings) as http:
            return await http.request("GET", url)

    return anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_an_answer_comes_whole_under_either_loop(backend):
    with RawServer(head("Content-Length: 2", "X-One: a") + b"hi") as server:
        answer = ask(server.url, backend)
    assert (answer.status, answer.body, answer.headers["x-one"]) == (200, b"hi", "a")
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_is_packed_all_the_same_is_unpacked(backend, encoding):
    content = json.dumps({"topics": list(range(1000))}).encode()
    packed = gzip.compress(content) if encoding == "gzip" else zlib.compress(content)
    lines = f"Content-Length: {len(packed)}", f"Content-Encoding: {encoding}"
    with RawServer(head(*lines) + packed) as server:
        assert ask(server.url, backend).body == content


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_twenty_kilobytes_of_gzip_do_not_become_gigabytes(backend):
    """20 kB cost 87 s of CPU and 2.5 GB."""
    packed = gzip.compress(bytes(20_000_000))
    assert len(packed) < 20_000
    lines = f"Content-Length: {len(packed)}", "Content-Encoding: gzip"
    with RawServer(head(*lines) + packed) as server:
        with pytest.raises(RequestFailed, match="100 times its size"):
            ask(server.url, backend)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (head("Content-Length: 2000") + bytes(2000), "more than 1000 bytes"),
        (head("Content-Encoding: br", "Content-Length: 1") + b"x", "encoding 'br'"),
        (head("Content-Encoding: gzip", "Content-Length: 3") + b"abc", "incorrect header"),
        (head("Content-Length: 5") + b"ab", "peer closed connection"),
        (b"", "disconnected"),
        (b"nonsense\r\n\r\n", "."),
    ],
)
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_an_answer_that_is_none_fails_by_its_reason(backend, answer, reason):
    with RawServer(answer) as server, pytest.raises(RequestFailed, match=reason):
        ask(server.url, backend, max_answer=1000)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/", "connection refused"),
        ("http://a..b:80/", "."),
        ("http://" + "a" * 70 + ".example/", "."),
        ("http://127.0.0.1:99999/", "."),
        ("ftp://127.0.0.1/", "no HTTP URL"),
        ("http:///x", "no HTTP URL"),
        ("\ud800", "."),
        ("http://\ud800/", "."),
        ("http://[::1/", "."),
    ],
)
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_what_cannot_be_reached_fails_by_its_reason(backend, url, reason):
    with pytest.raises(RequestFailed, match=reason):
        ask(url, backend)


async def test_a_failure_keeps_no_frames_and_no_cause():
    """What is kept of an exception must not keep bodies."""
    async with HttpClient() as http:
        with pytest.raises(RequestFailed) as caught:
            await http.request("GET", "http://127.0.0.1:1/")
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("status", [200, 403])
async def test_a_request_leaves_nothing_of_its_connection(status):
    async def ask(server):
        async with HttpClient() as client:
            await client.request("GET", f"http://{server.address}/")

    async with fake_server(lambda asked: (status, b"x")) as server:
        await ask(server)
        gc.collect()
        gc.disable()
        try:
            await ask(server)
            left = [each for each in gc.get_objects() if isinstance(each, LIBRARY)]
        finally:
            gc.enable()
    assert left == []


async def test_a_server_that_says_nothing_is_given_up_in_time():
    async with fake_server(lambda asked: (200, {})) as server:
        server.released = trio.Event()
        async with HttpClient(request_timeout=0.05) as http:
            with pytest.raises(RequestFailed, match="no answer in time"):
                await http.request("GET", f"http://{server.address}/")


async def test_connections_are_used_again_and_end_by_themselves():
    async with fake_server(lambda asked: (200, {})) as server:
        async with HttpClient(idle=0.1) as http:
            for _ in range(3):
                await http.request("GET", f"http://{server.address}/")
            assert server.connections == 1
            with trio.fail_after(30):
                while server.open_connections:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            assert http.servers == 0


def test_connections_end_by_themselves_under_asyncio():
    async def main():
        async with HttpClient(idle=0.05) as http:
            with RawServer(head("Content-Length: 0")) as server:
                await http.request("GET", server.url)
            assert http.servers == 1
            with anyio.fail_after(30):
                while http.servers:  # noqa: ASYNC110
                    await anyio.sleep(0.01)

    anyio.run(main, backend="asyncio")


async def test_servers_beyond_the_descriptors_are_let_go_of_at_once(monkeypatch):
    monkeypatch.setattr("nsqcore.http.pools.descriptors_for_idle", lambda: 2)
    async with HttpClient() as http:
        for _ in range(5):
            async with fake_server(lambda asked: (200, {})) as server:
                await http.request("GET", f"http://{server.address}/")
        assert http.servers == 2


def test_a_quarter_of_the_descriptors_may_be_idle(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (200, 4096))
    assert descriptors_for_idle() == 50


async def test_it_may_be_opened_in_one_task_and_closed_in_another():
    http = HttpClient()
    async with fake_server(lambda asked: (200, {})) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.request, "GET", f"http://{server.address}/")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.aclose)
    assert http.servers == 0


async def test_a_stranger_s_certificate_is_refused_and_a_known_one_is_not():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with fake_server(lambda asked: (200, {"a": 1}), context) as server:
        url = f"https://{server.address}/"
        async with HttpClient(tls=trusting) as http:
            assert (await http.request("GET", url)).body == b'{"a": 1}'
        async with HttpClient() as http:
            with pytest.raises(RequestFailed, match="certificate verify failed"):
                await http.request("GET", url)


async def test_arguments_headers_and_a_body_are_sent():
    async with fake_server(lambda asked: (201, None)) as server, HttpClient() as http:
        url = f"http://{server.address}/p?a=1"
        answer = await http.request("POST", url, headers={"X-Y": "z"}, body=b"abc")
        assert answer.status == 201
        await http.request("GET", f"http://{server.address}/q", params={"t": "a&b", "n": 2})
    first, second = server.asked
    assert (first.method, first.path, first.query, first.body) == ("POST", "/p", {"a": "1"}, b"abc")
    assert (first.headers["x-y"], second.query) == ("z", {"t": "a&b", "n": "2"})


@pytest.mark.slow
def test_an_answer_in_the_smallest_pieces_does_not_hold_up_the_others():
    """Sixty-four KiB of pieces of one byte each took 107 ms without a turn for others."""
    pieces = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"

    async def main():
        async with HttpClient(request_timeout=60) as http:
            with measured_passes() as passes:
                answer = await http.request("GET", server.url)
        assert len(answer.body) == 100_000
        assert passes.longest < 0.05

    with RawServer(head("Transfer-Encoding: chunked") + pieces) as server:
        trio.run(main)


@pytest.mark.parametrize("secret", ["two\nlines", "a\rb", "tail ", "\u00e4", "nul\0", ""])
async def test_a_secret_that_no_header_can_carry_is_not_shown(secret):
    async with HttpClient() as client:
        with pytest.raises(RequestFailed) as failed:
            await client.request(
                "GET", "http://127.0.0.1:1", headers={"Authorization": f"Bearer {secret}"}
            )
    assert str(failed.value) == "Authorization has a value that no header can carry"
