"""The HTTP interface of nsqd, for programs: each method is one request."""

import ssl
from collections.abc import Sequence
from struct import Struct
from types import TracebackType
from typing import Any, Self

from attrs import define, field

from nsqclient.http.api import Api, Query, dictionary

_size = Struct(">i").pack


@define(eq=False)
class NsqdHttp:
    """The HTTP interface of the nsqd at ``address`` (``host:port`` or a URL).

    An ``https://`` URL is checked against the system's authorities, or by ``tls``.
    """

    _api: Api = field(init=False, repr=False)
    address: str
    timeout: float = field(default=5.0, kw_only=True)
    tls: ssl.SSLContext | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self._api = Api(self.address, self.timeout, self.tls)

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
        return dictionary(await self._api.get("/info"))

    async def stats(
        self, topic: str | None = None, channel: str | None = None, *, include_clients: bool = True
    ) -> dict[str, Any]:
        """The statistics, of everything or of one topic or channel."""
        query: Query = {"format": "json", "include_clients": str(include_clients).lower()}
        if topic is not None:
            query["topic"] = topic
        if channel is not None:
            query["channel"] = channel
        return dictionary(await self._api.get("/stats", query))

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
