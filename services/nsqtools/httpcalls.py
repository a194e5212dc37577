"""HTTP requests that carry messages: a GET with the message in its URL, or a POST of it.

Connections are kept and reused. A request either succeeds, or raises `CallFailed` with one line
that says where and why; answers are read only as far as a connection needs it to be used again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote_plus, urlsplit

import attrs
import httpx
import trio

from nsqcore.app.version import VERSION

Caller = Callable[[str, bytes], Awaitable[None]]

USER_AGENT = f"nsq_to_http v{VERSION}"

# Of an answer: nobody looks at it. More than this and a new connection is cheaper than the rest.
MAX_ANSWER = 256 * 1024


class CallFailed(Exception):
    """The endpoint did not answer, or not with success; the text says which and why."""


def parse_headers(given: Sequence[str]) -> dict[str, str]:
    """The headers in ``name: value`` texts; raises ValueError for one that is none."""
    headers: dict[str, str] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition(":"))
        if not name or not value or not (name + value).isprintable() or " " in name:
            raise ValueError(f"value format should be 'name: value', not {text!r}")
        headers[name] = value
    return headers


def check_url(url: str) -> None:
    """Refuse what is no URL to request."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise ValueError(f"{url!r} is not a URL; write http://host:port/path")


@attrs.define(eq=False)
class HttpCalls:
    """A client for the endpoints; `open` makes one."""

    _client: httpx.AsyncClient
    _content_type: str
    _timeout: float

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        secure: bool,
        headers: dict[str, str],
        content_type: str,
        connect_timeout: float,
        request_timeout: float,
        connections: int,
    ) -> AsyncIterator["HttpCalls"]:
        """Calls for as long as the ``async with`` lasts. Timeouts are seconds.

        Args:
            secure: whether there are HTTPS endpoints; reading the authorities takes its time.
            headers: of every request; they win over those made here.
        """
        async with httpx.AsyncClient(
            verify=secure,
            trust_env=False,
            follow_redirects=True,
            timeout=httpx.Timeout(request_timeout, connect=connect_timeout),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"User-Agent": USER_AGENT, **headers},
        ) as client:
            own = any(name.lower() == "content-type" for name in headers)
            yield cls(client, "" if own else content_type, request_timeout)

    async def get(self, url: str, body: bytes) -> None:
        """GET ``url`` with the escaped ``body`` in place of ``%s``; 200 is success."""
        before, _, after = url.partition("%s")
        parts = (before.replace("%%", "%"), quote_plus(body), after.replace("%%", "%"))
        status = await self._call("GET", "".join(parts), url, None)
        if status != 200:
            raise CallFailed(f"GET {url}: got status code {status}")

    async def post(self, url: str, body: bytes) -> None:
        """POST ``body`` to ``url``; a status of 2xx is success."""
        status = await self._call("POST", url, url, body)
        if not 200 <= status < 300:
            raise CallFailed(f"POST {url}: got status code {status}")

    async def _call(self, method: str, url: str, shown: str, body: bytes | None) -> int:
        headers = {}
        if body is not None and self._content_type:
            headers["Content-Type"] = self._content_type
        try:
            with trio.fail_after(self._timeout):
                async with self._client.stream(
                    method, url, content=body, headers=headers
                ) as response:
                    size = 0
                    async for part in response.aiter_raw():
                        size += len(part)
                        if size > MAX_ANSWER:
                            break
                    return response.status_code
        except (trio.TooSlowError, httpx.TimeoutException) as error:
            raise CallFailed(f"{method} {shown}: no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise CallFailed(f"{method} {shown}: {error or type(error).__name__}") from error
