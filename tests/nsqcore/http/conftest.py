"""A small API, and a client that feeds a session without any I/O."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

from nsqcore.http.later import Later
from nsqcore.http.request import Request
from nsqcore.http.responses import OK, HttpError, Response, json, text
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Close, Effect, Peer, Wait


@attrs.define(eq=False)
class Talk:
    """One connection to the API: bytes in, answers out, waits awaited."""

    session: HttpSession
    closed: bool = False

    def send(self, data: bytes) -> bytes:
        """What is answered to ``data`` without waiting."""
        self._note(self.session.received(data))
        return self.session.outbox.take()

    async def ask(self, data: bytes) -> bytes:
        """What is answered to ``data``, asynchronous answers included."""
        effect = self.session.received(data)
        while isinstance(effect, Wait):
            await effect.run()
            effect = effect.resume()
        self._note(effect)
        return self.session.outbox.take()

    def _note(self, effect: Effect | None) -> None:
        self.closed = self.closed or isinstance(effect, Close)


@pytest.fixture
def router() -> Router:
    """``/ping``, ``/echo``, ``/pub`` of at most 100 bytes, ``/slow``, ``/bad``, ``/crash``, …"""
    router = Router()

    def route(method: str, path: str, **limits: Any) -> Callable[[Any], Any]:
        return lambda handler: router.add(method, path, handler, **limits)

    @route("GET", "/ping")
    def ping(_request: Request) -> Response:
        return OK

    @route("POST", "/echo")
    def echo(request: Request) -> Response:
        return json([request.path, request.args(), request.body.decode("latin-1")])

    @route("POST", "/pub", max_body=100, too_big="MSG_TOO_BIG")
    def pub(request: Request) -> Response:
        return text(str(len(request.body)))

    @route("GET", "/slow")
    async def slow(request: Request) -> Response:
        await trio.sleep(1)
        return text(f"slow {request.arg('n')}")

    @route("GET", "/later")
    def answer_later(request: Request) -> Later:
        request.context.append(Later())
        return request.context[-1]

    @route("GET", "/slow/bad")
    async def slow_bad(_request: Request) -> Response:
        await trio.sleep(1)
        raise HttpError(503, "UNAVAILABLE")

    @route("GET", "/crash")
    def crash(_request: Request) -> Response:
        raise RuntimeError("a handler's fault")

    @route("GET", "/config/:opt")
    def get_option(request: Request) -> Response:
        return json(dict(request.params))

    @route("PUT", "/config/:opt")
    def put_option(request: Request) -> Response:
        return json(request.context)

    return router


@pytest.fixture
def connect(router) -> Callable[..., Talk]:
    """Makes a `Talk` with the API."""

    def make(context: Any = "the daemon", **options: Any) -> Talk:
        return Talk(HttpSession(router, Peer("127.0.0.1:1"), context, **options))

    return make


@pytest.fixture
def talk(connect) -> Talk:
    """A connection to the API."""
    return connect()
