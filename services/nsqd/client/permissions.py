"""What an auth server allows a client, and for how long.

Patterns are regular expressions, found anywhere in the name. Publishing names no
channel: one of the channel patterns has to match the empty string for it.
"""

import json
import re
from typing import Any

from attrs import frozen

from nsqcore.errors import NsqError
from nsqcore.json import JsonError, decode_folded
from nsqcore.wire.patterns import compile_pattern

SUBSCRIBE, PUBLISH = "subscribe", "publish"


class BadReply(NsqError):
    """The auth server's answer is not one that can be acted on."""


@frozen
class Authorization:
    """What is allowed on the topics and channels that match."""

    topic: re.Pattern[str]
    channels: tuple[re.Pattern[str], ...]
    allowed: frozenset[str]

    def covers(self, topic: str, channel: str, permission: str) -> bool:
        """Whether this allows ``permission`` there."""
        return (
            permission in self.allowed
            and self.topic.search(topic) is not None
            and any(pattern.search(channel) for pattern in self.channels)
        )


@frozen
class Permissions:
    """An auth server's answer. ``expires`` is monotonic ns."""

    authorizations: tuple[Authorization, ...]
    identity: str
    identity_url: str
    expires: int

    def allow(self, topic: str, channel: str, permission: str) -> bool:
        """Whether any authorization allows ``permission`` there."""
        return any(a.covers(topic, channel, permission) for a in self.authorizations)

    def reply(self) -> bytes:
        """The JSON answer to an AUTH."""
        return json.dumps(
            {
                "identity": self.identity,
                "identity_url": self.identity_url,
                "permission_count": len(self.authorizations),
            },
            separators=(",", ":"),
        ).encode()


def parse_permissions(body: bytes, now: int) -> Permissions:
    """The permissions in an auth server's JSON ``body``. Raises BadReply."""
    try:
        reply = decode_folded(body)
    except JsonError as error:
        raise BadReply("the answer is not JSON") from error
    reply = _object(reply, "the answer")
    ttl = reply.get("ttl")
    if type(ttl) is not int or ttl <= 0:
        raise BadReply(f"invalid TTL {ttl!r}")
    authorizations = _list(reply.get("authorizations"), "authorizations")
    return Permissions(
        tuple(_authorization(item) for item in authorizations),
        _text(reply.get("identity")),
        _text(reply.get("identity_url")),
        now + ttl * 1_000_000_000,
    )


def _authorization(item: object) -> Authorization:
    item = _object(item, "an authorization")
    allowed = frozenset(_text(name) for name in _list(item.get("permissions"), "permissions"))
    if unknown := allowed - {SUBSCRIBE, PUBLISH}:
        raise BadReply(f"unknown permission {sorted(unknown)[0]}")
    channels = _list(item.get("channels"), "channels")
    return Authorization(
        _pattern(item.get("topic")), tuple(_pattern(channel) for channel in channels), allowed
    )


def _pattern(text: object) -> re.Pattern[str]:
    try:
        return compile_pattern(_text(text))
    except ValueError as error:
        raise BadReply(str(error)) from error


def _object(value: object, name: str) -> dict[str, Any]:
    """``value``, if it is an object."""
    if not isinstance(value, dict):
        raise BadReply(f"{name} is not a JSON object")
    return value


def _list(value: object, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadReply(f"{name} is not a list")
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadReply(f"{value!r} is not a string")
    return value
