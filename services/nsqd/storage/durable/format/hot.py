# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The loops that every durable message passes through.

Plain Python; Cython compiles this same file when a compiler is at hand, with the types in
``hot.pxd`` and the checksum in ``crc32c.h``, as `nsqcore.wire.hot` is compiled. The tests run on
both forms. The formats are drawn in `batches` and `payloads`; all numbers are little-endian.
"""
# crc32c_more, crc32c_prepare and memcpy are functions of C: no interpreter ever gets to them
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from bisect import bisect_right
from struct import Struct
from typing import Any

COMPILED = not __file__.endswith((".py", ".pyc"))

ITEM_HEADER = 8  # length u32, checksum u32
DELIVERY = 18  # id u64, attempts u16, due i64
QUEUED = 26  # id u64, ordinal u64, attempts u16, due i64: see `parking.PARKED`
ENTRY_HEADER = 36  # see `entries`
ENTRY_MAGIC = 0x9A4E5331
BATCH_HEADER = 48  # see `batches`
BATCH_MAGIC = 0x9A4E5342

if not COMPILED:
    from google_crc32c import extend as _extend
    from google_crc32c import value as _value

_ITEM = Struct("<II")
_pack_item = _ITEM.pack
_unpack_item = _ITEM.unpack_from
_ENTRY = Struct("<IIIB3xQQI")
_unpack_entry = _ENTRY.unpack_from
_BATCH = Struct("<IIIIQqH2xIq")
_unpack_batch = _BATCH.unpack_from
_REST = Struct("<IIQqH2xIq")
_unpack_rest = _REST.unpack_from
_LENGTH = Struct("<I")
_pack_length = _LENGTH.pack
_DELIVERY = Struct("<QHq")
_pack_delivery = _DELIVERY.pack
_QUEUED = Struct("<QQHq")
_pack_queued = _QUEUED.pack
_unpack_long = Struct("<Q").unpack_from


class _LengthChecksums(dict[int, int]):
    """Checksums of the four bytes of a length; traffic has few lengths, so they are kept."""

    def __missing__(self, length: int) -> int:
        checksum: int = _value(_pack_length(length))
        if len(self) < 4096:
            self[length] = checksum
        return checksum


_lengths = _LengthChecksums()


def choose_checksum(by_table: bool) -> None:
    """Have checksums computed by a table, or by the machine's instruction where it has one."""
    if COMPILED:
        crc32c_prepare(by_table)


def crc32c(data: bytes) -> int:
    """The CRC-32C of ``data``."""
    if not COMPILED:
        return _value(data)  # type: ignore[no-any-return]
    return crc32c_more(0, data, len(data))  # type: ignore[no-any-return]


def extend_crc32c(crc: int, data: bytes) -> int:
    """The CRC-32C of what has ``crc``, with ``data`` behind it."""
    if not COMPILED:
        return _extend(crc, data)  # type: ignore[no-any-return]
    return crc32c_more(crc, data, len(data))  # type: ignore[no-any-return]


def total_size(records: list[bytes]) -> int:
    """How many bytes ``records`` have in all."""
    if not COMPILED:
        return sum(map(len, records))
    total = 0
    for record in records:
        total += len(record)
    return total


def encode_items(head: bytes, records: list[bytes], seed: int) -> bytes:
    """``head`` and the items of ``records`` behind it, their checksums mixed with ``seed``."""
    if not COMPILED:
        lengths, extend, pack = _lengths, _extend, _pack_item
        parts = [head]
        for record in records:
            length = len(record)
            parts += (pack(length, extend(lengths[length], record) ^ seed), record)
        return b"".join(parts)
    total = len(head) + total_size(records) + ITEM_HEADER * len(records)
    encoded = bytes(total)
    target: Any = encoded
    data = head
    at = len(head)
    memcpy(target, data, at)
    for record in records:
        data = record
        length = len(record)
        _write_number(target + at, length)
        crc = crc32c_more(crc32c_more(0, target + at, 4), data, length)
        _write_number(target + at + 4, crc ^ seed)
        at += ITEM_HEADER
        memcpy(target + at, data, length)
        at += length
    return encoded


def decode_items(
    buffer: bytes, position: int, stop: int, count: int, seed: int
) -> tuple[list[bytes], int]:
    """Up to ``count`` records from ``position`` of ``buffer`` on, none of it from ``stop`` on.

    Ends before the first one that is damaged, or cut off; returns also where that begins.
    """
    records: list[bytes] = []
    if not COMPILED:
        lengths, extend, unpack = _lengths, _extend, _unpack_item
        while len(records) < count and position + ITEM_HEADER <= stop:
            length, found = unpack(buffer, position)
            end = position + ITEM_HEADER + length
            if end > stop:
                break
            record = buffer[position + ITEM_HEADER : end]
            if extend(lengths[length], record) ^ seed != found:
                break
            records.append(record)
            position = end
        return records, position
    data: Any = buffer
    while count > 0 and position + ITEM_HEADER <= stop:
        length = _read_number(data + position)
        if length > stop - position - ITEM_HEADER:
            break
        crc = crc32c_more(crc32c_more(0, data + position, 4), data + position + ITEM_HEADER, length)
        if crc ^ seed != _read_number(data + position + 4):
            break
        position += ITEM_HEADER
        records.append(buffer[position : position + length])
        position += length
        count -= 1
    return records, position


def whole_entries(
    image: bytes, at: int, epoch: int, kinds: dict[int, Any]
) -> tuple[list[tuple[int, Any, bytes]], int]:
    """The entries of a journal from ``at`` of ``image`` on: number, kind and payload of each.

    Ends before the first that is damaged, cut off, of another ``epoch`` or of a kind that is not
    in ``kinds``, which has what is given for each; returns also where that begins.
    """
    found: list[tuple[int, Any, bytes]] = []
    end = len(image)
    if not COMPILED:
        unpack, value = _unpack_entry, _value
        while at + ENTRY_HEADER <= end:
            magic, crc, length, number_of_kind, of, number, payload_crc = unpack(image, at)
            stop = at + ENTRY_HEADER + length
            kind = kinds.get(number_of_kind)
            if magic != ENTRY_MAGIC or of != epoch or stop > end or kind is None:
                break
            payload = image[at + ENTRY_HEADER : stop]
            if value(image[at + 8 : at + ENTRY_HEADER]) != crc or value(payload) != payload_crc:
                break
            found.append((number, kind, payload))
            at = stop
        return found, at
    data: Any = image
    while at + ENTRY_HEADER <= end:
        length = _read_number(data + at + 8)
        if _read_number(data + at) != ENTRY_MAGIC or length > end - at - ENTRY_HEADER:
            break
        if _read_number(data + at + 4) != crc32c_more(0, data + at + 8, ENTRY_HEADER - 8):
            break
        kind = kinds.get(data[at + 12])
        if kind is None or _read_long(data + at + 16) != epoch:
            break
        number = _read_long(data + at + 24)
        crc = _read_number(data + at + 32)
        at += ENTRY_HEADER
        if crc32c_more(0, data + at, length) != crc:
            at -= ENTRY_HEADER
            break
        found.append((number, kind, image[at : at + length]))
        at += length
    return found, at


def whole_batches(buffer: bytes, at: int, check: bool) -> tuple[list[tuple[int, ...]], int]:
    """The batches from ``at`` of ``buffer`` on: where each begins, and what `batches.BatchHeader`
    has of it, in that order.

    Ends before the first whose header is damaged, or that does not end in ``buffer``, or, if
    ``check``, that has a damaged record; returns also where that begins.
    """
    found: list[tuple[int, ...]] = []
    end = len(buffer)
    if not COMPILED:
        unpack, value = _unpack_batch, _value
        while at + BATCH_HEADER <= end:
            magic, seed, length, count, *rest = unpack(buffer, at)
            stop = at + BATCH_HEADER + length
            if magic != BATCH_MAGIC or stop > end:
                break
            if value(buffer[at + 8 : at + BATCH_HEADER]) != seed:
                break
            if check:
                items, read = decode_items(buffer, at + BATCH_HEADER, stop, count, seed)
                if len(items) != count or read != stop:
                    break
            found.append((at, length, count, *rest))
            at = stop
        return found, at
    data: Any = buffer
    while at + BATCH_HEADER <= end:
        length = _read_number(data + at + 8)
        if _read_number(data + at) != BATCH_MAGIC or length > end - at - BATCH_HEADER:
            break
        seed = _read_number(data + at + 4)
        if crc32c_more(0, data + at + 8, BATCH_HEADER - 8) != seed:
            break
        count = _read_number(data + at + 12)
        stop = at + BATCH_HEADER + length
        if check and _check_items(data, at + BATCH_HEADER, stop, count, seed) == 0:
            break
        found.append((at, *_unpack_rest(buffer, at + 8)))
        at = stop
    return found, at


def _check_items(data: Any, position: int, stop: int, count: int, seed: int) -> bool:
    """Whether there are ``count`` items up to ``stop``, none of them damaged (compiled only)."""
    while count > 0 and position + ITEM_HEADER <= stop:
        length = _read_number(data + position)
        if length > stop - position - ITEM_HEADER:
            return False
        crc = crc32c_more(crc32c_more(0, data + position, 4), data + position + ITEM_HEADER, length)
        if crc ^ seed != _read_number(data + position + 4):
            return False
        position += ITEM_HEADER + length
        count -= 1
    return count == 0 and position == stop


def pack_ids(ids: list[bytes]) -> bytes:
    """Ids, as 16 hex digits each, as numbers of eight bytes. Raises ValueError for another id."""
    if not COMPILED:
        numbers = [int(id, 16) for id in ids]
        return Struct(f"<{len(ids)}Q").pack(*numbers)
    packed = bytes(8 * len(ids))
    target: Any = packed
    at = 0
    for id in ids:
        data = id
        if len(id) != 16 or not _write_id(target + at, data):
            raise ValueError(f"{id!r} is no id")
        at += 8
    return packed


def pack_queued(records: list[bytes]) -> bytes:
    """What a state file has of ``records`` that are queued where their ids say.

    Raises ValueError for a record that has no id.
    """
    if not COMPILED:
        number = int.from_bytes
        made = [(number(record[8:10], "big") & 32767) - 1 for record in records]
        ids = [int(record[10:26], 16) for record in records]
        return b"".join([_pack_queued(id, 0, max(0, n), 0) for id, n in zip(ids, made)])  # noqa: B905
    packed = bytes(QUEUED * len(records))
    target: Any = packed
    at = 0
    for record in records:
        data: Any = record
        if len(record) < 26 or not _write_id(target + at, data + 10):
            raise ValueError("a record has no id")
        attempts = (data[8] & 127) << 8 | data[9]
        attempts = attempts - 1 if attempts > 1 else 0
        target[at + 16] = attempts & 255
        target[at + 17] = attempts >> 8
        at += QUEUED
    return packed


def count_between(packed: bytes, bounds: bytes) -> list[int]:
    """Of messages as `pack_queued` has them, how many have ids from which of ``bounds`` on, which
    rise and are packed as `pack_ids` has them; the first number is of those before all."""
    limits = [_unpack_long(bounds, at)[0] for at in range(0, len(bounds), 8)]
    counts = [0] * (len(limits) + 1)
    if not COMPILED:
        for id, *_ in _QUEUED.iter_unpack(packed):
            counts[bisect_right(limits, id)] += 1
        return counts
    data: Any = packed
    ends: Any = bounds
    many = len(limits)
    low = high = 0
    count = 0
    for at in range(0, len(packed), QUEUED):
        id = _read_long(data + at)
        # most come one behind the other
        if (low and id < _read_long(ends + 8 * low - 8)) or (
            low < many and id >= _read_long(ends + 8 * low)
        ):
            counts[low] += count
            count = 0
            low, high = 0, many
            while low < high:
                middle = (low + high) // 2
                if id < _read_long(ends + 8 * middle):
                    high = middle
                else:
                    low = middle + 1
        count += 1
    counts[low] += count
    return counts


def pack_deliveries(records: list[bytes], fewer: int, due: int) -> bytes:
    """For each of ``records`` its id, its attempts less ``fewer``, and ``due``.

    Raises ValueError for a record that has no id.
    """
    if not COMPILED:
        pack, number = _pack_delivery, int.from_bytes
        return b"".join(
            [
                pack(
                    int(record[10:26], 16),
                    max(0, (number(record[8:10], "big") & 32767) - fewer),  # without `MARK`
                    due,
                )
                for record in records
            ]
        )
    packed = bytes(DELIVERY * len(records))
    target: Any = packed
    at = 0
    for record in records:
        data: Any = record
        if len(record) < 26 or not _write_id(target + at, data + 10):
            raise ValueError("a record has no id")
        attempts = (data[8] & 127) << 8 | data[9]
        attempts = attempts - fewer if attempts > fewer else 0
        target[at + 8] = attempts & 255
        target[at + 9] = attempts >> 8
        _write_number(target + at + 10, due & 0xFFFFFFFF)
        _write_number(target + at + 14, due >> 32 & 0xFFFFFFFF)
        at += DELIVERY
    return packed


def _write_number(target: Any, number: int) -> None:
    target[0] = number & 255
    target[1] = number >> 8 & 255
    target[2] = number >> 16 & 255
    target[3] = number >> 24 & 255


def _read_number(data: Any) -> int:
    return data[0] | data[1] << 8 | data[2] << 16 | data[3] << 24  # type: ignore[no-any-return]


def _read_long(data: Any) -> int:
    low, high = _read_number(data), _read_number(data + 4)
    return low | high << 32


def _write_id(target: Any, digits: Any) -> bool:
    """Write the 16 hex ``digits`` as a number of eight bytes; whether they are hex digits."""
    number = 0
    for index in range(16):
        digit = digits[index]
        if 48 <= digit <= 57:
            digit -= 48
        elif 97 <= digit | 32 <= 102:
            digit = (digit | 32) - 87
        else:
            return False
        number = number << 4 | digit
    _write_number(target, number & 0xFFFFFFFF)
    _write_number(target + 4, number >> 32)
    return True


choose_checksum(False)
