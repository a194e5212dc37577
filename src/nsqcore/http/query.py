"""Query strings, read as Go's ``net/url`` reads them.

Pairs are separated by ``&``; ``+`` is a space; a semicolon or a broken percent escape makes the
whole string undecodable, which NSQ answers with ``400 INVALID_REQUEST``.
"""

import re
from functools import lru_cache

from nsqcore.errors import NsqError

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
# Publishers repeat themselves: ``topic=orders`` a million times. Longer strings are not kept, so
# that a peer cannot fill the memory with different ones: 1024 of 256 bytes at most.
_CACHED_LENGTH = 256
_CACHED_STRINGS = 1024


class QueryError(NsqError):
    """A query string, or a path, that cannot be decoded."""


def unescape(raw: bytes) -> str:
    """``raw`` with its percent escapes decoded; bytes that are no UTF-8 become surrogates.

    Raises:
        QueryError: an escape is broken.
    """
    if b"%" in raw:
        raw = _ESCAPE.sub(_decode_escape, raw)
    return raw.decode("utf-8", "surrogateescape")


def _decode_escape(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise QueryError("invalid URL escape")
    return bytes.fromhex(found[1].decode())


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """The values of each name, in order. Shared between callers: not to be changed.

    Raises:
        QueryError: the string is undecodable.
    """
    if len(raw) <= _CACHED_LENGTH:
        return _parse_cached(raw)
    return _parse(raw)


def _parse(raw: bytes) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    if b";" in raw:
        raise QueryError("invalid semicolon separator in query")
    for pair in raw.replace(b"+", b" ").split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            values.setdefault(unescape(name), []).append(unescape(value))
    return values


_parse_cached = lru_cache(_CACHED_STRINGS)(_parse)
