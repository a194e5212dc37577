"""Reads a catalogue of GNU gettext as people write it, a ``.po``, for the gettext that Python has.

That one reads compiled catalogues (``.mo``) alone; `compiled` makes one of what `read` found. Both
formats are those of the manual of GNU gettext, "The Format of PO Files" and "The Format of GNU MO
Files".
"""

import re
import struct
from collections.abc import Iterator, Mapping

from nsqcore.classes import define, field

# Between context and text, and between the forms of a number: as a compiled catalogue has them.
CONTEXT, FORM = "\x04", "\0"
_LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr)(?:\[(\d)\])?\s+)?"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_MAGIC = 0x950412DE


class CatalogueError(ValueError):
    """What was read is no catalogue."""


@define
class _Entry:
    """A text as it is read; the parts are those of the format."""

    parts: dict[str, str] = field(factory=dict)
    fuzzy: bool = False

    def text(self) -> tuple[str, str]:
        """What is asked for, and what is said."""
        key = self.parts["msgid"]
        if "msgctxt" in self.parts:
            key = self.parts["msgctxt"] + CONTEXT + key
        if "msgid_plural" in self.parts:
            key += FORM + self.parts["msgid_plural"]
        forms = sorted(part for part in self.parts if part.startswith("msgstr"))
        return key, FORM.join(self.parts[part] for part in forms)


def read(source: str) -> Mapping[str, str]:
    """The translations of a catalogue by their texts, of which the empty one has its header.

    What has no translation is left out, and so is what is marked as fuzzy.

    Raises:
        CatalogueError: a line is none of a catalogue, or there is no header.
    """
    found: dict[str, str] = {}
    for entry in _entries(source):
        key, said = entry.text()
        if said.strip(FORM) and not (key and entry.fuzzy):
            found[key] = said
    if "" not in found:
        raise CatalogueError("no header")
    return found


def _entries(source: str) -> Iterator[_Entry]:
    entry, last = _Entry(), ""
    # By newlines alone: texts may have other characters that end lines.
    for number, line in enumerate(map(str.strip, source.split("\n")), 1):
        found = _LINE.fullmatch(line)
        word, form, text = found.groups() if found else ("", "", "")
        if last.startswith("msgstr") and word is not None and word != "msgstr":
            yield entry
            entry, last = _Entry(), ""
        if not line or line.startswith("#"):
            entry.fuzzy |= line.startswith("#,") and "fuzzy" in line
            continue
        last = f"{word}{form or ''}" if word else last
        if not found or not last or (last.startswith("msgstr") and "msgid" not in entry.parts):
            raise CatalogueError(f"line {number}: {line}")
        text = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), text)
        entry.parts[last] = entry.parts.get(last, "") + text
    if last.startswith("msgstr"):
        yield entry
    elif last:
        raise CatalogueError("the last text has no translation")


def compiled(texts: Mapping[str, str]) -> bytes:
    """The compiled catalogue of ``texts``."""
    pairs = sorted((key.encode(), said.encode()) for key, said in texts.items())
    count = len(pairs)
    place = 28 + 16 * count
    tables: list[int] = []
    strings = [key for key, _ in pairs] + [said for _, said in pairs]
    for text in strings:
        tables += (len(text), place)
        place += len(text) + 1
    header = struct.pack("<7I", _MAGIC, 0, count, 28, 28 + 8 * count, 0, place)
    return header + struct.pack(f"<{len(tables)}I", *tables) + b"".join(t + b"\0" for t in strings)
