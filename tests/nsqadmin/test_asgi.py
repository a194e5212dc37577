"""Quart on trio under the real server: connections end and stay open as HTTP says."""

import socket
from functools import partial

import pytest
import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app
from quart import Response

from nsqadmin.asgi import AdminApp


@pytest.fixture
async def address(nursery):
    """Where a small app is served."""
    app = AdminApp("test", static_folder=None)
    app.ended = trio.Event()
    app.served = config = Config()

    @app.get("/")
    async def root():
        return Response("hello")

    @app.get("/endless")
    async def endless():
        async def body():
            try:
                while True:
                    yield "tick\n"
                    await trio.sleep(0.01)
            finally:
                app.ended.set()

        response = Response(body(), content_type="text/plain")
        response.timeout = None
        return response

    config.accesslog = config.errorlog = None
    config.keep_alive_timeout = 600
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    served = wrap_app(app, config.wsgi_max_body_size, "asgi")
    stop = trio.Event()
    serve = partial(
        worker_serve, served, config, sockets=Sockets([], [listening], []),
        shutdown_trigger=stop.wait,
    )  # fmt: skip
    await nursery.start(serve)
    yield listening.getsockname(), app
    stop.set()


async def ask(stream, path="/", *headers):
    lines = [f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]
    await stream.send_all("\r\n".join(lines).encode())


async def until(stream, ending):
    data = b""
    with trio.fail_after(60):
        while ending not in data:
            more = await stream.receive_some()
            assert more, data
            data += more
    return data


@pytest.mark.slow
async def test_connection_close_closes(address):
    (host, port), _ = address
    async with await trio.open_tcp_stream(host, port) as stream:
        await ask(stream, "/", "Connection: close")
        await until(stream, b"hello")
        with trio.fail_after(60):
            assert await stream.receive_some() == b""


@pytest.mark.slow
async def test_a_connection_is_used_again(address):
    (host, port), _ = address
    async with await trio.open_tcp_stream(host, port) as stream:
        for _ in range(3):
            await ask(stream)
            await until(stream, b"hello")


@pytest.mark.slow
async def test_an_idle_connection_is_closed_in_the_end(address):
    (host, port), app = address
    app.served.keep_alive_timeout = 0.1
    async with await trio.open_tcp_stream(host, port) as stream:
        await ask(stream)
        await until(stream, b"hello")
        with trio.fail_after(60):
            assert await stream.receive_some() == b""


@pytest.mark.slow
async def test_an_endless_answer_ends_when_nobody_listens(address):
    (host, port), app = address
    async with await trio.open_tcp_stream(host, port) as stream:
        await ask(stream, "/endless")
        await until(stream, b"tick")
    with trio.fail_after(60):
        await app.ended.wait()
