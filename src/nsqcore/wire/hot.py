"""The few loops that every message passes through.

Plain Python; Cython compiles this same file when a compiler is at hand, with
the types in ``hot.pxd``. `nsqcore.wire.speedups` chooses between the two.

A *record* is a message as one `bytes`: int64 timestamp in ns, uint16 attempts,
16 hex digits of id, body (docs/architecture.md, "A message is its record").
"""

from struct import Struct

HEADER_SIZE = 26  # of a record: timestamp 8, attempts 2, id 16
ID_START = 10
BODY_START = 26

MESSAGE_FRAME = 2

_FRAME_HEADER = Struct(">ii").pack
_SIZE = Struct(">i")
_unpack_size = _SIZE.unpack_from


class _MessageHeaders(dict[int, bytes]):
    """Frame headers by record length; traffic has few lengths, so they are kept."""

    def __missing__(self, length: int) -> bytes:
        header = _FRAME_HEADER(length + 4, MESSAGE_FRAME)
        if len(self) < 4096:  # enough for the usual mixes; beyond it only speed is lost
            self[length] = header
        return header


_headers = _MessageHeaders()


def encode_messages(records: list[bytes]) -> bytes:
    """The message frames of ``records``, one after the other (spec: "Data Format")."""
    headers = _headers
    return b"".join([part for record in records for part in (headers[len(record)], record)])


def make_records(bodies: list[bytes], stamp: bytes, ids: bytes) -> list[bytes]:
    """New records: ``stamp`` is the common timestamp and attempts, ``ids`` 16 bytes a body."""
    if len(bodies) == 1:
        return [b"".join((stamp, ids, bodies[0]))]
    join = b"".join
    starts = range(0, len(ids), 16)
    return [join((stamp, ids[at : at + 16], body)) for at, body in zip(starts, bodies, strict=True)]


def hold(records: list[bytes], in_flight: dict[bytes, bytes]) -> None:
    """Enter ``records`` into ``in_flight`` under their ids."""
    in_flight.update([(record[10:26], record) for record in records])


def release(ids: list[bytes], in_flight: dict[bytes, bytes]) -> list[bytes]:
    """Drop ``ids`` from ``in_flight``; returns those that were not in it, in order."""
    missing = []
    for id in ids:
        try:
            del in_flight[id]
        except KeyError:
            missing.append(id)
    return missing


def split_fin_run(buffer: bytes, start: int, end: int) -> list[bytes]:
    """The ids of a run of whole FIN lines, 21 bytes each, in ``buffer[start:end]``."""
    return [buffer[at : at + 16] for at in range(start + 4, end, 21)]


def split_bodies(
    buffer: bytes, position: int, end: int, count: int, max_size: int, bodies: list[bytes]
) -> int:
    """Append up to ``count`` sized bodies from ``buffer`` to ``bodies``.

    Stops before the first that is not whole, or whose size is not in
    1..``max_size`` (the caller looks at that size itself). Returns where it stopped.
    """
    append = bodies.append
    last = end - 4
    while count and position <= last:
        (size,) = _unpack_size(buffer, position)
        stop = position + 4 + size
        if size <= 0 or size > max_size or stop > end:
            break
        append(buffer[position + 4 : stop])
        position = stop
        count -= 1
    return position
