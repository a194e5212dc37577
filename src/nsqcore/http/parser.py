"""Requests out of the bytes of a connection, cut anywhere; httptools does the parsing."""

from collections.abc import Callable
from typing import Any

import httptools

from nsqcore.classes import define, field
from nsqcore.http.heads import (
    declared_length,
    find_refusal,
    is_plain,
    is_plain_head_and_body,
    mend_line,
)
from nsqcore.http.request import Request
from nsqcore.http.responses import Response
from nsqcore.net.effects import Peer


@define(eq=False, repr=False)
class RequestParser:
    """The request that is being read. ``complete`` is called when it is, to `take` it."""

    complete: Callable[[], None]
    _parser: Any = field(init=False)
    in_request: bool = field(default=False, init=False)
    head_done: bool = field(default=False, init=False)
    #: What follows is another protocol's.
    stopped: bool = field(default=False, init=False)
    #: A CR was the last that came of it.
    _after_cr: bool = field(default=False, init=False)
    #: Its head asks for another protocol: it is to be parsed once more without that.
    _offers_upgrade: bool = field(default=False, init=False)
    url: bytes = field(default=b"", init=False)
    _headers: list[tuple[bytes, bytes]] = field(factory=list, init=False)
    #: Of HTTP; known when the head is.
    _version: str = field(default="", init=False)
    body: bytes | bytearray = field(default=b"", init=False)
    #: The answer to a head that asks for what we do not do.
    refusal: Response | None = field(default=None, init=False)
    #: Bytes of its head in chunks that did not complete it; then, those in a row without body.
    head_size: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Take a chunk. Raises `httptools.HttpParserError`."""
        if self.in_request:
            whole = self._is_all_body(data) or is_plain(data)
        else:
            whole = is_plain_head_and_body(data) or is_plain(data)
        if whole:
            self._feed(data)
        else:
            self._feed_lines(data)
        self._after_cr = data.endswith(b"\r")

    def close(self) -> None:
        """Let go of everything that refers back to it: the connection is gone."""
        self._parser = None
        self.complete = _ignore

    def _is_all_body(self, data: bytes) -> bool:
        """Whether nothing but the body of the request at hand is in ``data``."""
        if not self.head_done:
            return False
        length = declared_length(self._headers)
        return length is not None and len(self.body) + len(data) <= length

    def _feed_lines(self, data: bytes) -> None:
        """Parse ``data`` line by line, as the parser wants it; bodies and plain heads whole."""
        position = 0
        while position < len(data) and not self.stopped:
            end = len(data)
            if self.head_done:
                length = declared_length(self._headers)
                if length is not None:
                    end = min(end, position + length - len(self.body))
                    if end <= position:  # it has come, and nothing behind it is looked at
                        return
                piece = data[position:end]
            elif not self.in_request and (head := self._plain_head(data, position)):
                piece = head
                end = position + len(head)
            else:
                end = data.find(b"\n", position) + 1 or end
                is_first = not (self.in_request and self._headers)
                piece = mend_line(data[position:end], is_first=is_first, after_cr=self._after_cr)
                self._after_cr = piece.endswith(b"\r")
            position = end
            self._feed(piece)

    def _plain_head(self, data: bytes, position: int) -> bytes:
        """The head that begins at ``position``, if all of it is there and needs no mending."""
        end = data.find(b"\r\n\r\n", position) + 4
        head = data[position:end]
        return head if end > 3 and is_plain(head) else b""

    def _feed(self, data: bytes) -> None:
        """Parse ``data``; where the parser stops at an ``Upgrade`` it goes on as if there was none.

        A client that offers another protocol gets its answer in this one (RFC 9110, section 7.8),
        body and all; httptools takes everything behind such a head for the other protocol.
        """
        rest = memoryview(data)
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stopped:
                if not self._offers_upgrade:  # CONNECT, which we do not do: it has been answered
                    self.stopped = True
                    return
                rest = rest[stopped.args[0] :]
                self._parse_head_again()
            else:
                return

    def _parse_head_again(self) -> None:
        """Begin the request anew with a parser that is not shown its ``Upgrade``."""
        method, url, headers = self._parser.get_method(), self.url, self._headers
        line = b"%s %s HTTP/%s\r\n" % (method, url, self._version.encode())
        kept = [b"%s: %s\r\n" % entry for entry in headers if entry[0].lower() != b"upgrade"]
        self.in_request = self.head_done = self._offers_upgrade = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(line + b"".join(kept) + b"\r\n")

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target; the first one begins a request."""
        if self.in_request:
            self.url += url
        else:
            self.in_request = True
            self.url = url
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, complete. Those behind the body, its trailers, mean nothing here."""
        if not self.head_done:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The body is next."""
        self.head_done = True
        self.head_size = 0
        self._version = self._parser.get_http_version()
        self.refusal = find_refusal(self._version, self._headers)
        if self._parser.should_upgrade():
            self._offers_upgrade = self._parser.get_method() != b"CONNECT"

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        body = self.body
        if not body:
            self.body = data
        elif isinstance(body, bytearray):
            body += data
        else:
            self.body = bytearray(body)
            self.body += data

    def on_message_complete(self) -> None:
        """A request is complete."""
        if not self._offers_upgrade:
            self.complete()

    # The request.

    def take(self, peer: Peer, context: Any) -> Request:
        """The request, which is complete; the next may come."""
        body = self.body
        request = self.request(body if body.__class__ is bytes else bytes(body), peer, context)
        self.in_request = self.head_done = False
        self.body = b""
        return request

    def request(self, body: bytes, peer: Peer, context: Any) -> Request:
        """The request with ``body``; its head is complete."""
        parser = self._parser
        target, _, query = self.url.partition(b"?")
        return Request(
            parser.get_method().decode(),
            target,
            query,
            body,
            peer,
            self._headers,
            context,
            parser.should_keep_alive(),
            self._version == "1.0",
        )


def _ignore() -> None:
    """Nobody is there for a request."""
