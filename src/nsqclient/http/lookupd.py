"""The HTTP interface of nsqlookupd, for programs: each method is one request."""

import ssl
from types import TracebackType
from typing import Any, Self

from attrs import define, field

from nsqclient.core.errors import HttpError
from nsqclient.http.api import Api, dictionary
from nsqclient.http.producers import Found, Producer, names, producers


@define(eq=False)
class LookupdHttp:
    """The HTTP interface of the nsqlookupd at ``address`` (``host:port`` or a URL).

    An ``https://`` URL is checked against the system's authorities, or by ``tls``.
    ``auth_secret`` is sent as ``Authorization: Bearer``, as the original's clients do.
    """

    _api: Api = field(init=False, repr=False)
    address: str
    timeout: float = field(default=5.0, kw_only=True)
    tls: ssl.SSLContext | None = field(default=None, kw_only=True)
    auth_secret: str | None = field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        self._api = Api(self.address, self.timeout, self.tls, self.auth_secret)

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
        return dictionary(await self._api.get("/info"))

    async def lookup(self, topic: str) -> Found:
        """Who has ``topic``; nobody if nsqlookupd does not know it."""
        try:
            answer = dictionary(await self._api.get("/lookup", {"topic": topic}))
        except HttpError as error:
            if error.message == "TOPIC_NOT_FOUND":
                return Found([], [])
            # Another 404 is of something that is no nsqlookupd; this one is an nsqd's.
            error.wrong_server = error.wrong_server or error.message == "NOT_FOUND"
            raise
        return Found(names(answer, "channels"), producers(answer))

    async def topics(self) -> list[str]:
        """The names of all topics."""
        return names(dictionary(await self._api.get("/topics")), "topics")

    async def channels(self, topic: str) -> list[str]:
        """The names of a topic's channels."""
        answer = await self._api.get("/channels", {"topic": topic})
        return names(dictionary(answer), "channels")

    async def nodes(self) -> list[Producer]:
        """Every nsqd that is registered."""
        return producers(dictionary(await self._api.get("/nodes")))

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
