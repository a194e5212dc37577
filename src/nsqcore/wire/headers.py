"""Headers of messages: names and values beside the body (docs/client.md, "Headers").

::

    block  = n x (name length u8 | name | value length u16 | value)
    record = timestamp, attempts, id | body | block | block length u16     attempts with MARK set
    frame of type 3 = size i32 | 3 i32 | timestamp, attempts, id | block length u16 | block | body
    XPUB   = size i32 | block length u16 | block | body                            all big-endian

Stock clients get frames of type 2, of the body alone. Only durable topics keep headers: the
original's files have no room for them.
"""

import re
from collections.abc import Mapping
from struct import Struct, error

from nsqcore.wire.errors import BadBody, BadMessage
from nsqcore.wire.hot import HEADER_SIZE, split_bodies

HEADED_MESSAGE = 3  # the frame's type
MARK = 0x80  # of the first byte of a record's attempts: it has headers
MOST_ATTEMPTS = 0x7FFF  # what is left of the attempts then

# What a publisher may send: names and values are UTF-8, of printable characters.
MAX_HEADERS = 32
MAX_BLOCK = 4096
MAX_VALUE = 1024
_SMALLEST = 7  # bytes of a message in an XMPUB: its size, an empty block, a body

RESERVED = "nsq-"  # names that nsqd alone gives

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_LENGTH = Struct(">H")
_FRAME = Struct(">ii")


class BadHeaders(ValueError):
    """Headers that can't be, or are too many."""


def encode_header(name: str, value: str) -> bytes:
    """One header, without a check."""
    raw = value.encode()
    return b"".join((bytes((len(name),)), name.encode(), _LENGTH.pack(len(raw)), raw))


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """The block of ``headers``. Raises BadHeaders."""
    block = b"".join([encode_header(*check_header(*each)) for each in headers.items()])
    if len(headers) > MAX_HEADERS or len(block) > MAX_BLOCK:
        raise BadHeaders(f"more than {MAX_HEADERS} headers, or {MAX_BLOCK} bytes of them")
    return block


def check_header(name: str, value: str) -> tuple[str, str]:
    """``name`` and ``value``, of which a message may have any. Raises BadHeaders."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadHeaders(f"a header's name is 1 to 64 of a-z 0-9 . _ -, not {name!r:.80}")
    if not isinstance(value, str) or not value.isprintable():
        raise BadHeaders(f"the value of header {name} is no printable text")
    if len(value) > MAX_VALUE or len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE:
        raise BadHeaders(f"the value of header {name} is longer than {MAX_VALUE} bytes")
    return name, value


def _split_block(block: bytes) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    at, end = 0, len(block)
    try:
        while at < end:
            start = at + 1 + block[at]
            name = block[at + 1 : start].decode()
            (size,) = _LENGTH.unpack_from(block, start)
            at = start + 2 + size
            if at > end:
                raise BadHeaders("cut off")
            headers.append((name, block[start + 2 : at].decode()))
    except (error, UnicodeDecodeError):
        raise BadHeaders("not a block of headers") from None
    return headers


def decode_headers(block: bytes) -> dict[str, str]:
    """The headers in ``block``; of two with one name the last. Raises BadHeaders."""
    return dict(_split_block(block))


def check_block(block: bytes) -> None:
    """Raise BadHeaders unless a publisher may send ``block``."""
    if len(block) > MAX_BLOCK:
        raise BadHeaders(f"more than {MAX_BLOCK} bytes of headers")
    given = _split_block(block)
    if len(given) > MAX_HEADERS:
        raise BadHeaders(f"more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for name, value in given:
        check_header(name, value)
        if name in headers:  # who reads them might take the one or the other
            raise BadHeaders(f"two are called {name}")
        headers[name] = value
    expect_public(headers)


def expect_public(headers: Mapping[str, str]) -> None:
    """Raise BadHeaders if a name of ``headers`` is nsqd's own."""
    for name in headers:
        if name.startswith(RESERVED):
            raise BadHeaders(f"names that begin with {RESERVED} are nsqd's own, as {name:.80} is")


def with_block(body: bytes, block: bytes) -> bytes:
    """What stands behind the 26 bytes of a record with headers."""
    return b"".join((body, block, _LENGTH.pack(len(block))))


def split_tail(tail: bytes) -> tuple[bytes, bytes]:
    """The body and the block of what `with_block` made."""
    (size,) = _LENGTH.unpack_from(tail, len(tail) - 2)
    end = max(len(tail) - 2 - size, 0)
    return tail[:end], tail[end:-2]


def split_record(record: bytes) -> tuple[bytes, bytes]:
    """The body of a record and its block of headers, empty if it has none."""
    if not record[8] & MARK:
        return record[HEADER_SIZE:], b""
    return split_tail(record[HEADER_SIZE:])


def has_headers(records: list[bytes]) -> bool:
    """Whether any of ``records`` has."""
    return any(record[8] & MARK for record in records)


def plain_record(record: bytes) -> bytes:
    """``record`` without headers, and without the mark."""
    if not record[8] & MARK:
        return record
    body, _ = split_record(record)
    return b"".join((record[:8], bytes((record[8] & ~MARK,)), record[9:HEADER_SIZE], body))


def headed_frames(records: list[bytes]) -> bytes:
    """The frames of ``records`` for a client that wants headers."""
    parts: list[bytes] = []
    for record in records:
        body, block = split_record(record)
        if not block:
            record = plain_record(record)
            parts += (_FRAME.pack(len(record) + 4, 2), record)
            continue
        size = HEADER_SIZE + 2 + len(block) + len(body) + 4
        attempts = bytes((record[8] & ~MARK,))
        parts += (_FRAME.pack(size, HEADED_MESSAGE), record[:8], attempts, record[9:HEADER_SIZE])
        parts += (_LENGTH.pack(len(block)), block, body)
    return b"".join(parts)


def record_of_frame(data: bytes) -> bytes:
    """The record of what a frame of type 3 carries. Raises BadHeaders."""
    if len(data) < HEADER_SIZE + 2:
        raise BadHeaders("too short for a message with headers")
    (size,) = _LENGTH.unpack_from(data, HEADER_SIZE)
    start = HEADER_SIZE + 2
    if start + size > len(data):
        raise BadHeaders("its headers are longer than it is")
    marked = bytes((data[8] | MARK,))
    block, body = data[start : start + size], data[start + size :]
    return b"".join((data[:8], marked, data[9:HEADER_SIZE], with_block(body, block)))


def split_published(data: bytes) -> tuple[bytes, bytes]:
    """The body and the block of what an XPUB carries behind its size. Raises BadHeaders."""
    if len(data) < 2:
        raise BadHeaders("no length of headers")
    (size,) = _LENGTH.unpack_from(data)
    if size > MAX_BLOCK or 2 + size > len(data):
        raise BadHeaders(f"{size} bytes of headers")
    block = data[2 : 2 + size]
    check_block(block)
    return data[2 + size :], block


def headed_body(name: str, data: bytes, max_msg_size: int) -> bytes:
    """A body with its block behind it, of what ``name`` (XPUB, XMPUB) carries for one message.

    Raises BadMessage.
    """
    try:
        body, block = split_published(data)
    except BadHeaders as fault:
        raise BadMessage(f"{name} invalid headers: {fault}") from None
    if not 0 < len(body) <= max_msg_size:
        raise BadMessage(f"{name} invalid message body size {len(body)}")
    return with_block(body, block)


def headed_bodies(body: bytes, max_msg_size: int) -> list[bytes]:
    """The messages of an XMPUB: a count, and each with its size. Raises BadBody, BadMessage."""
    count = int.from_bytes(body[:4], "big", signed=True)
    if len(body) < 4 or not 0 < count <= len(body) // _SMALLEST:
        raise BadBody(f"XMPUB invalid message count {count}")
    parts: list[bytes] = []
    most = max_msg_size + 2 + MAX_BLOCK
    end = split_bodies(body, 4, len(body), count, most, parts)
    if len(parts) < count or end != len(body):
        raise BadMessage(f"XMPUB invalid message({len(parts)})")
    return [headed_body("XMPUB", part, max_msg_size) for part in parts]
