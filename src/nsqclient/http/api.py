"""One daemon's HTTP interface: requests, and the JSON that answers them.

Answers are
read up to a limit and within a time; whatever goes wrong is an `HttpError`.

httpx is imported where it is first needed: it takes longer to load than all of
the client, and a program that names its nsqds never needs it.
"""

import json
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from attrs import define, field

from nsqclient.core.errors import HttpError
from nsqcore.net.reasons import failure_reason

if TYPE_CHECKING:
    import httpx

# Statistics of a daemon with thousands of clients are some megabytes.
MAX_ANSWER = 64 * 1024 * 1024

Query = dict[str, str | int]


def base_url(address: str) -> str:
    """``address`` as a URL without a slash at its end; plain ``host:port`` is taken as HTTP."""
    url = address if "://" in address else f"http://{address}"
    return url.rstrip("/")


def check_url(address: str) -> str:
    """``address`` if requests can be sent there; raises ValueError if not."""
    import httpx

    try:
        url = httpx.URL(base_url(address))
    except httpx.InvalidURL as error:
        raise ValueError(f"{address!r} is not an HTTP address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{address!r} is not an HTTP address; write host:port or a URL")
    return address


@define(eq=False)
class Api:
    """One daemon's HTTP interface. Open it with ``async with``."""

    address: str
    timeout: float = 5.0
    tls: ssl.SSLContext | None = None
    client: "httpx.AsyncClient | None" = None
    _stack: AsyncExitStack = field(factory=AsyncExitStack)

    async def open(self) -> None:
        if self.client is None:
            import httpx

            # Plain HTTP has no use for authorities. Redirects are not followed: it stays plain.
            secure = base_url(self.address).startswith("https:")
            if secure and self.tls is None:  # reading the system's takes tenths of a second
                self.tls = await anyio.to_thread.run_sync(ssl.create_default_context)
            verify = self.tls or False
            client = httpx.AsyncClient(verify=verify, timeout=self.timeout, trust_env=False)
            self.client = await self._stack.enter_async_context(client)

    async def close(self) -> None:
        await self._stack.aclose()

    async def request(
        self, method: str, path: str, query: Query | None = None, body: bytes | None = None
    ) -> bytes:
        """The body of the answer to one request."""
        import httpx

        where = f"{method} {base_url(self.address)}{path}"
        if self.client is None:
            raise RuntimeError("open it first: async with")
        try:
            with anyio.fail_after(self.timeout):
                status, answer = await self._exchange(self.client, method, path, query, body)
        except TimeoutError as error:
            raise HttpError(f"{where}: no answer within {self.timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HttpError(f"{where}: {failure_reason(error)}") from error
        if status != 200:
            message = _message(answer)
            raise HttpError(f"{where}: {status} {message}", status=status, message=message)
        return answer

    async def get(self, path: str, query: Query | None = None) -> Any:
        """The decoded JSON of a GET."""
        answer = await self.request("GET", path, query)
        try:
            return json.loads(answer)
        except (ValueError, RecursionError) as error:
            where = f"GET {base_url(self.address)}{path}"
            raise HttpError(f"{where}: not JSON: {answer[:100]!r}", status=200) from error

    async def post(self, path: str, query: Query | None = None, body: bytes | None = None) -> None:
        """A POST whose answer says nothing."""
        await self.request("POST", path, query, body)

    async def _exchange(
        self,
        client: "httpx.AsyncClient",
        method: str,
        path: str,
        query: Query | None,
        body: bytes | None,
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/vnd.nsq; version=1.0"}
        url = base_url(self.address) + path
        parts: list[bytes] = []
        held = 0
        async with client.stream(
            method, url, params=query, content=body, headers=headers
        ) as response:
            async for part in response.aiter_bytes():
                parts.append(part)
                held += len(part)
                if held > MAX_ANSWER:
                    raise HttpError(f"{method} {url}: the answer is over {MAX_ANSWER} bytes")
        return response.status_code, b"".join(parts)


def _message(answer: bytes) -> str:
    try:
        decoded = json.loads(answer)
    except (ValueError, RecursionError):
        return answer[:200].decode("utf-8", "replace").strip()
    return str(decoded.get("message", "")) if isinstance(decoded, dict) else str(decoded)[:200]


def dictionary(answer: object) -> dict[str, Any]:
    """The answer, or what old servers have wrapped into ``data``."""
    if (
        isinstance(answer, dict)
        and isinstance(answer.get("data"), dict)
        and "status_code" in answer
    ):
        answer = answer["data"]
    if not isinstance(answer, dict):
        raise HttpError(f"not an answer of NSQ: {str(answer)[:100]}", status=200)
    return answer
