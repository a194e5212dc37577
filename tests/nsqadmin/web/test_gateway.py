"""The application behind our HTTP server: connections begin, stay and end as HTTP says."""

import contextlib

import pytest
import trio
from quart import Response, request
from quart_trio import QuartTrio

from nsqadmin.service import serve
from nsqcore.app.service import Process
from nsqcore.reactor.listeners import open_listener


@pytest.fixture
async def app(nursery):
    """A small application that is served at ``app.address``."""
    app = QuartTrio("test", static_folder=None)
    app.ended, app.begun = trio.Event(), 0

    @app.before_request
    async def count():
        app.begun += 1

    @app.route("/", methods=["GET", "POST"])
    async def root():
        return Response(f"hello {request.scheme} {len(await request.get_data())}")

    @app.get("/none")
    async def none():
        return Response(b"", 304, {"ETag": '"x"'})

    @app.get("/broken")
    async def broken():
        raise RuntimeError("on purpose")

    @app.get("/endless")
    async def endless():
        async def body():
            try:
                while True:
                    yield "tick\n"
                    await trio.sleep(0.01)
            finally:
                app.ended.set()

        response = Response(body(), content_type="text/event-stream")
        response.timeout = None
        return response

    listener = open_listener("127.0.0.1:0")
    process = Process()
    app.address = ("127.0.0.1", listener.port)
    nursery.start_soon(serve, app, listener, process)
    yield app
    process.shutdown.set()


@contextlib.asynccontextmanager
async def connected(app):
    async with await trio.open_tcp_stream(*app.address) as stream:
        yield stream


async def ask(stream, path="/", *headers, method="GET", version="1.1", body=b""):
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]
    await stream.send_all("\r\n".join(lines).encode() + body)


async def until(stream, ending):
    data = b""
    with trio.fail_after(60):
        while ending not in data:
            more = await stream.receive_some()
            assert more, data
            data += more
    return data


async def rest(stream):
    data = b""
    with trio.fail_after(60):
        while more := await stream.receive_some():
            data += more
    return data


async def test_connection_close_closes(app):
    async with connected(app) as stream:
        await ask(stream, "/", "Connection: close")
        answer = await rest(stream)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"hello http 0")


async def test_a_connection_is_used_again(app):
    async with connected(app) as stream:
        for _ in range(3):
            await ask(stream)
            await until(stream, b"hello http 0")


async def test_http_1_0_closes_and_head_has_no_body(app):
    async with connected(app) as stream:
        await ask(stream, method="HEAD", version="1.0")
        answer = await rest(stream)
        assert answer.startswith(b"HTTP/1.0 200")
        assert answer.endswith(b"\r\n\r\n")
        assert b"Content-Length: 12" in answer


async def test_an_answer_without_a_body_says_no_length(app):
    async with connected(app) as stream:
        await ask(stream, "/none")
        answer = await until(stream, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 304")
        assert b"content-length" not in answer.lower()
        await ask(stream)
        await until(stream, b"hello http 0")


async def test_an_endless_answer_ends_when_nobody_listens(app):
    async with connected(app) as stream:
        await ask(stream, "/endless")
        await until(stream, b"tick")
    with trio.fail_after(60):
        await app.ended.wait()


async def test_an_application_that_fails_is_a_500_and_the_next_request_is_answered(app, caplog):
    async with connected(app) as stream:
        await ask(stream, "/broken")
        assert (await until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 500")
    async with connected(app) as stream:
        await ask(stream)
        await until(stream, b"hello http 0")


@pytest.mark.parametrize(
    "headers",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
         "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
        ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ],
    ids=["h2c", "websocket"],
)  # fmt: skip
async def test_no_upgrade_is_accepted_and_http_1_1_answers(app, headers):
    async with connected(app) as stream:
        await ask(stream, "/", *headers)
        answer = await until(stream, b"hello http 0")
        assert answer.startswith(b"HTTP/1.1 200")


async def test_http_2_from_the_first_byte_is_refused(app):
    async with connected(app) as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        answer = await rest(stream)
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert not app.begun


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        ("Transfer-Encoding: chunked", "Content-Length: 6"),
        ("Content-Length: 6", "Transfer-Encoding: chunked"),
        ("Content-Length: 6", "Content-Length: 7"),
        ("Transfer-Encoding: xchunked", "Content-Length: 6"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Content-Length: +6",),
    ],
)
async def test_a_body_whose_length_is_told_twice_gets_one_refusal(app, headers):
    async with connected(app) as stream:
        await ask(stream, "/", *headers, method="POST", body=CHUNKED + b"GET / HTTP/1.1\r\n")
        answer = await rest(stream)
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
    assert not app.begun


async def test_an_upload_that_is_broken_off_never_reaches_the_application(app):
    async with connected(app) as stream:
        await ask(stream, "/", "Content-Length: 100000", method="POST", body=b"x" * 50_000)
    async with connected(app) as stream:
        await ask(stream, "/", "Content-Length: 5", method="POST", body=b"hello")
        await until(stream, b"hello http 5")
    assert app.begun == 1


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(app):
    async with connected(app) as stream:
        await ask(stream, "/", f"Content-Length: {2 << 20}", method="POST")
        assert (await rest(stream)).startswith(b"HTTP/1.1 413")
    assert not app.begun
