"""What an auth server allows a client, and for how long.

Patterns are regular expressions, found anywhere in the name. Publishing names no
channel: one of the channel patterns has to match the empty string for it.
"""

import json
from typing import Any

from nsqcore.classes import field, frozen
from nsqcore.errors import NsqError
from nsqcore.json import JsonError, decode_folded
from nsqcore.patterns import BadPattern, Pattern

# Patterns in one answer. Each takes some kilobytes when it is compiled.
MAX_PATTERNS = 10_000
# Topics of which a client's rights are remembered: asking the patterns each time costs 16 us.
MAX_KNOWN = 100

SUBSCRIBE, PUBLISH = "subscribe", "publish"


class BadPermissions(NsqError):
    """The auth server's answer is not one that can be acted on."""


@frozen
class Authorization:
    """What is allowed on the topics and channels that match."""

    topic: Pattern
    channels: tuple[Pattern, ...]
    allowed: frozenset[str]

    def covers(self, topic: str, channel: str, permission: str) -> bool:
        """Whether this allows ``permission`` there."""
        return (
            permission in self.allowed
            and self.topic.matches(topic)
            and any(pattern.matches(channel) for pattern in self.channels)
        )


@frozen
class Permissions:
    """An auth server's answer. ``expires`` is monotonic ns."""

    authorizations: tuple[Authorization, ...]
    identity: str
    identity_url: str
    expires: int
    _known: dict[tuple[str, str, str], bool] = field(factory=dict, eq=False, repr=False)

    def allow(self, topic: str, channel: str, permission: str) -> bool:
        """Whether any authorization allows ``permission`` there."""
        asked = (topic, channel, permission)
        allowed = self._known.get(asked)
        if allowed is None:
            allowed = any(a.covers(*asked) for a in self.authorizations)
            if len(self._known) < MAX_KNOWN:
                self._known[asked] = allowed
        return allowed

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
    """The permissions in an auth server's JSON ``body``. Raises BadPermissions."""
    try:
        reply = decode_folded(body)
    except JsonError as error:
        raise BadPermissions("the answer is not JSON") from error
    reply = _object(reply, "the answer")
    ttl = reply.get("ttl")
    if type(ttl) is not int or not 0 < ttl < 2**63:
        raise BadPermissions(f"invalid TTL {ttl!r:.80}")
    return Permissions(
        parse_authorizations(reply.get("authorizations")),
        _text(reply.get("identity")),
        _text(reply.get("identity_url")),
        now + ttl * 1_000_000_000,
    )


def parse_authorizations(value: object) -> tuple[Authorization, ...]:
    """The authorizations in the list ``value``. Raises BadPermissions."""
    authorizations = [_object(item, "an authorization") for item in _list(value, "authorizations")]
    patterns = sum(1 + len(_list(item.get("channels"), "channels")) for item in authorizations)
    if patterns > MAX_PATTERNS:
        raise BadPermissions(f"more than {MAX_PATTERNS} patterns")
    return tuple(_authorization(item) for item in authorizations)


def _authorization(item: dict[str, Any]) -> Authorization:
    allowed = frozenset(_text(name) for name in _list(item.get("permissions"), "permissions"))
    if unknown := allowed - {SUBSCRIBE, PUBLISH}:
        raise BadPermissions(f"unknown permission {sorted(unknown)[0]:.80}")
    channels = _list(item.get("channels"), "channels")
    return Authorization(
        _pattern(item.get("topic")), tuple(_pattern(channel) for channel in channels), allowed
    )


def _pattern(text: object) -> Pattern:
    try:
        return Pattern(_text(text))
    except BadPattern as error:
        raise BadPermissions(str(error)) from error


def _object(value: object, name: str) -> dict[str, Any]:
    """``value``, if it is an object."""
    if not isinstance(value, dict):
        raise BadPermissions(f"{name} is not a JSON object")
    return value


def _list(value: object, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadPermissions(f"{name} is not a list")
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadPermissions(f"{value!r:.80} is not a string")
    return value
