"""The order of names on pages: numbers inside them count as numbers."""

import re
from functools import lru_cache

_DIGITS = re.compile("([0-9]{1,18})")


@lru_cache(maxsize=20_000)
def natural(name: str) -> tuple[str | int, ...]:
    """What to order names by so that ``node-2`` comes before ``node-10``."""
    return tuple(int(part) if index % 2 else part for index, part in enumerate(_DIGITS.split(name)))
