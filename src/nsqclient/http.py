"""The HTTP interfaces of nsqd and nsqlookupd, for programs.

Thin: each method is one request and returns the decoded answer. Answers are
read up to a limit and within a time; whatever goes wrong is an `HttpError`.

httpx is imported where it is first needed: it takes longer to load than all of
the client, and a program that names its nsqds never needs it.
"""

import json
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from struct import Struct
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from nsqclient.errors import HttpError
from nsqcore.net.addresses import join_host_port
from nsqcore.net.reasons import failure_reason

if TYPE_CHECKING:
    import httpx

# Statistics of a daemon with thousands of clients are some megabytes.
MAX_ANSWER = 64 * 1024 * 1024

Query = dict[str, str | int]

_size = Struct(">i").pack


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
class _Api:
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


@define(eq=False)
class NsqdHttp:
    """The HTTP interface of the nsqd at ``address`` (``host:port`` or a URL).

    An ``https://`` URL is checked against the system's authorities, or by ``tls``.
    """

    _api: _Api = field(init=False, repr=False)
    address: str
    timeout: float = field(default=5.0, kw_only=True)
    tls: ssl.SSLContext | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self._api = _Api(self.address, self.timeout, self.tls)

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
        """Return if nsqd is well; raises `HttpError` with its reason if not."""
        await self._api.request("GET", "/ping")

    async def info(self) -> dict[str, Any]:
        """Version, ports and start time."""
        return _dictionary(await self._api.get("/info"))

    async def stats(
        self, topic: str | None = None, channel: str | None = None, *, include_clients: bool = True
    ) -> dict[str, Any]:
        """The statistics, of everything or of one topic or channel."""
        query: Query = {"format": "json", "include_clients": str(include_clients).lower()}
        if topic is not None:
            query["topic"] = topic
        if channel is not None:
            query["channel"] = channel
        return _dictionary(await self._api.get("/stats", query))

    async def publish(self, topic: str, body: bytes, *, defer: float = 0) -> None:
        """Publish one message, to be delivered after ``defer`` seconds."""
        query: Query = {"topic": topic}
        if defer:
            query["defer"] = round(defer * 1000)
        await self._api.post("/pub", query, body)

    async def publish_many(self, topic: str, bodies: Sequence[bytes]) -> None:
        """Publish all of ``bodies`` or none."""
        parts = [part for body in bodies for part in (_size(len(body)), body)]
        payload = b"".join([_size(len(bodies)), *parts])
        await self._api.post("/mpub", {"topic": topic, "binary": "true"}, payload)

    async def create_topic(self, topic: str) -> None:
        """Make a topic, if it does not exist."""
        await self._api.post("/topic/create", {"topic": topic})

    async def delete_topic(self, topic: str) -> None:
        """Delete a topic with its channels and messages."""
        await self._api.post("/topic/delete", {"topic": topic})

    async def empty_topic(self, topic: str) -> None:
        """Drop the messages of a topic that no channel has yet."""
        await self._api.post("/topic/empty", {"topic": topic})

    async def pause_topic(self, topic: str) -> None:
        """Stop a topic's messages from reaching its channels."""
        await self._api.post("/topic/pause", {"topic": topic})

    async def unpause_topic(self, topic: str) -> None:
        """Undo `pause_topic`."""
        await self._api.post("/topic/unpause", {"topic": topic})

    async def create_channel(self, topic: str, channel: str) -> None:
        """Make a channel, if it does not exist."""
        await self._api.post("/channel/create", {"topic": topic, "channel": channel})

    async def delete_channel(self, topic: str, channel: str) -> None:
        """Delete a channel with its messages."""
        await self._api.post("/channel/delete", {"topic": topic, "channel": channel})

    async def empty_channel(self, topic: str, channel: str) -> None:
        """Drop the messages of a channel."""
        await self._api.post("/channel/empty", {"topic": topic, "channel": channel})

    async def pause_channel(self, topic: str, channel: str) -> None:
        """Stop a channel's messages from reaching its consumers."""
        await self._api.post("/channel/pause", {"topic": topic, "channel": channel})

    async def unpause_channel(self, topic: str, channel: str) -> None:
        """Undo `pause_channel`."""
        await self._api.post("/channel/unpause", {"topic": topic, "channel": channel})


@frozen
class Producer:
    """An nsqd as nsqlookupd knows it."""

    broadcast_address: str
    tcp_port: int
    http_port: int = 0
    hostname: str = ""
    version: str = ""

    @property
    def tcp_address(self) -> str:
        """Where its TCP clients connect."""
        return join_host_port(self.broadcast_address, self.tcp_port)


@frozen
class Found:
    """The channels of a topic and the nsqds that have it."""

    channels: list[str]
    producers: list[Producer]


@define(eq=False)
class LookupdHttp:
    """The HTTP interface of the nsqlookupd at ``address`` (``host:port`` or a URL).

    An ``https://`` URL is checked against the system's authorities, or by ``tls``.
    """

    _api: _Api = field(init=False, repr=False)
    address: str
    timeout: float = field(default=5.0, kw_only=True)
    tls: ssl.SSLContext | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self._api = _Api(self.address, self.timeout, self.tls)

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
        """Return if nsqlookupd answers."""
        await self._api.request("GET", "/ping")

    async def info(self) -> dict[str, Any]:
        """Its version."""
        return _dictionary(await self._api.get("/info"))

    async def lookup(self, topic: str) -> Found:
        """Who has ``topic``; nobody if nsqlookupd does not know it."""
        try:
            answer = _dictionary(await self._api.get("/lookup", {"topic": topic}))
        except HttpError as error:
            if error.message == "TOPIC_NOT_FOUND":
                return Found([], [])
            raise  # another 404 is of something that is no nsqlookupd
        return Found(_names(answer, "channels"), _producers(answer))

    async def topics(self) -> list[str]:
        """The names of all topics."""
        return _names(_dictionary(await self._api.get("/topics")), "topics")

    async def channels(self, topic: str) -> list[str]:
        """The names of a topic's channels."""
        answer = await self._api.get("/channels", {"topic": topic})
        return _names(_dictionary(answer), "channels")

    async def nodes(self) -> list[Producer]:
        """Every nsqd that is registered."""
        return _producers(_dictionary(await self._api.get("/nodes")))

    async def create_topic(self, topic: str) -> None:
        """Register a topic without an nsqd."""
        await self._api.post("/topic/create", {"topic": topic})

    async def delete_topic(self, topic: str) -> None:
        """Forget a topic."""
        await self._api.post("/topic/delete", {"topic": topic})

    async def create_channel(self, topic: str, channel: str) -> None:
        """Register a channel without an nsqd."""
        await self._api.post("/channel/create", {"topic": topic, "channel": channel})

    async def delete_channel(self, topic: str, channel: str) -> None:
        """Forget a channel."""
        await self._api.post("/channel/delete", {"topic": topic, "channel": channel})

    async def tombstone(self, topic: str, node: str) -> None:
        """Hide ``node`` (broadcast address and HTTP port) from lookups of ``topic`` for a while."""
        await self._api.post("/topic/tombstone", {"topic": topic, "node": node})


def _dictionary(answer: object) -> dict[str, Any]:
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


def _names(answer: dict[str, Any], key: str) -> list[str]:
    names = answer.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise HttpError(f"not a list of {key}: {str(names)[:100]}", status=200)
    return names


def _producers(answer: dict[str, Any]) -> list[Producer]:
    entries = answer.get("producers") or []
    if not isinstance(entries, list):
        raise HttpError(f"not a list of producers: {str(entries)[:100]}", status=200)
    return [_producer(entry) for entry in entries]


def _producer(entry: object) -> Producer:
    if isinstance(entry, dict):
        host = entry.get("broadcast_address") or entry.get("address")
        tcp, http = entry.get("tcp_port"), entry.get("http_port", 0)
        if (
            isinstance(host, str)
            and isinstance(tcp, int)
            and isinstance(http, int)
            and 0 < tcp < 65536
        ):
            return Producer(
                host, tcp, http, str(entry.get("hostname", "")), str(entry.get("version", ""))
            )
    raise HttpError(f"not a producer: {str(entry)[:100]}", status=200)
