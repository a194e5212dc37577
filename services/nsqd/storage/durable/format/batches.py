"""The format of a topic's log: batches of records, each record with a checksum of its own.

::

    batch  = magic u32 | crc u32 of the rest of the header | length u32 | count u32
             | first ordinal u64 | wall i64 | flags u16 | 2 x 0 | channel u32 | due i64
             | count x item
    item   = length u32 | crc u32 of length and record, xor the header's | record
                                                                  all of it little-endian

``length`` is that of all items in bytes. *Ordinals* number the records of a topic without a gap,
from 1. *Records* are what queues hold (docs/architecture.md, "A message is its record"). ``wall``
is when the batch was published, ``due`` when its records may be delivered (both wall-clock ns; 0:
at once). ``channel`` is the number of the only channel it is for; 0: every channel.

The checksum of an item is mixed with its batch's, so that items which an earlier use of a journal
file left in the place of lost ones are not taken for them.

One flipped bit costs one record at most: in a header or in an item's length it is put right
(`one_bit_off`), in a record it costs that record.
"""

from collections.abc import Callable
from struct import Struct

from nsqcore.classes import Factory, define, frozen
from nsqd.storage.durable.format.crc import crc32c, extend_crc32c, one_bit_off
from nsqd.storage.durable.format.hot import decode_items, encode_items, total_size

_HEADER = Struct("<IIIIQqH2xIq")
BATCH_HEADER = _HEADER.size
_REST = Struct("<IIQqH2xIq")  # what the header's checksum covers
_MAGIC = 0x9A4E5342
_MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
_MAGIC_AND_CRC = Struct("<II")
_ITEM = Struct("<II")
ITEM_HEADER = _ITEM.size
_unpack_item: Callable[[bytes, int], tuple[int, int]] = _ITEM.unpack_from

RECORD_HEADER = 26
FLAG_HEADERS = 1  # records carry headers behind the body
#: Its records were in the log before, and their channel has them here from now on (`tidying`);
#: ``due`` is when the last of them is.
FLAG_PARKED = 2


@frozen
class BatchHeader:
    """What the header of a batch says. ``length`` is that of its items in bytes."""

    length: int
    count: int
    first: int
    wall: int
    flags: int = 0
    channel: int = 0
    due: int = 0

    def rest(self) -> bytes:
        """The header from behind its checksum."""
        return _REST.pack(
            self.length, self.count, self.first, self.wall, self.flags, self.channel, self.due
        )

    @property
    def size(self) -> int:
        """Of the whole batch, in bytes."""
        return BATCH_HEADER + self.length

    @property
    def next(self) -> int:
        """The ordinal after the batch's last."""
        return self.first + self.count


@define
class Batch:
    """A batch that was read: ``records`` by ordinal, without the damaged ones."""

    header: BatchHeader
    records: dict[int, bytes] = Factory(dict)

    @property
    def damaged(self) -> int:
        """How many of its records could not be read."""
        return self.header.count - len(self.records)


def encode_batch(
    records: list[bytes],
    *,
    first: int,
    wall: int,
    channel: int = 0,
    due: int = 0,
    flags: int = 0,
) -> bytes:
    """The bytes of a batch of ``records``, the first of which has the ordinal ``first``."""
    count = len(records)
    length = total_size(records) + ITEM_HEADER * count
    rest = _REST.pack(length, count, first, wall, flags, channel, due)
    seed = crc32c(rest)
    encoded: bytes = encode_items(_MAGIC_AND_CRC.pack(_MAGIC, seed) + rest, records, seed)
    return encoded


def read_header(buffer: bytes, at: int) -> BatchHeader | None:
    """The header of the batch at ``at``, with a flipped bit put right; None if there is none.

    ``buffer`` may end behind the header.
    """
    head = buffer[at : at + BATCH_HEADER]
    if len(head) < BATCH_HEADER:
        return None
    header = _checked(head)
    if header is not None:
        return header
    if bin(int.from_bytes(head[:4], "little") ^ _MAGIC).count("1") > 1:
        return None  # no batch at all: not worth the trials
    return next(filter(None, map(_checked, one_bit_off(head))), None)


def known_header(buffer: bytes) -> BatchHeader:
    """The header that ``buffer`` begins with, of a batch that is known to be whole."""
    _, _, length, count, first, wall, flags, channel, due = _HEADER.unpack_from(buffer)
    return BatchHeader(length, count, first, wall, flags, channel, due)


def find_header(buffer: bytes, at: int) -> int:
    """Where the next whole batch header from ``at`` on begins; -1 if there is none."""
    while (at := buffer.find(_MAGIC_BYTES, at)) >= 0:
        if _checked(buffer[at : at + BATCH_HEADER]) is not None:
            return at
        at += 1
    return -1


def read_batch(buffer: bytes, at: int, header: BatchHeader) -> Batch:
    """The batch at ``at``; what is not in ``buffer`` counts as damaged."""
    batch = Batch(header)
    position, stop = at + BATCH_HEADER, min(at + header.size, len(buffer))
    ordinal, following, seed = header.first, header.next, crc32c(header.rest())
    while True:
        records, position = decode_items(buffer, position, stop, following - ordinal, seed)
        batch.records.update(enumerate(records, ordinal))
        ordinal += len(records)
        if ordinal >= following or position + ITEM_HEADER > stop:
            return batch
        position = _after_damage(buffer, position, stop, batch, ordinal, seed)
        ordinal += 1


def _after_damage(
    buffer: bytes, position: int, stop: int, batch: Batch, ordinal: int, seed: int
) -> int:
    """Where the item after a damaged one begins, which is read if its length alone is wrong."""
    length, crc = _unpack_item(buffer, position)
    for bit in range(32):
        right = length ^ 1 << bit
        end = position + ITEM_HEADER + right
        if end <= stop:
            record = buffer[position + ITEM_HEADER : end]
            if _item_crc(right, record) ^ seed == crc:
                batch.records[ordinal] = record
                return end
    end = position + ITEM_HEADER + length
    if _is_item(buffer, end, stop, seed) or end == stop:
        return end
    for at in range(position + ITEM_HEADER + RECORD_HEADER, stop - ITEM_HEADER):
        if _is_item(buffer, at, stop, seed):
            return at
    return stop


def _is_item(buffer: bytes, at: int, stop: int, seed: int) -> bool:
    if at + ITEM_HEADER > stop:
        return False
    length, crc = _unpack_item(buffer, at)
    end = at + ITEM_HEADER + length
    if length < RECORD_HEADER or end > stop:
        return False
    return _item_crc(length, buffer[at + ITEM_HEADER : end]) ^ seed == crc


def _item_crc(length: int, record: bytes) -> int:
    return extend_crc32c(crc32c(length.to_bytes(4, "little")), record)


def _checked(head: bytes) -> BatchHeader | None:
    if len(head) < BATCH_HEADER:
        return None
    magic, crc, length, count, first, wall, flags, channel, due = _HEADER.unpack(head)
    # the two bytes of padding are under the checksum too
    if magic != _MAGIC or crc32c(head[8:]) != crc:
        return None
    return BatchHeader(length, count, first, wall, flags, channel, due)
