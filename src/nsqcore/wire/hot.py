# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The few loops that every message passes through.

Plain Python; Cython compiles this same file when a compiler is at hand, with
the types in ``hot.pxd``. `nsqcore.wire.hot` chooses between the two.

Where one loop cannot be fast in both, the function has a line or two for the
interpreter and, under ``COMPILED``, a loop over bytes for C; the tests run on both.
There a variable that was given a `bytes` (``data``, ``target``) is a pointer to its
bytes, by the pxd: slices of it are new `bytes`, its elements are numbers, and a
`bytes` that was made in the function, which nobody else has seen yet, is filled
through it.

A *record* is a message as one `bytes`: int64 timestamp in ns, uint16 attempts,
16 hex digits of id, body (docs/architecture.md, "A message is its record").
"""

import re
from struct import Struct, pack
from typing import Any

COMPILED = not __file__.endswith((".py", ".pyc"))

HEADER_SIZE = 26  # of a record: timestamp 8, attempts 2, id 16

MESSAGE_FRAME = 2

FIN_SIZE = 21  # of a FIN line: the word, a space, 16 of id, a newline
_FIN_RUN = re.compile(rb"(?:FIN [^ \r\n]{16}\n)+")

MOST_ATTEMPTS = 0xFFFF  # the field is a uint16
_FIRST_DELIVERY = b"\x00\x01"

_FRAME_HEADER = Struct(">ii").pack
_SIZE = Struct(">i")
_unpack_size = _SIZE.unpack_from
_pack_size = _SIZE.pack
_HEAD = Struct(">i8sH")
_unpack_head = _HEAD.unpack_from
_TIME_AND_ATTEMPTS = Struct(">8sH")
_pack_time = _TIME_AND_ATTEMPTS.pack


class _MessageHeaders(dict[int, bytes]):
    """Frame headers by record length; traffic has few lengths, so they are kept."""

    def __missing__(self, length: int) -> bytes:
        header = _FRAME_HEADER(length + 4, MESSAGE_FRAME)
        if len(self) < 4096:  # enough for the usual mixes; beyond it only speed is lost
            self[length] = header
        return header


_headers = _MessageHeaders()


# ------------------------------------------------------------------ to and from clients


def encode_messages(records: list[bytes]) -> bytes:
    """The message frames of ``records``, one after the other (spec: "Data Format")."""
    if not COMPILED:
        headers = _headers
        return b"".join([part for record in records for part in (headers[len(record)], record)])
    total = 0
    for record in records:
        total += 8 + len(record)
    frames = bytes(total)
    target: Any = frames
    at = 0
    for record in records:
        data = record
        length = len(record)
        _write_size(target, at, length + 4)
        target[at + 7] = MESSAGE_FRAME
        at += 8
        for index in range(length):
            target[at + index] = data[index]
        at += length
    return frames


def make_records(bodies: list[bytes], header: bytes, ids: bytes) -> list[bytes]:
    """New records: ``header`` is the common timestamp and attempts, ``ids`` 16 bytes a body."""
    if len(ids) != 16 * len(bodies):
        raise ValueError(f"{len(ids)} bytes of ids for {len(bodies)} messages")
    if not COMPILED:
        join = b"".join
        starts = range(0, len(ids), 16)
        return [
            join((header, ids[at : at + 16], body)) for at, body in zip(starts, bodies, strict=True)
        ]
    records = []
    head = header + ids[:16]
    data = ids
    at = 0
    for body in bodies:
        # head + b"" would be head itself, which is not for one record alone
        record = head + body if body else b"".join((head[:10], head[10:]))
        target: Any = record
        for index in range(16):
            target[10 + index] = data[at + index]
        at += 16
        records.append(record)
    return records


def hex_ids(first: int, count: int) -> bytes:
    """The numbers from ``first`` on, ``count`` of them, as 16 hex digits each."""
    if not COMPILED:
        if count == 1:
            return b"%016x" % first
        return pack(f">{count}Q", *range(first, first + count)).hex().encode()
    ids = bytes(16 * count)
    target: Any = ids
    digits = b"0123456789abcdef"
    at = 0
    for number in range(count):
        rest = first + number
        for index in range(15, -1, -1):
            target[at + index] = digits[rest & 15]
            rest >>= 4
        at += 16
    return ids


def hold(records: list[bytes], in_flight: dict[bytes, bytes]) -> list[bytes]:
    """Enter ``records`` into ``in_flight`` under their ids; returns these."""
    if not COMPILED:
        ids = [record[10:26] for record in records]
        in_flight.update(zip(ids, records, strict=True))
        return ids
    ids = []
    for record in records:
        if len(record) < HEADER_SIZE:  # or C would read beyond it
            raise ValueError("a record is shorter than its header")
        data = record
        id = data[10:26]
        in_flight[id] = record
        ids.append(id)
    return ids


def release(ids: list[bytes], in_flight: dict[bytes, bytes]) -> list[bytes]:
    """Drop ``ids`` from ``in_flight``; returns those that were not in it, in order."""
    missing = []
    for id in ids:
        try:
            del in_flight[id]
        except KeyError:
            missing.append(id)
    return missing


def split_fin_run(buffer: bytes, start: int) -> list[bytes]:
    """The ids of the run of whole FIN lines, `FIN_SIZE` bytes each, that begins at ``start``."""
    if not COMPILED:
        run = _FIN_RUN.match(buffer, start)
        return [buffer[at : at + 16] for at in range(start + 4, run.end(), 21)] if run else []
    ids = []
    data = buffer
    end = len(buffer) - FIN_SIZE
    while start <= end and _is_fin(data, start):
        ids.append(data[start + 4 : start + 20])
        start += FIN_SIZE
    return ids


def split_id_run(buffer: bytes, start: int, word: bytes, rest: bytes) -> list[bytes]:
    """The ids of the run of lines that begins at ``start``: ``word``, 16 bytes of id, ``rest``."""
    ids = []
    head = len(word)
    size = head + 16 + len(rest)
    while buffer.startswith(word, start) and buffer.startswith(rest, start + head + 16):
        id = buffer[start + head : start + head + 16]
        if b" " in id or b"\n" in id or b"\r" in id:
            break
        ids.append(id)
        start += size
    return ids


def split_bodies(
    buffer: bytes, position: int, end: int, count: int, max_size: int, bodies: list[bytes]
) -> int:
    """Append up to ``count`` sized bodies from ``buffer`` to ``bodies``.

    Stops before the first that is not whole, or whose size is not in
    1..``max_size`` (the caller looks at that size itself). Returns where it stopped.
    """
    data = buffer
    last = end - 4
    while count and position <= last:
        if COMPILED:
            size = _read_size(data, position)
        else:
            (size,) = _unpack_size(buffer, position)
        stop = position + 4 + size
        if size <= 0 or size > max_size or stop > end:
            break
        bodies.append(data[position + 4 : stop])
        position = stop
        count -= 1
    return position


def split_publishes(
    buffer: bytes, position: int, line: bytes, max_size: int, bodies: list[bytes]
) -> int:
    """Append to ``bodies`` those of the run of PUBs at ``position``, which all begin with ``line``.

    Stops as `split_bodies` does. Returns where it stopped.
    """
    data = buffer
    end = len(buffer)
    head = len(line) + 4
    while buffer.startswith(line, position) and position + head <= end:
        start = position + head
        if COMPILED:
            size = _read_size(data, start - 4)
        else:
            (size,) = _unpack_size(buffer, start - 4)
        stop = start + size
        if size <= 0 or size > max_size or stop > end:
            break
        bodies.append(data[start:stop])
        position = stop
    return position


# ------------------------------------------------------------------ to and from the disk
# There a record is preceded by its size, an int32. A record in a queue counts the delivery to
# come, one on disk the deliveries made: the number is one lower there, and nothing else differs.


def encode_disk_records(records: list[bytes]) -> bytes | bytearray:
    """The bytes to append to a queue file for ``records``."""
    if COMPILED:
        total = 0
        for record in records:
            if len(record) < HEADER_SIZE:  # or C would write beyond it
                raise ValueError("a record is shorter than its header")
            total += 4 + len(record)
        encoded: bytes | bytearray = bytes(total)
    else:
        size = _pack_size
        encoded = bytearray().join(
            [piece for record in records for piece in (size(len(record)), record)]
        )
    target: Any = encoded
    at = 0
    for record in records:
        length = len(record)
        if COMPILED:
            _write_size(target, at, length)
            data = record
            for index in range(length):
                target[at + 4 + index] = data[index]
        low = at + 4 + 9  # where the low byte of the attempts is
        if target[low]:
            target[low] -= 1
        elif target[low - 1]:
            target[low - 1] -= 1
            target[low] = 0xFF
        at += 4 + length
    return encoded


def decode_disk_records(
    buffer: bytes, position: int, limit: int, max_size: int
) -> tuple[list[bytes], int]:
    """Up to ``limit`` records of ``buffer`` from ``position`` on, and the position after them.

    Stops early at a record that is not all there, and at a size that no record has
    (below the header's, above ``max_size``).
    """
    records: list[bytes] = []
    data = buffer
    available = len(buffer)
    last_start = available - 4 - HEADER_SIZE
    while limit > 0 and position <= last_start:
        if COMPILED:
            size = _read_size(data, position)
        else:
            size, time, attempts = _unpack_head(buffer, position)
        end = position + 4 + size
        if size < HEADER_SIZE or size > max_size or end > available:
            break
        if COMPILED:
            record = data[position + 4 : end]
            target: Any = record
            if target[9] != 0xFF:
                target[9] += 1
            elif target[8] != 0xFF:
                target[8] += 1
                target[9] = 0
        elif attempts == 0:
            record = time + _FIRST_DELIVERY + buffer[position + 14 : end]
        else:
            following = attempts + 1 if attempts < MOST_ATTEMPTS else MOST_ATTEMPTS
            record = _pack_time(time, following) + buffer[position + 14 : end]
        records.append(record)
        position = end
        limit -= 1
    return records, position


# ------------------------------------------------------------------ bytes, for C only


def _read_size(data: bytes, at: int) -> int:
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]


def _write_size(target: bytearray, at: int, size: int) -> None:
    target[at] = size >> 24
    target[at + 1] = size >> 16 & 0xFF
    target[at + 2] = size >> 8 & 0xFF
    target[at + 3] = size & 0xFF


def _is_fin(data: bytes, at: int) -> bool:
    """Whether the `FIN_SIZE` bytes at ``at`` are a FIN line."""
    # "FIN \n", the id being whatever neither ends a word nor a line
    if data[at] != 70 or data[at + 1] != 73 or data[at + 2] != 78 or data[at + 3] != 32:
        return False
    for index in range(at + 4, at + 20):
        if data[index] == 32 or data[index] == 10 or data[index] == 13:
            return False
    return data[at + 20] == 10
