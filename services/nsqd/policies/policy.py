"""One policy, and how it is read."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from nsqcore.classes import field, frozen
from nsqcore.late import load
from nsqcore.names import MAX_NAME_LENGTH
from nsqd.policies.errors import InvalidPolicy
from nsqd.policies.keys import KEYS, SUPPORTED, Key, dead_letter_topic
from nsqd.policies.patterns import NamePattern, parse_pattern

POLICY, LIMIT = "policy", "limit"
DEAD_LETTER = "dead_letter"  # how a full channel makes room

_NAME = re.compile(r"[.a-zA-Z0-9_-]{1,64}")
_FIELDS = ("pattern", "priority", "kind", "definition")
_MAX_PRIORITY = 2**31 - 1


@frozen
class Policy:
    """Values for all names that ``pattern`` matches.

    ``kind`` is ``policy``, or ``limit``: then its values are the most that any policy can give.
    ``definition`` is as it was given, ``values`` as they are used (see `nsqd.policies.keys`).
    """

    name: str
    pattern: NamePattern
    definition: Mapping[str, Any]
    priority: int = 0
    kind: str = POLICY
    values: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As it is listed, kept and given to `parse_policy`."""
        return {
            "name": self.name,
            "pattern": str(self.pattern),
            "priority": self.priority,
            "kind": self.kind,
            "definition": dict(self.definition),
        }


def parse_policy(name: str, raw: object, *, supported: Collection[str] = SUPPORTED) -> Policy:
    """The policy ``name`` that the JSON object ``raw`` describes.

    Args:
        supported: the keys that something acts on.

    Raises:
        InvalidPolicy: it is none.
    """
    if not _NAME.fullmatch(name):
        raise InvalidPolicy("name: expected 1 to 64 of the characters .a-zA-Z0-9_-")
    if not isinstance(raw, dict):
        raise InvalidPolicy("expected a JSON object")
    for key in raw:
        if key not in _FIELDS:
            raise InvalidPolicy(_unknown("field", key, _FIELDS))
    priority, kind = raw.get("priority", 0), raw.get("kind", POLICY)
    if type(priority) is not int or not -_MAX_PRIORITY <= priority <= _MAX_PRIORITY:
        raise InvalidPolicy("priority: expected a whole number of 32 bits")
    if kind not in (POLICY, LIMIT):
        raise InvalidPolicy(f"kind: expected {POLICY} or {LIMIT}")
    pattern = parse_pattern(raw.get("pattern"))
    definition = raw.get("definition")
    if not isinstance(definition, dict) or not definition:
        raise InvalidPolicy("definition: expected an object with one key at least")
    values = {
        key: _value(_key(key, supported), value, pattern, kind) for key, value in definition.items()
    }
    _check_dead_letter_topic(pattern, values)
    return Policy(name, pattern, dict(definition), priority, kind, values)


def _check_dead_letter_topic(pattern: NamePattern, values: Mapping[str, Any]) -> None:
    """Raises InvalidPolicy where dead letters of the one topic it is about had nowhere to go."""
    kills = values.keys() & {"max_attempts", "message_ttl"} or values.get("overflow") == DEAD_LETTER
    named = "dead_letter_topic" in values or "*" in pattern.topic or "?" in pattern.topic
    if kills and not named and not dead_letter_topic(pattern.topic):
        raise InvalidPolicy(
            f"dead_letter_topic: expected one, as {pattern.topic}.dead is longer than"
            f" {MAX_NAME_LENGTH} characters"
        )


def _key(name: str, supported: Collection[str]) -> Key:
    if name not in KEYS:
        raise InvalidPolicy(_unknown("key", name, supported))
    if name not in supported:
        raise InvalidPolicy(f"{name}: this nsqd does not have it")
    return KEYS[name]


def _value(key: Key, value: object, pattern: NamePattern, kind: str) -> Any:
    if kind == LIMIT and not key.ordered:
        raise InvalidPolicy(f"{key.name}: a limit can only cap numbers, sizes and durations")
    if pattern.channel is not None and not key.of_channels:
        raise InvalidPolicy(
            f"{key.name} is of topics: expected a pattern without a channel, not {pattern}"
        )
    try:
        return key.read(value)
    except ValueError as error:
        raise InvalidPolicy(f"{key.name}: expected {error}, not {value!r:.80}") from None


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = load("difflib:get_close_matches")(name[:64], known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are: {', '.join(known) or 'none'}"
    return f"unknown {what} {name!r:.80}; {hint}"
