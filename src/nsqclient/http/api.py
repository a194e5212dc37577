"""One daemon's HTTP interface: requests, and the JSON that answers them.

Answers are read up to a limit and within a time; whatever goes wrong is an `HttpError`.
"""

import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from nsqclient.core.arguments import Secret, said
from nsqclient.core.errors import HttpError
from nsqcore.addresses import is_host
from nsqcore.classes import define, field
from nsqcore.errors import NsqError
from nsqcore.json import JsonError, decode
from nsqcore.redaction import redact

# Statistics of a daemon with thousands of clients are some megabytes.
MAX_ANSWER = 64 * 1024 * 1024

Query = dict[str, str | int | Sequence[str]]


def base_url(address: str) -> str:
    """``address`` as a URL without a slash at its end; plain ``host:port`` is taken as HTTP."""
    url = address if "://" in address else f"http://{address}"
    return url.rstrip("/")


def check_url(address: str) -> str:
    """``address`` if requests can be sent there; raises ValueError if not."""
    url = base_url(address)
    try:
        parts = urlsplit(url)
        port = parts.port  # a property that may raise
    except ValueError as error:
        raise ValueError(f"{redact(address)!r} is not an HTTP address: {error}") from None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not is_host(host) or port == 0:
        raise ValueError(f"{redact(address)!r} is not an HTTP address; write host:port or a URL")
    return address


@define(eq=False, repr=False)
class Api:
    """One daemon's HTTP interface. Open it with ``async with``."""

    address: str
    timeout: float = 5.0
    tls: ssl.SSLContext | None = None
    secret: Secret | None = field(default=None, repr=False)
    client: Any = None  # an `HttpClient`

    async def open(self) -> None:
        """Make the HTTP client; no connection yet."""
        if self.client is None:
            # Takes longer to load than all of the client, and a program that names its nsqds never
            # needs it.
            from nsqcore.http.client import HttpClient

            self.client = HttpClient(
                connect_timeout=self.timeout,
                request_timeout=self.timeout,
                max_answer=MAX_ANSWER,
                tls=self.tls,
            )

    async def close(self) -> None:
        """Close the connections; it can be opened again."""
        client, self.client = self.client, None
        if client is not None:
            await client.aclose()

    async def request(
        self, method: str, path: str, query: Query | None = None, body: bytes | None = None
    ) -> bytes:
        """The body of the answer to one request.

        Raises:
            HttpError: the daemon is not reached, is no such daemon, or answers another status
                than 200; ``status`` is 0 where there was no answer.
        """
        if self.client is None:
            raise RuntimeError("open it first: async with")
        url = base_url(self.address) + path
        where = redact(f"{method} {url}")
        headers = {}
        if self.secret is not None:
            headers["Authorization"] = f"Bearer {said(self.secret)}"
        try:
            answer = await self.client.request(
                method, url, params=query, headers=headers, body=body
            )
        except NsqError as error:  # a `RequestFailed`
            wrong_server = getattr(error, "wrong_server", False)
            raise HttpError(f"{where}: {error}", wrong_server=wrong_server) from None
        if answer.status != 200:
            message = _message(answer.body)
            text = f"{where}: {answer.status} {message}"
            raise HttpError(text, status=answer.status, message=message)
        return bytes(answer.body)

    async def get(self, path: str, query: Query | None = None) -> Any:
        """The decoded JSON of a GET. Raises HttpError, as `request` does, and for other texts."""
        return self._decoded("GET", path, await self.request("GET", path, query))

    def _decoded(self, method: str, path: str, answer: bytes) -> Any:
        try:
            return decode(answer)
        except JsonError:
            where = redact(f"{method} {base_url(self.address)}{path}")
        raise HttpError(f"{where}: not JSON: {answer[:100]!r}", status=200, wrong_server=True)

    async def ask(self, path: str, query: Query) -> Any:
        """The decoded JSON that answers a POST."""
        return self._decoded("POST", path, await self.request("POST", path, query))

    async def post(self, path: str, query: Query | None = None, body: bytes | None = None) -> None:
        """A POST whose answer says nothing."""
        await self.request("POST", path, query, body)


@define(eq=False, repr=False)
class DaemonHttp:
    """What the interfaces of nsqd and nsqlookupd have in common. Open it with ``async with``."""

    _api: Api = field(init=False, repr=False)
    address: str
    timeout: float = field(default=5.0, kw_only=True)  # seconds, of a connect and of a request
    tls: ssl.SSLContext | None = field(default=None, kw_only=True)
    auth_secret: Secret | None = field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        self._api = Api(self.address, self.timeout, self.tls, self.auth_secret)

    def __repr__(self) -> str:
        shown = f"address={redact(self.address)!r}, timeout={self.timeout}, tls={self.tls}"
        return f"{type(self).__name__}({shown})"

    async def __aenter__(self) -> Self:
        await self._api.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._api.close()

    async def ping(self) -> None:
        """Return if the daemon is well; raises `HttpError` with its reason if not."""
        await self._api.request("GET", "/ping")

    async def info(self) -> dict[str, Any]:
        """What the daemon says of itself: its version; nsqd also its ports and start time."""
        return dictionary(await self._api.get("/info"))


def _message(answer: bytes) -> str:
    try:
        decoded = decode(answer)
    except JsonError:
        return answer[:200].decode("utf-8", "replace").strip()
    return (
        str(decoded.get("message", ""))[:200] if isinstance(decoded, dict) else str(decoded)[:200]
    )


def dictionary(answer: object) -> dict[str, Any]:
    """The answer, or what old servers have wrapped into ``data``."""
    if (
        isinstance(answer, dict)
        and isinstance(answer.get("data"), dict)
        and "status_code" in answer
    ):
        answer = answer["data"]
    if not isinstance(answer, dict):
        text = f"not an answer of NSQ: {str(answer)[:100]}"
        raise HttpError(text, status=200, wrong_server=True)
    return answer
