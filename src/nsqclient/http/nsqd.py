"""The HTTP interface of nsqd, for programs: each method is one request."""

import json
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

from nsqclient.http.api import DaemonHttp, Query, dictionary
from nsqcore.classes import define
from nsqcore.wire.headers import RESERVED

_size = Struct(">i").pack


@define(eq=False, repr=False)
class NsqdHttp(DaemonHttp):
    """The HTTP interface of the nsqd at ``address`` (``host:port`` or a URL).

    An ``https://`` URL is checked against the system's authorities, or by ``tls``.
    ``auth_secret`` is a token for an nsqd that asks for one (``--auth-file``). Every method raises
    `HttpError` where nsqd refuses, or does not answer.
    """

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

    async def publish(
        self,
        topic: str,
        body: bytes,
        *,
        defer: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish one message, to be delivered after ``defer`` seconds.

        ``headers`` as in `Producer.publish`.
        """
        query: Query = {"topic": topic, **_headers(headers)}
        if defer:
            query["defer"] = round(defer * 1000)
        await self._api.post("/pub", query, body)

    async def publish_many(
        self, topic: str, bodies: Sequence[bytes], *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish all of ``bodies`` or none, each with the same ``headers``."""
        parts = [part for body in bodies for part in (_size(len(body)), body)]
        payload = b"".join([_size(len(bodies)), *parts])
        query: Query = {"topic": topic, "binary": "true", **_headers(headers)}
        await self._api.post("/mpub", query, payload)

    async def redrive(
        self,
        topic: str,
        *,
        channel: str | None = None,
        ids: Sequence[str] = (),
        limit: int | None = None,
        to: str = "channel",
    ) -> dict[str, Any]:
        """Send the messages of the dead-letter ``topic`` back to where they come from.

        Args:
            channel: the channel of the dead-letter topic from which they are taken.
            ids: which; all, if there are none.
            limit: at most so many, the oldest first.
            to: ``channel``, the one that each comes from, or ``topic``, all of its channels.

        Returns:
            The answer: how many were ``moved``, and how many are ``left``.
        """
        query: Query = {"topic": topic, "to": to}
        if channel is not None:
            query["channel"] = channel
        if limit is not None:
            query["limit"] = limit
        if ids:
            query["id"] = list(ids)
        return dictionary(await self._api.ask("/message/redrive", query))

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

    async def sync_topic(self, topic: str) -> None:
        """Return when all that a durable topic has accepted is on disk."""
        await self._api.post("/topic/sync", {"topic": topic})

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

    # What an nsqd has and others do not: the original answers 404.

    async def list_policies(self) -> list[dict[str, Any]]:
        """The policies, with their names."""
        answer = dictionary(await self._api.get("/policy/list"))
        return list(answer.get("policies") or ())

    async def effective_policy(self, topic: str, channel: str | None = None) -> dict[str, Any]:
        """What holds for a topic or channel, each value with the policy that it comes from."""
        return dictionary(await self._api.get("/policy/effective", _of(topic, channel)))

    async def set_policy(self, name: str, policy: Mapping[str, Any]) -> None:
        """Define a policy (``pattern``, ``priority``, ``kind``, ``definition``), or redefine it."""
        body = json.dumps(policy).encode()
        await self._api.request("PUT", "/policy/set", {"name": name}, body)

    async def delete_policy(self, name: str) -> None:
        """Take a policy back."""
        await self._api.post("/policy/delete", {"name": name})

    async def durable_status(self) -> dict[str, Any]:
        """How the journal of durable topics is doing."""
        return dictionary(await self._api.get("/durable/status"))

    async def list_messages(
        self,
        topic: str,
        channel: str | None = None,
        *,
        state: str = "queued",
        limit: int = 100,
        next: str = "",
        body: str = "base64",
        max_body: int = 1024,
        contains: str = "",
        id: str = "",
        min_age: str = "",
        max_age: str = "",
    ) -> dict[str, Any]:
        """A page of messages, which stay where they are; the parameters are those of nsqd.

        ``next`` of the answer is that of the page after it, and empty at the end.
        """
        query = _of(topic, channel)
        query |= {"state": state, "limit": limit, "next": next, "body": body, "max_body": max_body}
        filters = {"contains": contains, "id": id, "min_age": min_age, "max_age": max_age}
        query |= {name: value for name, value in filters.items() if value}
        return dictionary(await self._api.get("/message/list", query))

    async def get_message(
        self, topic: str, id: str, channel: str | None = None, *, body: str = "base64"
    ) -> dict[str, Any]:
        """One message with all of its body."""
        query = _of(topic, channel) | {"id": id, "body": body}
        return dictionary(await self._api.get("/message/get", query))

    async def message_body(self, topic: str, id: str, channel: str | None = None) -> bytes:
        """The body of one message."""
        query = _of(topic, channel) | {"id": id, "format": "raw"}
        return await self._api.request("GET", "/message/get", query)

    async def finish_messages(
        self, topic: str, ids: Sequence[str], channel: str | None = None, *, reason: str = ""
    ) -> dict[str, Any]:
        """Have messages done with; how many were ``done``, and which are ``missing``."""
        return await self._act("finish", topic, channel, ids, reason)

    async def requeue_messages(
        self, topic: str, ids: Sequence[str], channel: str, *, reason: str = ""
    ) -> dict[str, Any]:
        """Have messages delivered at once, whoever holds them; as `finish_messages`."""
        return await self._act("requeue", topic, channel, ids, reason)

    async def dead_letter_messages(
        self, topic: str, ids: Sequence[str], channel: str, *, reason: str = ""
    ) -> dict[str, Any]:
        """Send messages to the dead-letter topic of their channel; as `finish_messages`."""
        return await self._act("dead", topic, channel, ids, reason)

    async def copy_messages(
        self,
        topic: str,
        ids: Sequence[str],
        channel: str | None = None,
        *,
        to: str,
        reason: str = "",
    ) -> dict[str, Any]:
        """Publish the bodies of messages to the topic ``to``; as `finish_messages`."""
        return await self._act("copy", topic, channel, ids, reason, to=to)

    async def _act(
        self,
        verb: str,
        topic: str,
        channel: str | None,
        ids: Sequence[str],
        reason: str,
        **more: str,
    ) -> dict[str, Any]:
        query = _of(topic, channel) | {"id": list(ids), **more}
        if reason:
            query["reason"] = reason
        return dictionary(await self._api.ask(f"/message/{verb}", query))


def _of(topic: str, channel: str | None) -> Query:
    return {"topic": topic} if channel is None else {"topic": topic, "channel": channel}


def _headers(headers: Mapping[str, str] | None) -> Query:
    """The parameters of ``headers``, without those that nsqd alone gives."""
    own = [
        f"{name}:{value}"
        for name, value in (headers or {}).items()
        if not name.startswith(RESERVED)
    ]
    return {"header": own} if own else {}
