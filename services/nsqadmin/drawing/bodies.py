"""Bodies of messages as people read them: JSON, MessagePack, text, and bytes in hexadecimal."""

import json
import string
import unicodedata
from typing import Any

from nsqadmin.drawing.msgpack import BadMessagePack, unpack
from nsqadmin.language.spoken import N_
from nsqcore.classes import frozen

# Characters of a body that a page shows.
LONGEST = 100_000
# A row of a dump.
_ROW = 16
_PRINTABLE = frozenset(string.printable) - frozenset("\x0b\x0c")


@frozen
class Shown:
    """A body: what it was taken for, and its text, of which there may be more than is shown."""

    kind: str
    text: str
    cut: bool = False


def show(body: bytes) -> Shown:
    """``body``, decoded where it can be."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if text and (decoded := _json(text)):
        return _shown(N_("JSON"), decoded)
    if text and all(map(_shows, text)):
        return _shown(N_("text"), text)
    try:
        value = unpack(body)
    except BadMessagePack:
        most = LONGEST // 5
        return Shown(N_("bytes"), dump(body[:most]), cut=len(body) > most)
    return _shown(N_("MessagePack"), _laid_out(value))


def _shown(kind: str, text: str) -> Shown:
    return Shown(kind, text[:LONGEST], cut=len(text) > LONGEST)


def _json(text: str) -> str:
    """``text`` laid out, if it is an object or a list in JSON."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > LONGEST:
        return ""
    try:
        return _laid_out(json.loads(text))
    except (ValueError, RecursionError):
        return ""


def _laid_out(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # halves of characters, which no page can have, and what turns text round
    return "".join(c if _shows(c) else json.dumps(c)[1:-1] for c in text)


def _shows(character: str) -> bool:
    """Whether a page can show it as it is: a space of any width, too."""
    return (
        character.isprintable()
        or character in _PRINTABLE
        or unicodedata.category(character) == "Zs"
    )


def dump(data: bytes) -> str:
    """``data`` in rows of hexadecimal digits, with what is text beside them."""
    rows = []
    for start in range(0, len(data), _ROW):
        row = data[start : start + _ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:06x}  {row.hex(' '):<47}  {text}")
    return "\n".join(rows)


def snippet(body: str, encoding: str, length: int = 120) -> str:
    """The beginning of a body in one line, for a table."""
    shown = " ".join(body.split()) if encoding == "text" else f"base64:{body}"
    cut = shown if len(shown) <= length else shown[:length] + "…"
    return "".join(c if _shows(c) else "\ufffd" for c in cut)
