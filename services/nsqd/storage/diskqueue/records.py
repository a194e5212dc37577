"""Records as they lie in a disk queue: sizes and limits.

On disk a record is preceded by its size, a big-endian int32. In between its ten
leading bytes are a time and a count of deliveries. Records in a queue count the
delivery to come, those on disk the deliveries made, so the count is one lower on
disk; that is the only byte in which the two differ. Encoding and decoding are loops
over every record, and so in `nsqcore.wire.hot`.

No I/O, no clock.
"""

import struct
from typing import Final

from nsqcore.wire.hot import HEADER_SIZE, decode_disk_records, encode_disk_records

__all__ = ["RECORD_HEADER", "SIZE_FIELD", "decode_disk_records", "encode_disk_records", "size_at"]

RECORD_HEADER: Final = HEADER_SIZE  # bytes before the body
SIZE_FIELD: Final = 4

_SIZE = struct.Struct(">i")


def size_at(buffer: bytes, position: int) -> int | None:
    """The size field at ``position``, or None where it is not all there."""
    if len(buffer) - position < SIZE_FIELD:
        return None
    size: int = _SIZE.unpack_from(buffer, position)[0]
    return size
