"""One HTTP/1.1 connection of a client: a request out, the head of an answer in.

Small, because little is asked of it: a message has to get there fast, and of the answer only the
status counts (and where to go instead). The body is read to have the connection free again, up to
a limit, and thrown away. httptools parses.
"""

import base64
import ssl
from urllib.parse import quote, unquote, urlsplit

import attrs
import httptools
import trio

READ_SIZE = 64 * 1024

# Of an answer: nobody looks at it. More than this and a new connection is cheaper than the rest.
MAX_ANSWER = 256 * 1024

# What may stand in a request's target as it is: all of RFC 3986, and escapes that are there.
_SAFE = "/?:@!$&'()*+,;=-._~%[]"


class NoAnswer(Exception):
    """The connection ended, or what came is no HTTP.

    ``stale`` tells that it ended before the first byte: if it was used before, the server has most
    likely closed it while it was idle.
    """

    def __init__(self, message: str, *, stale: bool = False) -> None:
        super().__init__(message)
        self.stale = stale


@attrs.frozen
class Origin:
    """What a connection leads to."""

    secure: bool
    host: str
    port: int


@attrs.frozen
class Target:
    """A URL, as a request needs it."""

    origin: Origin
    host: str  # the header
    path: str  # with the query
    authorization: str  # the header; empty for none


@attrs.frozen
class Answer:
    """What came back. ``location`` is where a redirect leads."""

    status: int
    location: str
    reusable: bool


def parse_url(url: str) -> Target:
    """The parts of ``url``; raises ValueError if it is none that can be requested."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or parts.port == 0:
        raise ValueError(f"{url!r} is not a URL; write http://host:port/path")
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    if not host.isprintable() or " " in host:
        raise ValueError(f"{url!r} has no host")
    secure = parts.scheme == "https"
    default = 443 if secure else 80
    port = parts.port or default
    shown = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_SAFE)
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(secret.encode()).decode("ascii")
    return Target(
        Origin(secure, host, port),
        shown if port == default else f"{shown}:{port}",
        path,
        authorization,
    )


@attrs.define(eq=False)
class _Reader:
    """What httptools calls while it parses one answer.

    ``keep_alive`` is asked for with the head: once a message is complete the parser has forgotten.
    """

    parser: httptools.HttpResponseParser = attrs.field(init=False)
    keep_alive: bool = False
    location: str = ""
    size: int = 0
    has_head: bool = False
    complete: bool = False
    has_length: bool = False

    @property
    def ends_with_stream(self) -> bool:
        """Whether the end of the stream is the proper end of the answer."""
        return self.has_head and not self.has_length

    def on_message_begin(self) -> None:
        self.has_head = self.has_length = self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered == b"location":
            self.location = value.decode("latin-1")
        elif lowered in (b"content-length", b"transfer-encoding"):
            self.has_length = True

    def on_headers_complete(self) -> None:
        self.has_head = True
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.size += len(body)

    def on_message_complete(self) -> None:
        self.complete = True


@attrs.define(eq=False)
class HttpConnection:
    """An open connection; `connect` makes one."""

    _stream: trio.abc.Stream
    _socket: trio.SocketStream

    @classmethod
    async def connect(cls, origin: Origin, tls: ssl.SSLContext | None) -> "HttpConnection":
        """A connection to ``origin``; raises OSError if there is nobody."""
        plain = await trio.open_tcp_stream(origin.host, origin.port)
        if not origin.secure:
            return cls(plain, plain)
        assert tls is not None, "an HTTPS origin needs a TLS context"
        stream = trio.SSLStream(plain, tls, server_hostname=origin.host, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(plain)
            if isinstance(error, trio.BrokenResourceError):
                raise OSError(f"TLS handshake failed: {error.__cause__ or error}") from error
            raise
        return cls(stream, plain)

    def is_fresh(self) -> bool:
        """Whether nothing has come since the last answer: not even the end of the stream."""
        return not self._socket.socket.is_readable()

    async def exchange(self, request: bytes) -> Answer:
        """The answer to ``request``.

        Raises:
            NoAnswer: there is none.
        """
        began = False
        try:
            await self._stream.send_all(request)
            reader = _Reader()
            reader.parser = parser = httptools.HttpResponseParser(reader)
            while not reader.complete:
                data = await self._stream.receive_some(READ_SIZE)
                if not data:
                    if reader.ends_with_stream:
                        return Answer(parser.get_status_code(), reader.location, False)
                    raise NoAnswer("connection closed before the answer", stale=not began)
                began = True
                parser.feed_data(data)
                if reader.complete and parser.get_status_code() < 200:
                    reader.complete = False  # provisional: the answer is still to come
                if not reader.complete and reader.size > MAX_ANSWER:
                    return Answer(parser.get_status_code(), reader.location, False)
        except httptools.HttpParserError as error:
            raise NoAnswer(f"not an HTTP answer: {error}") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            reason = error.__cause__ or error
            raise NoAnswer(f"connection lost: {reason}", stale=not began) from error
        return Answer(parser.get_status_code(), reader.location, reader.keep_alive)

    async def close(self) -> None:
        """Close it at once."""
        await trio.aclose_forcefully(self._socket)
