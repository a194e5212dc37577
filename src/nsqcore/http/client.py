"""HTTP requests to other servers: daemons, auth servers, webhooks, Graphite.

`HttpClient` asks any number of servers at once, under trio and asyncio (anyio on httpx). An answer
is read whole, within a time and up to a size. Answers are asked for uncompressed; one that is
compressed all the same is unpacked piece by piece, and unpacks to no more than the same size.

Importing this takes a tenth of a second, and the first request half as long: a program that may do
without imports it late, but not once it may have run out of descriptors; a daemon that serves
others awaits `warm_up` before.
"""

import re
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx

from nsqcore.classes import Factory, define, field, frozen
from nsqcore.errors import NsqError
from nsqcore.http.pools import IDLE, Pools
from nsqcore.net.reasons import failure_reason
from nsqcore.redaction import redact
from nsqcore.tls import system_tls

# What an answer may unpack to, for each byte received, above the first MiB. Statistics shrink to a
# twentieth.
MAX_RATIO = 100
_FREE = 1024 * 1024
_PIECE = 256 * 1024  # unpacked between two looks at the limits
# Pieces of an answer, as the server cut it, before others have their turn: it may cut after each
# byte, and thousands of pieces come with one read.
_STEP = 100

# Beside what httpx names: hosts that cannot be encoded, threads that cannot be started.
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError)

# What a header can carry (RFC 9110, 5.5), of the characters that all understand alike.
_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")

ACCEPT = "application/vnd.nsq; version=1.0"
Params = Mapping[str, str | int | Sequence[str]]


class RequestFailed(NsqError):
    """There is no answer, or none that can be used; the text says why, and names no address.

    ``wrong_server``: what listens there speaks no HTTP, or not with us, and will not by itself.
    ``late``: it was waited for in vain as long as may be.
    """

    def __init__(self, text: str, *, wrong_server: bool = False, late: bool = False) -> None:
        super().__init__(text)
        self.wrong_server = wrong_server
        self.late = late


@frozen
class HttpAnswer:
    """Any answer, an error status included; ``headers`` is without case."""

    status: int
    body: bytes
    headers: httpx.Headers = Factory(httpx.Headers)


@define(eq=False, repr=False, kw_only=True)
class HttpClient:
    """Sends requests. Close it with ``async with`` or `aclose`, in any task.

    Times are seconds, 0 or None for no limit. ``max_answer`` is in bytes. Without ``tls`` the
    system's authorities vouch for servers.
    """

    connect_timeout: float | None = 2.0
    request_timeout: float | None = 5.0
    max_answer: int = 64 * 1024 * 1024
    tls: ssl.SSLContext | None = None
    idle: float = IDLE
    follow_redirects: bool = False
    _pools: Pools = field(init=False)

    def __attrs_post_init__(self) -> None:
        timeout = httpx.Timeout(None, connect=self.connect_timeout or None)
        self._pools = Pools(timeout, self.idle, self.follow_redirects)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; takes a second at most, also when cancelled."""
        await self._pools.close()

    @property
    def servers(self) -> int:
        """How many servers it keeps connections for."""
        return len(self._pools)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
    ) -> HttpAnswer:
        """The answer of ``url`` to one request.

        Args:
            answered: awaited as soon as an answer begins to come, before it is read on.

        Raises:
            RequestFailed: it did not come in time, or is no answer, or too large.
        """
        for name, value in (headers or {}).items():
            if not _VALUE.fullmatch(value):  # perhaps a secret: it is not shown
                raise RequestFailed(f"{name} has a value that no header can carry")
        wrong_server = late = False
        try:
            target = httpx.URL(url)
            port = target.port or 80
            if target.scheme not in ("http", "https") or not target.host or port > 65535:
                raise RequestFailed(f"{redact(url)!r} is no HTTP URL")
            with anyio.fail_after(self.request_timeout or None):
                return await self._exchange(method, target, params, headers or {}, body, answered)
        except httpx.ConnectTimeout:
            reason, late = "no connection in time", True
        except (httpx.TimeoutException, TimeoutError):
            reason, late = "no answer in time", True
        except _FAILURES as error:
            reason = failure_reason(error)
            wrong_server = _is_wrong_server(error)
        # Raised outside of `except`: whoever keeps it keeps no frames.
        raise RequestFailed(reason, wrong_server=wrong_server, late=late)

    async def _exchange(
        self,
        method: str,
        url: httpx.URL,
        params: Params | None,
        headers: Mapping[str, str],
        body: bytes | None,
        answered: Callable[[], Awaitable[None]] | None,
    ) -> HttpAnswer:
        tls = None
        if url.scheme == "https":
            tls = self.tls = self.tls or await anyio.to_thread.run_sync(system_tls)
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        sent = {
            "Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "nsq-trio", **headers,
        }  # fmt: skip
        response: httpx.Response | None = None
        more = {"trace": partial(_trace, answered)} if answered else None
        try:
            async with (
                self._pools.use(origin, tls) as client,
                client.stream(
                    method, url, params=params, headers=sent, content=body, extensions=more
                ) as response,
            ):
                content = await _read(response, self.max_answer)
                return HttpAnswer(response.status_code, content, response.headers)
        finally:
            if response is not None:
                _break_circles(response)


async def _trace(answered: Callable[[], Awaitable[None]], event: str, _: object) -> None:
    if event == "http11.receive_response_headers.complete":
        await answered()


async def warm_up() -> None:
    """Load what the first request would load, of the libraries and for this event loop."""
    httpx.AsyncHTTPTransport(verify=False)
    "host".encode("idna")
    await anyio.lowlevel.checkpoint()


def _break_circles(response: httpx.Response) -> None:
    """Let go of what each response refers to and is referred to by: connection and pool."""
    for each in (*response.history, response):
        each.stream = httpx.ByteStream(b"")


def _is_wrong_server(error: BaseException) -> bool:
    if isinstance(error, httpx.RemoteProtocolError):
        return str(error).startswith("illegal")  # a server that goes away hangs up without a word
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        if isinstance(cause, ssl.SSLError):
            return cause.reason == "WRONG_VERSION_NUMBER"  # no TLS there
        cause = cause.__cause__ or cause.__context__
    return False


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body of ``response``, unpacked. Raises RequestFailed."""
    body = _Body(limit, _unpacker(response.headers.get("content-encoding", "")))
    # httpx cleans up behind a cancelled read, not behind one that just goes no further.
    pieces = 0
    with anyio.CancelScope() as reading:
        async for raw in response.aiter_raw():
            pieces += 1
            if pieces % _STEP == 0:
                await anyio.lowlevel.checkpoint()
            try:
                body.add(raw)
            except (RequestFailed, zlib.error) as error:
                body.failure = str(error)
                reading.cancel()
    if body.failure:
        raise RequestFailed(body.failure)
    return b"".join(body.parts)


@define(eq=False, repr=False)
class _Body:
    limit: int
    unpacker: "zlib._Decompress | None"
    parts: list[bytes] = Factory(list)
    received: int = 0
    held: int = 0
    failure: str = ""

    def add(self, raw: bytes) -> None:
        """Keep what ``raw`` unpacks to. Raises RequestFailed, zlib.error."""
        self.received += len(raw)
        for part in _unpack(self.unpacker, raw):
            self.held += len(part)
            if self.held > self.limit:
                raise RequestFailed(f"more than {self.limit} bytes")
            if self.unpacker and self.held > _FREE + MAX_RATIO * self.received:
                raise RequestFailed(f"an answer that unpacks to over {MAX_RATIO} times its size")
            self.parts.append(part)


def _unpacker(encoding: str) -> "zlib._Decompress | None":
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # tells the two apart by itself
    raise RequestFailed(f"an answer in the encoding {encoding!r:.40}, which was not asked for")


def _unpack(unpacker: "zlib._Decompress | None", raw: bytes) -> Iterator[bytes]:
    if unpacker is None:
        yield raw
        return
    while raw:
        yield unpacker.decompress(raw, _PIECE)
        raw = unpacker.unconsumed_tail
