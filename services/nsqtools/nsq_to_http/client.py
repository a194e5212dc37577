"""HTTP requests that carry messages: a GET with the message in its URL, or a POST of it.

Connections are kept and used again; there are as many as there are calls at once. A call either
succeeds, or raises `RequestFailed` with one line that says where and why.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from urllib.parse import quote_plus, urljoin

import attrs
import trio

from nsqcore.app.version import VERSION
from nsqcore.net.reasons import failure_reason
from nsqtools.nsq_to_http.connection import (
    Answer,
    HttpConnection,
    NoAnswer,
    Origin,
    Target,
    parse_url,
)

Caller = Callable[[str, bytes], Awaitable[None]]

USER_AGENT = f"nsq_to_http v{VERSION}"

# As many as the original follows.
MAX_REDIRECTS = 10

# Meant for the host they were given for, and for no other.
PRIVATE = frozenset({"host", "authorization", "cookie", "cookie2", "www-authenticate"})

_target = lru_cache(maxsize=64)(parse_url)


class RequestFailed(Exception):
    """The endpoint did not answer, or not with success; the text says which and why."""


def parse_headers(given: Sequence[str]) -> dict[str, str]:
    """The headers in ``name: value`` texts; raises ValueError for one that is none."""
    headers: dict[str, str] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition(":"))
        good = name and value and " " not in name and (name + value).isprintable()
        if not good or not name.isascii():
            raise ValueError(f"value format should be 'name: value', not {text!r}")
        headers[name] = value
    return headers


def check_url(url: str) -> None:
    """Refuse what is no URL to request, with a ValueError."""
    parse_url(url)


@attrs.define(eq=False)
class HttpClient:
    """A client for the endpoints; `open` makes one. Timeouts are seconds.

    ``headers`` go with every request and win over those made here. A redirect to another host
    does not get the `PRIVATE` ones.
    """

    headers: dict[str, str]
    content_type: str
    connect_timeout: float
    request_timeout: float
    _tls: ssl.SSLContext | None = None
    _idle: dict[Origin, list[HttpConnection]] = attrs.field(factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        headers: dict[str, str],
        content_type: str,
        connect_timeout: float,
        request_timeout: float,
    ) -> AsyncIterator["HttpClient"]:
        """Calls, for as long as the ``async with`` lasts."""
        calls = cls(headers, content_type, connect_timeout, request_timeout)
        try:
            yield calls
        finally:
            for connections in calls._idle.values():
                for connection in connections:
                    await connection.close()

    async def get(self, url: str, body: bytes) -> None:
        """GET ``url`` with the escaped ``body`` in place of ``%s``; 200 is success."""
        before, _, after = url.partition("%s")
        parts = (before.replace("%%", "%"), quote_plus(body), after.replace("%%", "%"))
        status = await self._call("GET", "".join(parts), url, b"")
        if status != 200:
            raise RequestFailed(f"GET {url}: got status code {status}")

    async def post(self, url: str, body: bytes) -> None:
        """POST ``body`` to ``url``; a status of 2xx is success."""
        status = await self._call("POST", url, url, body)
        if not 200 <= status < 300:
            raise RequestFailed(f"POST {url}: got status code {status}")

    async def _call(self, method: str, url: str, shown: str, body: bytes) -> int:
        try:
            with trio.fail_after(self.request_timeout):
                return await self._follow(method, url, body)
        except trio.TooSlowError as error:
            raise RequestFailed(f"{method} {shown}: no answer in time") from error
        except NoAnswer as error:
            raise RequestFailed(f"{method} {shown}: {error}") from error
        except (OSError, ValueError) as error:
            raise RequestFailed(f"{method} {shown}: {failure_reason(error)}") from error

    async def _follow(self, method: str, url: str, body: bytes) -> int:
        first = parse_url(url).origin.host
        for _ in range(MAX_REDIRECTS):
            target = _target(url) if method == "POST" else parse_url(url)
            headers = self.headers
            if target.origin.host != first:
                headers = {k: v for k, v in headers.items() if k.lower() not in PRIVATE}
            answer = await self._ask(target, self._request(method, target, headers, body))
            if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
                return answer.status
            if answer.status < 307 and method != "GET":
                method, body = "GET", b""
            url = urljoin(url, answer.location)
        raise NoAnswer(f"stopped after {MAX_REDIRECTS} redirects")

    def _request(self, method: str, target: Target, given: dict[str, str], body: bytes) -> bytes:
        headers = {"Host": target.host, "User-Agent": USER_AGENT}
        if target.authorization:
            headers["Authorization"] = target.authorization
        if method == "POST":
            headers["Content-Type"] = self.content_type
        own = {name.lower() for name in given}
        headers = {name: value for name, value in headers.items() if name.lower() not in own}
        headers |= given
        if method == "POST":
            headers["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {target.path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    async def _ask(self, target: Target, request: bytes) -> Answer:
        origin = target.origin
        idle = self._idle.setdefault(origin, [])
        while idle:
            connection = idle.pop()
            if not connection.is_fresh():
                await connection.close()
                continue
            try:
                return await self._exchange(connection, origin, request)
            except NoAnswer as error:
                if not error.stale:
                    raise
        return await self._exchange(await self._connect(origin), origin, request)

    async def _connect(self, origin: Origin) -> HttpConnection:
        if origin.secure and self._tls is None:
            # Reads the system's authorities, which takes a tenth of a second.
            self._tls = ssl.create_default_context()
        try:
            with trio.fail_after(self.connect_timeout):
                return await HttpConnection.connect(origin, self._tls)
        except trio.TooSlowError as error:
            raise NoAnswer("no connection in time") from error

    async def _exchange(self, connection: HttpConnection, origin: Origin, request: bytes) -> Answer:
        reusable = False
        try:
            answer = await connection.exchange(request)
            reusable = answer.reusable
        finally:
            if reusable:
                self._idle[origin].append(connection)
            else:
                await connection.close()
        return answer
