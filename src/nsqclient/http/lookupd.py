"""The HTTP interface of nsqlookupd, for programs: each method is one request."""

from nsqclient.core.errors import HttpError
from nsqclient.http.api import DaemonHttp, dictionary
from nsqclient.http.producers import Found, Producer, names, producers
from nsqcore.classes import define


@define(eq=False, repr=False)
class LookupdHttp(DaemonHttp):
    """The HTTP interface of the nsqlookupd at ``address`` (``host:port`` or a URL).

    An ``https://`` URL is checked against the system's authorities, or by ``tls``.
    ``auth_secret`` is sent as ``Authorization: Bearer``, as the original's clients do. Every method
    raises `HttpError` where nsqlookupd refuses, or does not answer.
    """

    async def lookup(self, topic: str) -> Found:
        """Who has ``topic``; nobody if nsqlookupd does not know it."""
        try:
            answer = dictionary(await self._api.get("/lookup", {"topic": topic}))
        except HttpError as error:
            if error.message == "TOPIC_NOT_FOUND":
                return Found([], [])
            _note_wrong_server(error)
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
        try:
            return producers(dictionary(await self._api.get("/nodes")))
        except HttpError as error:
            _note_wrong_server(error)
            raise

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


def _note_wrong_server(error: HttpError) -> None:
    # Another 404 is of something that is no nsqlookupd; this one is an nsqd's.
    error.wrong_server = error.wrong_server or error.message == "NOT_FOUND"
