"""Records as they lie in a disk queue: encoding and decoding, many at a time.

On disk a record is preceded by its size, a big-endian int32. In between its ten
leading bytes are a time and a count of deliveries. Records in a queue count the
delivery to come, those on disk the deliveries made, so the count is one lower on
disk; that is the only byte in which the two differ.

The loops are kept plain: they are among the few that are worth compiling.
No I/O, no clock.
"""

import struct
from typing import Final

RECORD_HEADER: Final = 26  # bytes before the body: time 8, attempts 2, id 16
SIZE_FIELD: Final = 4
MOST_ATTEMPTS: Final = 0xFFFF  # the field is a uint16

_SIZE = struct.Struct(">i")
_HEAD = struct.Struct(">i8sH")
_TIME_AND_ATTEMPTS = struct.Struct(">8sH")
_FIRST_DELIVERY = b"\x00\x01"


def encode_disk_records(records: list[bytes]) -> bytearray:
    """The bytes to append to a queue file for ``records``."""
    pack = _SIZE.pack
    encoded = bytearray().join(
        [piece for record in records for piece in (pack(len(record)), record)]
    )
    low = SIZE_FIELD + 9  # where the low byte of the attempts of the record at hand is
    for record in records:
        count = record[9]
        if count:
            encoded[low] = count - 1
        elif record[8]:
            encoded[low - 1] = record[8] - 1
            encoded[low] = 0xFF
        low += SIZE_FIELD + len(record)
    return encoded


def decode_disk_records(
    buffer: bytes, position: int, limit: int, max_size: int
) -> tuple[list[bytes], int]:
    """Up to ``limit`` records of ``buffer`` from ``position`` on, and the position after them.

    Stops early at a record that is not all there, and at a size that no record has
    (below the header's, above ``max_size``): `size_at` tells which.
    """
    records: list[bytes] = []
    append, unpack, pack = records.append, _HEAD.unpack_from, _TIME_AND_ATTEMPTS.pack
    available = len(buffer)
    last_start = available - SIZE_FIELD - RECORD_HEADER
    while limit > 0 and position <= last_start:
        size, time, attempts = unpack(buffer, position)
        if not RECORD_HEADER <= size <= max_size:
            break
        end = position + SIZE_FIELD + size
        if end > available:
            break
        if attempts == 0:
            append(time + _FIRST_DELIVERY + buffer[position + 14 : end])
        else:
            following = attempts + 1 if attempts < MOST_ATTEMPTS else MOST_ATTEMPTS
            append(pack(time, following) + buffer[position + 14 : end])
        position = end
        limit -= 1
    return records, position


def size_at(buffer: bytes, position: int) -> int | None:
    """The size field at ``position``, or None where it is not all there."""
    if len(buffer) - position < SIZE_FIELD:
        return None
    size: int = _SIZE.unpack_from(buffer, position)[0]
    return size
