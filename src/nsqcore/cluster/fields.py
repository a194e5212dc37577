"""Fields of JSON that a daemon answered, with the type they should have.

Every reader returns an empty value for a field that is missing or of another type: a daemon of
another version, or one that is not a daemon at all, must never bring a page down. Nothing here does
I/O.
"""

import math
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def text(raw: Json, key: str) -> str:
    """The string under ``key``, or an empty one."""
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def count(raw: Json, key: str) -> int:
    """The whole number under ``key``, or 0."""
    value = raw.get(key)
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if math.isfinite(value) else 0


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
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
