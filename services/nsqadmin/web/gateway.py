"""The web application behind our own HTTP server.

The application is ASGI; `HttpSession` reads its requests and sends its answers, as it does for nsqd
and nsqlookupd: HTTP/1.1 alone, with the same limits and the same refusals of what proxies and
servers understand differently. A request reaches the application when its body is complete, so
that an upload that is broken off never does. An answer is collected and sent in one piece, except
for event streams, which are passed on part by part until one side ends them.

Spec: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import trio

from nsqcore.addresses import AddressError, split_host_port
from nsqcore.classes import define, field, frozen
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError, Response
from nsqcore.http.router import Route, Router
from nsqcore.reactor.connections.stream import CONNECTION_ERRORS

logger = logging.getLogger(__name__)

Event = dict[str, Any]
# Called with scope, receive and send; frameworks type these in ways of their own.
Application = Callable[[Any, Any, Any], Awaitable[None]]

_STREAM = b"text/event-stream"
# The session writes these itself.
_CONNECTION_HEADERS = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date"))
_READ_SIZE = 4096
# Parts of an event stream that may wait for a client that does not read; the application waits
# when there are more.
_MAX_PARTS = 4


@define(eq=False, repr=False)
class Exchange:
    """One request on its way through the application, and its answer."""

    request: Request
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    status: int = 0
    content_type: str = ""
    headers: list[tuple[str, str]] = field(factory=list)
    is_stream: bool = False
    #: Set when the answer is complete, or the head of an event stream is.
    answered: trio.Event = field(factory=trio.Event)
    _body: list[bytes] = field(factory=list)
    _given: bool = False
    _gone: trio.Event = field(factory=trio.Event)
    _parts: tuple[trio.MemorySendChannel[bytes], trio.MemoryReceiveChannel[bytes]] = field(
        factory=lambda: trio.open_memory_channel[bytes](_MAX_PARTS)
    )

    async def run(self, application: Application) -> None:
        """Have the application answer."""
        with self.scope:
            try:
                await application(_scope_of(self.request), self.receive, self.send)
            except Exception:  # a supervisor: one request's fault is not the daemon's
                logger.exception("http: %s failed", self.request)
            finally:
                self._parts[0].close()
                self.answered.set()

    async def receive(self) -> Event:
        """What the application is told next: the body, then that the client has gone."""
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self.request.body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: Event) -> None:
        """Take a piece of the answer."""
        if event["type"] == "http.response.start":
            self._start(event)
            return
        if event["type"] != "http.response.body" or not self.status:
            raise RuntimeError(f"not expected from the application: {event['type']}")
        body = bytes(event.get("body", b""))
        if not self.is_stream:
            self._body.append(body)
        elif body:
            await self._parts[0].send(body)
        if not event.get("more_body", False) and not self.is_stream:
            self.answered.set()

    def _start(self, event: Event) -> None:
        self.status = int(event["status"])
        for name, value in event.get("headers", ()):
            lowered = bytes(name).lower()
            if lowered == b"content-type":
                self.content_type = bytes(value).decode("latin-1")
                self.is_stream = bytes(value).startswith(_STREAM)
            elif lowered not in _CONNECTION_HEADERS:
                self.headers.append((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")))
        if self.is_stream:
            self.answered.set()

    def response(self) -> Response:
        """The answer for the session.

        Raises:
            HttpError: 500, the application has failed.
        """
        if not self.status:
            raise HttpError(500, "INTERNAL_ERROR")
        return Response(
            self.status,
            b"".join(self._body),
            self.content_type,
            versioned=False,
            headers=tuple(self.headers),
            stream=self.stream if self.is_stream else None,
        )

    async def stream(self, connection: Any) -> None:
        """Pass an event stream on, until the application ends it or the client goes."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, connection, nursery.cancel_scope)
                try:
                    async for part in self._parts[1]:
                        await connection.send_all(part)
                except CONNECTION_ERRORS as error:
                    logger.debug("http(%s): stream: %s", self.request.peer.address, error)
                nursery.cancel_scope.cancel()
        finally:
            self._gone.set()
            self.scope.cancel()

    async def _watch(self, connection: Any, scope: trio.CancelScope) -> None:
        """Notice that the client has gone, though nothing is being sent."""
        try:
            while await connection.receive_some(_READ_SIZE):
                pass  # whoever reads a stream has nothing more to ask on this connection
        except CONNECTION_ERRORS as error:
            logger.debug("http(%s): stream: %s", self.request.peer.address, error)
        scope.cancel()


@frozen(eq=False)
class Gateway:
    """Gives every request of our HTTP server to the application, in a task of ``nursery``."""

    application: Application
    nursery: trio.Nursery

    def router(self, max_body: int, too_big: str) -> Router:
        """A router that sends everything to the application.

        Args:
            max_body: bytes; a larger body is answered with 413 and the message ``too_big``.
        """
        return Router(Route(self.answer, max_body=max_body, too_big=too_big, quiet=True))

    async def answer(self, request: Request) -> Response:
        """What the application answers.

        Raises:
            HttpError: 500, it has failed.
        """
        exchange = Exchange(request)
        self.nursery.start_soon(exchange.run, self.application)
        await exchange.answered.wait()
        return exchange.response()


def _scope_of(request: Request) -> Event:
    """The connection scope of a request (ASGI, HTTP connection scope)."""
    target = request.target
    if not target.startswith(b"/"):  # the absolute form: scheme, host, path
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": "1.0" if request.http_1_0 else "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(target).decode("utf-8", "replace"),
        "raw_path": target,
        "query_string": request.raw_query,
        "root_path": "",
        "headers": [(name.lower(), value.strip()) for name, value in request.headers],
        "client": _client_of(request),
        "server": None,
        "extensions": {},
    }


def _client_of(request: Request) -> tuple[str, int] | None:
    """Address and port of the client; None for a Unix socket."""
    try:
        host, port = split_host_port(request.peer.address)
    except AddressError:
        return None
    return host, int(port)
