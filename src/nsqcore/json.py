"""JSON that others wrote, read as Go reads it: bounded, and with one kind of error.

Nothing that was sent ends in another exception than `JsonError`: not what is nested a thousand
deep, nor numbers of thousands of digits, nor NaN. No text has a lone surrogate: like bytes that are
no UTF-8 it becomes U+FFFD. Objects read by `decode_folded` have their keys in lower case, as Go
matches keys in any case; where a key comes twice the last one counts, and null counts as absent.
"""

import json
import re
from typing import Any

from nsqcore.errors import NsqError

# Sixty thousand clients of one nsqd are two million values; each takes up to 80 bytes when read.
MAX_VALUES = 8_000_000

_SPACE = " \t\r\n"
REPLACEMENT = "\ufffd"

# A pair of surrogates, or one alone, or any other escape.
_ESCAPE = re.compile(r"\\(?:u(?:d[89ab]..\\ud[c-f]..|(d[89a-f]..))|.)", re.IGNORECASE | re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonError(NsqError, ValueError):
    """It is no JSON, or more than can be read."""


def clean(text: str) -> str:
    """``text`` without surrogates, which no encoding can write."""
    return text if text.isascii() else _SURROGATE.sub(REPLACEMENT, text)


def decode(data: bytes | str, *, yielding: bool = False) -> Any:
    """The value that ``data`` is.

    Args:
        yielding: let other threads run in between; a little slower, for a thread that reads much.

    Raises:
        JsonError: it is none.
    """
    return _decode(data, _yielding if yielding else _plain)


def decode_folded(data: bytes | str, *, first: bool = False) -> Any:
    """As `decode`, all keys in lower case.

    Args:
        first: what stands behind the first value does not matter.
    """
    return _decode(data, _folding, first=first)


def _decode(data: bytes | str, decoder: json.JSONDecoder, *, first: bool = False) -> Any:
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else clean(data)
    if len(text) > MAX_VALUES and text.count(",") > MAX_VALUES:
        raise JsonError(f"more than {MAX_VALUES} values")
    if "\\ud" in text or "\\uD" in text:
        text = _ESCAPE.sub(_paired, text)
    try:
        return decoder.raw_decode(text.lstrip(_SPACE))[0] if first else decoder.decode(text)
    except RecursionError:
        reason = "nested too deep"
    except ValueError as error:
        reason = str(error)
    raise JsonError(reason)


def _paired(escape: re.Match[str]) -> str:
    return escape[0] if escape[1] is None else "\\ufffd"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _same(value: dict[str, Any]) -> dict[str, Any]:
    return value  # the interpreter looks for other threads between two calls of Python functions


def _folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        folded = key.lower()
        if value is not None or folded not in found:
            found[folded] = value
    return found


# Made once: thousands of clients may come at the same moment, and `json.loads` makes one for each.
_plain = json.JSONDecoder(parse_constant=_no_constant)
_yielding = json.JSONDecoder(parse_constant=_no_constant, object_hook=_same)
_folding = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_folded)
