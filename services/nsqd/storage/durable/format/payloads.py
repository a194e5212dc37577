"""What stands in the payloads of journal entries (`entries.Kind`).

::

    BATCH          topic u32 | segment u64 | position u64 | the batch, byte for byte (`batches`)
    ACK            topic u32 | channel u32 | n x id u64
    BACK SENT      topic u32 | channel u32 | n x (id u64 | attempts u16 | due i64)
    MOVE           n x (kind u8 | length u32 | payload)
    TOPIC CHANNEL  JSON: {"op": …, "topic": number, …}
"""

import json
from collections.abc import Iterator
from struct import Struct, error
from typing import Any, NamedTuple

from nsqcore.wire.headers import MOST_ATTEMPTS
from nsqd.storage.durable.format.entries import Kind

_PLACE = Struct("<IQQ")
_CHANNEL = Struct("<II")
_CHANGE = Struct("<QHq")
_ID = Struct("<Q")
_PART = Struct("<BI")

#: id, attempts, due (wall-clock ns); of an ACK only the id counts
Change = tuple[int, int, int]


class BadPayload(Exception):
    """A payload is not what its kind of entry has."""


def encode_place(topic: int, segment: int, position: int) -> bytes:
    """What stands before the batch in the payload of a BATCH (`Place`)."""
    return _PLACE.pack(topic, segment, position)


class Place(NamedTuple):
    """Where a batch belongs: the topic's number, the segment's first ordinal, a position in it."""

    topic: int
    segment: int
    position: int


def decode_batch(payload: bytes) -> tuple[Place, bytes]:
    """The place and the batch. Raises BadPayload."""
    try:
        return Place(*_PLACE.unpack_from(payload)), payload[_PLACE.size :]
    except error:
        raise BadPayload("too short for a batch") from None


def encode_channel(topic: int, channel: int) -> bytes:
    """What stands before the messages in the payload of an ACK, BACK or SENT entry."""
    return _CHANNEL.pack(topic, channel)


def decode_changes(kind: Kind, payload: bytes) -> tuple[int, int, list[Change]]:
    """Topic number, channel number and changes. Raises BadPayload."""
    try:
        topic, channel = _CHANNEL.unpack_from(payload)
        rest = payload[_CHANNEL.size :]
        if kind == Kind.ACK:
            return topic, channel, [(id, 0, 0) for (id,) in _ID.iter_unpack(rest)]
        # earlier versions wrote the mark of headers with the attempts
        changes = _CHANGE.iter_unpack(rest)
        return topic, channel, [(id, made & MOST_ATTEMPTS, due) for id, made, due in changes]
    except error:
        raise BadPayload("not a list of changes") from None


def encode_move(parts: list[tuple[Kind, list[bytes]]]) -> list[bytes]:
    """The payload of an entry that holds several others, which happen together."""
    encoded: list[bytes] = []
    for kind, payload in parts:
        encoded += [_PART.pack(kind, sum(map(len, payload))), *payload]
    return encoded


def decode_move(payload: bytes) -> Iterator[tuple[Kind, bytes]]:
    """The entries in a MOVE. Raises BadPayload."""
    at = 0
    while at < len(payload):
        try:
            kind, length = _PART.unpack_from(payload, at)
            yield Kind(kind), payload[at + _PART.size : at + _PART.size + length]
        except (error, ValueError):
            raise BadPayload("not a list of entries") from None
        at += _PART.size + length


def encode_fields(fields: dict[str, Any]) -> bytes:
    """The payload of a TOPIC or CHANNEL entry."""
    return json.dumps(fields).encode()


def decode_fields(payload: bytes) -> dict[str, Any]:
    """What a TOPIC or CHANNEL entry says. Raises BadPayload."""
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadPayload("not JSON") from None
    if not isinstance(fields, dict):
        raise BadPayload("not a JSON object")
    return fields
