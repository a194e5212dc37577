"""What is answered to an HTTP request, ready for the wire.

A response is rendered when it is sent, head and body in one piece, and once for each date: one that
never changes (``OK``) is best made once and returned again and again.

JSON and plain text carry the header by which NSQ's clients recognise the API's version, unless
told otherwise.
"""

import json as _json
from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from nsqcore.classes import define, field
from nsqcore.errors import NsqError

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"

_VERSION_LINE = b"X-Nsq-Content-Type: nsq; version=1.0\r\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}
# Statuses whose answer has no body and therefore no length (RFC 9110, 8.6).
_BODILESS = frozenset((204, 304))


@define(eq=False, repr=False)
class Response:
    """Status, headers and body.

    ``versioned`` adds NSQ's version header. ``headers`` are further ones; names and values must
    not hold line breaks.

    With ``stream`` the body has no length: the head and ``body`` are sent, then
    ``await stream(connection)`` sends the rest, and the end of the connection is the end of the
    body. It is called in a task of its own, which is cancelled when the daemon stops.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    versioned: bool = field(default=True, kw_only=True)
    headers: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    stream: Callable[[Any], Awaitable[None]] | None = field(default=None, kw_only=True)
    _head: bytes = field(init=False)
    _date: bytes | None = field(default=None, init=False)
    _wire: bytes = field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        head = _render_head(self.status, self.content_type, self.versioned)
        if self.headers:
            lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
            head = head.replace(b"\r\n", b"\r\n" + lines.encode("latin-1", "replace"), 1)
        self._head = head

    def wire(self, date: bytes = b"") -> bytes:
        """The whole of it, as HTTP/1.1; ``date`` is the line of that header."""
        if date is not self._date:
            self._date = date
            self._wire = self.render(date)
        return self._wire

    def render(
        self,
        date: bytes,
        *,
        head_only: bool = False,
        keep_alive: bool = True,
        http_1_0: bool = False,
    ) -> bytes:
        """The bytes for a request that may be out of the ordinary.

        That is HEAD (``head_only``), the last one of a connection, or one of HTTP/1.0.
        """
        head = b"HTTP/1.0" + self._head[8:] if http_1_0 else self._head
        body = b"" if head_only else self.body
        connection = b""  # what the version implies: to close in 1.0, to go on in 1.1
        if http_1_0 and keep_alive:
            connection = b"Connection: keep-alive\r\n"
        elif not http_1_0 and not keep_alive:
            connection = b"Connection: close\r\n"
        if self.stream is not None or self.status in _BODILESS:
            return b"%s%s%s\r\n%s" % (head, date, connection, body)
        length = len(self.body)
        return b"%s%sContent-Length: %d\r\n%s\r\n%s" % (head, date, length, connection, body)


# Statuses and types come from the code, never from a peer: a few dozen heads in all.
@lru_cache(maxsize=256)
def _render_head(status: int, content_type: str, versioned: bool) -> bytes:
    """The head up to the date."""
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n".encode()
    if content_type:
        head += f"Content-Type: {content_type}\r\n".encode()
    if versioned:
        head += _VERSION_LINE
    return head


def text(body: str | bytes, status: int = 200, *, versioned: bool = True) -> Response:
    """Plain text."""
    if isinstance(body, str):
        body = body.encode("utf-8", "replace")
    return Response(status, body, TEXT, versioned=versioned)


def json(value: Any, status: int = 200, *, versioned: bool = True) -> Response:
    """``value`` as compact JSON."""
    body = _json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(status, body.encode("utf-8", "replace"), JSON, versioned=versioned)


class HttpError(NsqError):
    """A request that is refused, with a status and the message clients look for.

    ``detail`` is for people: what was wrong, and what would be right.
    """

    def __init__(self, status: int, message: str, *, detail: str = "") -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status} {self.message}"

    def response(self) -> Response:
        """``{"message": …}``, with ``detail`` if there is one, and the status."""
        told = {"message": self.message}
        return json({**told, "detail": self.detail} if self.detail else told, self.status)


#: The answer to most successful requests that return nothing.
OK = text("OK")
EMPTY = Response()
