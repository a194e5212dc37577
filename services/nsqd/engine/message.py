"""Records: the bytes a message is inside nsqd (docs/architecture.md).

In a queue the attempts field holds the number of the *next* delivery, in flight
the number of *this* one. `requeued` is the step from the second to the first.
"""

from struct import Struct

from nsqcore.wire.hot import MOST_ATTEMPTS

_HEADER = Struct(">qH")
_ATTEMPTS = Struct(">H")
_TIMESTAMP = Struct(">q")


def new_header(timestamp: int) -> bytes:
    """The first ten bytes of a new record: ``timestamp`` in wall-clock ns, first attempt."""
    return _HEADER.pack(timestamp, 1)


def message_id(record: bytes) -> bytes:
    """The 16 bytes of id."""
    return record[10:26]


def timestamp(record: bytes) -> int:
    """When the message was published, in wall-clock ns."""
    (value,) = _TIMESTAMP.unpack_from(record)
    return int(value)


def attempts(record: bytes) -> int:
    """The attempts field."""
    (value,) = _ATTEMPTS.unpack_from(record, 8)
    return int(value)


def requeued(record: bytes) -> bytes:
    """The record for the delivery after the one ``record`` was in flight for."""
    number = min(attempts(record) + 1, MOST_ATTEMPTS)  # the largest that the field can hold
    return b"".join((record[:8], _ATTEMPTS.pack(number), record[10:]))
