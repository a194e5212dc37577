"""HTTP requests that carry messages: a GET with the message in its URL, or a POST of it.

A client of our own, because of what it costs and what it promises. A POST of 200 bytes to an
endpoint on the same machine, 100 at a time, costs 0.1 ms of CPU here and 1.8 ms with httpx 0.28
(`bench/post_cost.py`). And a message must not be posted twice without need: a request is sent again
only if surely nothing of it arrived, the status counts as soon as it is here, and connections are
let go of (`pool`).
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from urllib.parse import quote_plus, urljoin

import trio

from nsqcore.app.process.version import VERSION
from nsqcore.classes import define, field
from nsqcore.net.reasons import failure_reason
from nsqcore.redaction import redact
from nsqcore.tls import system_tls
from nsqtools.nsq_to_http.connection import Answer, HttpConnection, NoAnswer
from nsqtools.nsq_to_http.headers import header_lines
from nsqtools.nsq_to_http.pool import Pool
from nsqtools.nsq_to_http.url import Origin, Target, parse_url

Call = Callable[[str, bytes], Awaitable[None]]

USER_AGENT = f"nsq_to_http v{VERSION}"

# As many as the original follows.
MAX_REDIRECTS = 10

# Seconds between two looks at idle connections.
SWEEP = 1.0

_target = lru_cache(maxsize=64)(parse_url)


class DeliveryFailed(Exception):
    """The endpoint did not answer, or not with success; the text says which and why."""


@define(eq=False, repr=False)
class EndpointClient:
    """A client for the endpoints; `open` makes one. Timeouts are seconds.

    ``headers`` go with every request and win over those made here. A redirect to another host
    does not get those that are private.
    """

    headers: dict[str, str]
    content_type: str
    connect_timeout: float
    request_timeout: float
    _tls: ssl.SSLContext | None = None
    _pool: Pool = field(factory=Pool)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        headers: dict[str, str],
        content_type: str,
        connect_timeout: float,
        request_timeout: float,
    ) -> AsyncIterator["EndpointClient"]:
        """A client, for as long as the ``async with`` lasts."""
        client = cls(headers, content_type, connect_timeout, request_timeout)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client._sweep)
            try:
                yield client
            finally:
                client._pool.close()
                nursery.cancel_scope.cancel()

    def idle_count(self) -> int:
        """How many connections are open though nothing uses them."""
        return self._pool.idle_count()

    async def get(self, url: str, body: bytes) -> None:
        """GET ``url`` with the escaped ``body`` in place of ``%s``; 200 is success.

        Raises:
            DeliveryFailed: the message has to be sent again.
        """
        before, _, after = url.partition("%s")
        parts = (before.replace("%%", "%"), quote_plus(body), after.replace("%%", "%"))
        status = await self._call("GET", "".join(parts), url, b"")
        if status != 200:
            raise DeliveryFailed(f"GET {redact(url)}: got status code {status}")

    async def post(self, url: str, body: bytes) -> None:
        """POST ``body`` to ``url``; a status of 2xx is success.

        Raises:
            DeliveryFailed: the message has to be sent again.
        """
        status = await self._call("POST", url, url, body)
        if not 200 <= status < 300:
            raise DeliveryFailed(f"POST {redact(url)}: got status code {status}")

    async def _call(self, method: str, url: str, shown: str, body: bytes) -> int:
        try:
            return await self._follow(method, url, body)
        except NoAnswer as error:
            reason = str(error)
        except (OSError, ValueError) as error:
            reason = failure_reason(error)
        raise DeliveryFailed(f"{method} {redact(shown)}: {reason}")

    async def _follow(self, method: str, url: str, body: bytes) -> int:
        deadline = trio.current_time() + self.request_timeout
        first = _target(url) if method == "POST" else parse_url(url)
        target = first
        for _ in range(MAX_REDIRECTS):
            private = target.origin.host == first.origin.host
            head = self._head(method, target, len(body), private=private)
            answer = await self._ask(target.origin, head, body, deadline)
            if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
                return answer.status
            if answer.status < 307 and method != "GET":
                method, body = "GET", b""
            url = urljoin(url, answer.location)
            target = parse_url(url)
        raise NoAnswer(f"stopped after {MAX_REDIRECTS} redirects")

    def _head(self, method: str, target: Target, length: int, *, private: bool) -> bytes:
        own = {"Host": target.host, "User-Agent": USER_AGENT}
        if target.authorization:
            own["Authorization"] = target.authorization
        if method == "POST":
            own["Content-Type"] = self.content_type
        lines = header_lines(own, self.headers, private=private)
        framing = b"Content-Length: %d\r\n" % length if method == "POST" else b""
        return f"{method} {target.path} HTTP/1.1\r\n".encode() + lines + framing + b"\r\n"

    async def _ask(self, origin: Origin, head: bytes, body: bytes, deadline: float) -> Answer:
        connection = self._pool.take(origin)
        if connection is not None:
            try:
                return await self._exchange(connection, origin, head, body, deadline)
            except NoAnswer as error:
                now = trio.current_time()
                if now < deadline:
                    self._pool.lost(origin, now)
                if not error.untouched or now >= deadline:
                    raise
        connection = await self._connect(origin, deadline)
        self._pool.asked(origin, connection, trio.current_time())
        return await self._exchange(connection, origin, head, body, deadline)

    async def _connect(self, origin: Origin, deadline: float) -> HttpConnection:
        if origin.secure and self._tls is None:
            self._tls = await trio.to_thread.run_sync(system_tls)
        limit = min(deadline, trio.current_time() + self.connect_timeout)
        try:
            with trio.fail_at(limit):
                return await HttpConnection.connect(origin, self._tls)
        except trio.TooSlowError as error:
            raise NoAnswer("no connection in time") from error

    async def _exchange(
        self, connection: HttpConnection, origin: Origin, head: bytes, body: bytes, deadline: float
    ) -> Answer:
        reusable = False
        try:
            answer = await connection.exchange(head, body, deadline)
            reusable = answer.reusable
        finally:
            self._pool.done(origin, connection, trio.current_time(), keep=reusable)
        return answer

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP)
            self._pool.close_old(trio.current_time())
