"""Records: the bytes a message is inside nsqd (docs/architecture.md).

In a queue the attempts field holds the number of the *next* delivery, in flight
the number of *this* one. `requeued` is the step from the second to the first.
"""

from struct import Struct

from nsqcore.wire.headers import MARK, MOST_ATTEMPTS, split_record

_HEADED = MARK << 8

_HEADER = Struct(">qH")
_ATTEMPTS = Struct(">H")
_TIMESTAMP = Struct(">q")


def new_header(timestamp: int, *, headed: bool = False) -> bytes:
    """The first ten bytes of a new record: ``timestamp`` in wall-clock ns, first attempt.

    A ``headed`` one has headers behind its body (`nsqcore.wire.headers`).
    """
    return _HEADER.pack(timestamp, _HEADED + 1 if headed else 1)


def message_id(record: bytes) -> bytes:
    """The 16 bytes of id."""
    return record[10:26]


def body(record: bytes) -> bytes:
    """What was published, without headers."""
    return split_record(record)[0]


def timestamp(record: bytes) -> int:
    """When the message was published, in wall-clock ns."""
    (value,) = _TIMESTAMP.unpack_from(record)
    return int(value)


def attempts(record: bytes) -> int:
    """The attempts field, without the mark of a record that has headers."""
    (value,) = _ATTEMPTS.unpack_from(record, 8)
    return int(value & MOST_ATTEMPTS)


def undelivered(record: bytes) -> bytes:
    """The record as it was in flight for the last time before ``record`` was queued; its attempts
    are 0 if it never was."""
    return _with_attempts(record, max(attempts(record) - 1, 0))


def requeued(record: bytes) -> bytes:
    """The record for the delivery after the one ``record`` was in flight for."""
    return _with_attempts(record, min(attempts(record) + 1, MOST_ATTEMPTS))


def _with_attempts(record: bytes, number: int) -> bytes:
    marked = (record[8] & MARK) << 8
    return b"".join((record[:8], _ATTEMPTS.pack(marked | number), record[10:]))
