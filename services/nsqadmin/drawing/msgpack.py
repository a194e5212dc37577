"""A reader of MessagePack (github.com/msgpack/msgpack, spec.md): values as JSON can show them.

Byte strings and extensions become texts that say what they are. What is nested too deeply, or
claims to be longer than it is, is refused.
"""

from struct import Struct, error
from typing import Any

DEEPEST = 64

_FORMATS = {
    0xCA: Struct(">f"), 0xCB: Struct(">d"), 0xCC: Struct(">B"), 0xCD: Struct(">H"),
    0xCE: Struct(">I"), 0xCF: Struct(">Q"), 0xD0: Struct(">b"), 0xD1: Struct(">h"),
    0xD2: Struct(">i"), 0xD3: Struct(">q"),
}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS = {1: Struct(">B"), 2: Struct(">H"), 4: Struct(">I")}
# kind and bytes of the length
_SIZED = {
    0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4), 0xC7: ("ext", 1), 0xC8: ("ext", 2),
    0xC9: ("ext", 4), 0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4), 0xDC: ("array", 2),
    0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


class BadMessagePack(ValueError):
    """It is none, or not only one value."""


def unpack(data: bytes) -> Any:
    """The map or list that ``data`` is. Raises BadMessagePack.

    Nearly any byte is some number in MessagePack, so nothing else is taken for it.
    """
    try:
        value, end = _value(data, 0, 0)
    except (error, IndexError, UnicodeDecodeError):
        raise BadMessagePack("cut off, or no text where one should be") from None
    if end != len(data) or not isinstance(value, dict | list):
        raise BadMessagePack("no map or list")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise BadMessagePack("nested too deeply")
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind >= 0xE0:
        return kind - 0x100, at
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind in _FORMATS:
        (number,) = _FORMATS[kind].unpack_from(data, at)
        return number, at + _FORMATS[kind].size
    name, length, at = _head(data, kind, at)
    if name in ("map", "array"):
        return _items(data, name, length, at, depth)
    if length > len(data) - at:
        raise BadMessagePack("cut off")
    raw = data[at : at + length]
    if name == "str":
        return raw.decode(), at + length
    if name == "bin":
        return f"bytes {raw.hex()}", at + length
    return f"extension {int.from_bytes(raw[:1], 'big', signed=True)} {raw[1:].hex()}", at + length


def _head(data: bytes, kind: int, at: int) -> tuple[str, int, int]:
    """What begins with ``kind``, how long it is, and where it goes on."""
    if kind < 0x90:
        return "map", kind & 0x0F, at
    if kind < 0xA0:
        return "array", kind & 0x0F, at
    if kind < 0xC0:
        return "str", kind & 0x1F, at
    if 0xD4 <= kind <= 0xD8:
        return "ext", 1 + (1 << (kind - 0xD4)), at
    if kind not in _SIZED:
        raise BadMessagePack(f"no value begins with {kind:#x}")
    name, size = _SIZED[kind]
    (length,) = _LENGTHS[size].unpack_from(data, at)
    return name, length + (name == "ext"), at + size


def _items(data: bytes, name: str, length: int, at: int, depth: int) -> tuple[Any, int]:
    if length * (2 if name == "map" else 1) > len(data) - at:
        raise BadMessagePack("cut off")
    if name == "array":
        items = []
        for _ in range(length):
            item, at = _value(data, at, depth + 1)
            items.append(item)
        return items, at
    entries: dict[str, Any] = {}
    for _ in range(length):
        key, at = _value(data, at, depth + 1)
        entries[key if isinstance(key, str) else str(key)], at = _value(data, at, depth + 1)
    return entries, at
