"""The journal's format: a head, then entries, each with checksums of its own.

::

    file  = head | entry | entry | …
    head  = magic 8s | version u32 | file size u64 | epoch u64 | first number u64 | uuid 16s
            | crc u32
    entry = magic u32 | crc u32 of the rest of the header | length u32 | kind u8 | 3 x 0
            | epoch u64 | number u64 | crc u32 of the payload | payload
                                                                  all of it little-endian

A file is used again and again: ``epoch`` tells for which use an entry was written, so that what an
earlier use left is not taken for new. ``number`` counts the entries of all files without a gap, so
that a missing one is noticed. An entry is the unit of atomicity.

A bad checksum never ends the reading. One flipped bit in a header is put right (`one_bit_off`). An
entry whose payload is damaged is returned with ``whole=False``: a batch has a checksum for each of
its records, so that one flipped bit need not cost them all. Where no entry begins, `scan` goes on
at the next one and reports the bytes between.
"""

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct, error
from typing import NamedTuple

from nsqcore.classes import Factory, define, frozen
from nsqd.storage.durable.format.crc import crc32c, extend_crc32c, one_bit_off
from nsqd.storage.durable.format.hot import whole_entries

HEAD_SIZE = 4096  # a page, so that entries begin on a sector of their own
VERSION = 2  # 1 had no batches of what was in the log before
KNOWN_VERSIONS = (1, 2)
_HEAD_MAGIC = b"nsqjrnl\n"
_HEAD = Struct("<8sIQQQ16sI")

_ENTRY = Struct("<IIIB3xQQI")
_REST = Struct("<IB3xQQI")  # of an entry's header: what its checksum covers
_MAGIC = 0x9A4E5331
_MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
ENTRY_HEADER = _ENTRY.size


class Kind(IntEnum):
    """What an entry says."""

    BATCH = 1  # messages: the very bytes that go into a segment, and where
    ACK = 2  # a channel is done with messages
    BACK = 3  # a channel has messages again, at once or at a time
    SENT = 4  # a channel has delivered messages
    MOVE = 5  # several of these that happen together or not at all
    TOPIC = 6  # JSON: a topic is made, deleted, emptied, paused
    CHANNEL = 7  # JSON: a channel is made, deleted, emptied, paused


_KINDS: dict[int, Kind] = {kind.value: kind for kind in Kind}


class BadHead(Exception):
    """A journal file's head is not one."""


class UnknownFormat(Exception):
    """A file is of a newer format than this nsqd knows: it is not touched."""


@frozen
class Head:
    """What the head of a journal file says. ``size`` is that of the file in bytes."""

    size: int
    epoch: int
    first_number: int
    uuid: bytes

    def encode(self) -> bytes:
        """The first `HEAD_SIZE` bytes of the file."""
        fields = (_HEAD_MAGIC, VERSION, self.size, self.epoch, self.first_number, self.uuid)
        head = _HEAD.pack(*fields, 0)[:-4]
        return (head + crc32c(head).to_bytes(4, "little")).ljust(HEAD_SIZE, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> "Head":
        """The head that ``data`` begins with. Raises BadHead, UnknownFormat."""
        head = data[: _HEAD.size]
        if len(head) < _HEAD.size:
            raise BadHead("too short for a journal file")
        if not _is_head(head):
            right = next(filter(_is_head, one_bit_off(head)), None)
            if right is None:
                raise BadHead("not a journal file, or its head is damaged")
            head = right
        _, version, size, epoch, first, uuid, _ = _HEAD.unpack(head)
        if version not in KNOWN_VERSIONS:
            raise UnknownFormat(f"format {version}, and this nsqd knows format {VERSION}")
        return cls(size, epoch, first, uuid)


def _is_head(head: bytes) -> bool:
    return head.startswith(_HEAD_MAGIC) and crc32c(head[:-4]).to_bytes(4, "little") == head[-4:]


class Entry(NamedTuple):
    """One entry. The checksum of its payload is right if it is ``whole``."""

    number: int
    kind: Kind
    payload: bytes
    whole: bool = True


@define
class Scan:
    """What a journal file holds of one epoch.

    ``damaged`` lists byte ranges (start, stop) between entries that are no entries; what follows
    the last entry is not damage but the end. ``end`` is where the last entry stops.
    """

    entries: list[Entry] = Factory(list)
    damaged: list[tuple[int, int]] = Factory(list)
    end: int = HEAD_SIZE

    def extend(self, more: "Scan") -> bool:
        """Add what was found in the part of the file from ``end`` on; whether that is anything."""
        self.entries += more.entries
        self.damaged += [(self.end + start, self.end + stop) for start, stop in more.damaged]
        self.end += more.end
        return bool(more.entries)


def encode_entry(kind: Kind, epoch: int, number: int, payload: Iterable[bytes]) -> list[bytes]:
    """The parts to write for an entry; ``payload`` comes in parts, which are not copied."""
    parts = list(payload)
    crc = 0
    for part in parts:
        crc = extend_crc32c(crc, part)
    rest = _REST.pack(sum(map(len, parts)), kind, epoch, number, crc)
    return [_MAGIC_BYTES + crc32c(rest).to_bytes(4, "little") + rest, *parts]


def entry_size(image: bytes, epoch: int) -> int:
    """How many bytes the entry of ``epoch`` has that ``image`` begins with; 0 if it is none."""
    fields = _fields(image[:ENTRY_HEADER], epoch)
    return ENTRY_HEADER + fields[0] if fields else 0


def entry_number(image: bytes, epoch: int) -> int:
    """The number of the entry of ``epoch`` that ``image`` begins with; 0 if it is none."""
    fields = _fields(image[:ENTRY_HEADER], epoch)
    return fields[2] if fields else 0


def scan(image: bytes, epoch: int, *, at: int = HEAD_SIZE) -> Scan:
    """The entries of ``epoch`` in ``image`` from ``at`` on, in order.

    ``image`` is a journal file up to some byte, or a part of one that begins with an entry.
    """
    result = Scan(end=at)
    end = len(image)
    hole: int | None = None
    while at + ENTRY_HEADER <= end:
        if hole is None:
            whole, at = whole_entries(image, at, epoch, _KINDS)
            if whole:
                result.entries += [Entry(*each) for each in whole]
                result.end = at
        entry = _read(image, at, epoch, follows=hole is None)
        if entry is None:
            hole = at if hole is None else hole
            at = image.find(_MAGIC_BYTES, at + 1)
            if at < 0:
                break
            continue
        if hole is not None:
            result.damaged.append((hole, at))
            hole = None
        result.entries.append(entry)
        at += ENTRY_HEADER + len(entry.payload)
        result.end = at
    return result


def _read(image: bytes, at: int, epoch: int, *, follows: bool) -> Entry | None:
    """The entry at ``at``. A header with a flipped bit is put right if one ``follows`` here."""
    header = image[at : at + ENTRY_HEADER]
    fields = _fields(header, epoch)
    if fields is None and follows and _nearly(header):
        for candidate in one_bit_off(header):
            fields = _fields(candidate, epoch)
            if fields is not None:
                break
    if fields is None:
        return None
    length, kind, number, crc = fields
    stop = at + ENTRY_HEADER + length
    if stop > len(image):
        return None
    payload = image[at + ENTRY_HEADER : stop]
    try:
        return Entry(number, Kind(kind), payload, whole=crc32c(payload) == crc)
    except ValueError:
        return None


def _nearly(header: bytes) -> bool:
    """Whether this may be a header with one flipped bit: one of its other fields then fits."""
    return bin(int.from_bytes(header[:4], "little") ^ _MAGIC).count("1") <= 1


def _fields(header: bytes, epoch: int) -> tuple[int, int, int, int] | None:
    try:
        magic, crc, length, kind, of, number, payload_crc = _ENTRY.unpack(header)
    except error:
        return None
    if magic != _MAGIC or of != epoch or crc32c(header[8:]) != crc:
        return None
    return length, kind, number, payload_crc
