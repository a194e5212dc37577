"""Fields of JSON that a peer chose, typed and bounded where they enter.

Every reader gives an empty value for a field that is missing, of another type, or beyond what it
can be: a daemon of another version, or one that is not a daemon at all, must neither bring a page
down nor fill memory. Numbers fit 64 bits, ports 16; texts are cut, and have no surrogates; a host
is a name or an IP address, never a part of a URL. Nothing here does I/O.
"""

from collections.abc import Mapping
from typing import Any

from nsqcore.addresses import is_host
from nsqcore.json import clean
from nsqcore.names import is_valid_name

Json = Mapping[str, Any]

# Characters. A host name has 253 at most, user agents and URLs of identities a few hundred.
MAX_TEXT = 1024
# 1.10.0-rc.2+20260101 has 20.
MAX_VERSION = 64

_INT64 = 2**63
_MAX_PORT = 65535


def text(raw: Json, key: str, *, longest: int = MAX_TEXT) -> str:
    """The string under ``key``, or an empty one."""
    value = raw.get(key)
    return clean_text(value, longest=longest) if isinstance(value, str) else ""


def clean_text(value: str, *, longest: int = MAX_TEXT) -> str:
    """``value`` cut to ``longest`` characters, without surrogates."""
    return clean(value[:longest] if len(value) > longest else value)


def version(raw: Json, key: str) -> str:
    """The version under ``key``, or an empty one."""
    return text(raw, key, longest=MAX_VERSION)


def count(raw: Json, key: str) -> int:
    """How many there are under ``key``: a whole number, 0 at least."""
    value = raw.get(key)
    if type(value) is int:
        return value if 0 <= value < _INT64 else 0
    if isinstance(value, float) and 0 <= value < _INT64:  # also no NaN
        return int(value)
    return 0


def number(raw: Json, key: str) -> float:
    """The number under ``key``, or 0.0."""
    value = raw.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _INT64:
        return float(value)
    return 0.0


def port(raw: Json, key: str) -> int:
    """The port under ``key``, or 0."""
    value = raw.get(key)
    return value if type(value) is int and 0 < value <= _MAX_PORT else 0


def host(raw: Json, key: str) -> str:
    """The host name or IP address (without brackets) under ``key``, or an empty one."""
    value = raw.get(key)
    return value if isinstance(value, str) and is_host(value) else ""


def flag(raw: Json, key: str) -> bool:
    """True only if the value under ``key`` is true."""
    return raw.get(key) is True


def objects(raw: Json, key: str) -> list[dict[str, Any]]:
    """The objects of the list under ``key``; whatever else is in it is left out."""
    value = raw.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(raw: Json, key: str) -> list[str]:
    """The strings of the list under ``key``."""
    value = raw.get(key)
    if not isinstance(value, list):
        return []
    return [clean_text(item) for item in value if isinstance(item, str)]


def names(raw: Json, key: str) -> list[str]:
    """The names of topics or channels in the list under ``key``; what can be none is left out."""
    value = raw.get(key)
    if not isinstance(value, list):
        return []
    return [item for item in value if is_name(item)]


def is_name(value: object) -> bool:
    """Whether ``value`` may be the name of a topic or channel."""
    return isinstance(value, str) and is_valid_name(value)
