"""Names of topics and channels: the rule, and how a refused one is shown.

The rule is the same for both: 1 to 64 characters of ``.a-zA-Z0-9_-``, the last
ten of which may be ``#ephemeral`` (TCP protocol spec, "Topic and channel names").
"""

import re

MAX_NAME_LENGTH = 64

EPHEMERAL = "#ephemeral"
_DEAD = ".dead"

_VALID = re.compile(rb"[.a-zA-Z0-9_-]+(?:#ephemeral)?", re.ASCII)

_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    '"': r"\"",
    "\\": r"\\",
}


def is_valid_name(name: str | bytes) -> bool:
    """Whether ``name`` may be the name of a topic or a channel."""
    if isinstance(name, str):
        if not name.isascii():
            return False
        name = name.encode()
    raw = name
    return len(raw) <= MAX_NAME_LENGTH and _VALID.fullmatch(raw) is not None


def dead_letter_topic(topic: str) -> str:
    """Where what is dead in ``topic`` goes, if no policy says otherwise; the name may be too
    long."""
    if is_ephemeral(topic):
        return topic.removesuffix(EPHEMERAL) + _DEAD + EPHEMERAL
    return topic + _DEAD


def is_dead_letter_topic(topic: str) -> bool:
    """Whether ``topic`` has a name as `dead_letter_topic` gives."""
    return topic.removesuffix(EPHEMERAL).endswith(_DEAD)


def is_ephemeral(name: str) -> bool:
    """Whether ``name`` marks a topic or channel that is never stored and goes when unused."""
    return name.endswith(EPHEMERAL)


def as_text(raw: bytes) -> str:
    """Bytes from the wire as text that `as_bytes` turns back without loss."""
    return raw.decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    """The bytes that `as_text` came from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that `as_text` never makes
        return text.encode("utf-8", "replace")


def quote(text: str) -> str:
    """``text`` in double quotes, unprintable characters escaped, as error texts show names."""
    return '"' + "".join(_ESCAPES.get(c) or _shown(c) for c in text) + '"'


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, see `as_text`
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
