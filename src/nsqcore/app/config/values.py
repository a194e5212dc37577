"""Values of settings: from the text of a flag or variable, or a TOML value, to what is used.

A parser takes a `str` (from a flag, an environment variable or a quoted TOML value) or another TOML
value, and returns the setting's value or raises `ValueError` with a text that fits behind "invalid
value ...:". A check takes the value and raises `ValueError` if it cannot be meant. Both are pure.
"""

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nsqcore.addresses import (
    AddressError,
    is_host,
    is_literal,
    is_unix,
    parse_host_port,
    split_host_port,
)
from nsqcore.classes import frozen

# The units of a duration, in seconds; both spellings of the micro sign are in use.
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_INTEGER = re.compile(
    r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO](_?[0-7])+|0(_?[0-7])*|[1-9](_?\d)*)"
)
# Durations are kept by other programs of the suite as 64-bit nanoseconds: about 292 years.
_MAX_SECONDS = 2**63 / 1e9

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def text(value: object) -> str:
    """The value as text; numbers are taken as they are written."""
    if isinstance(value, str):
        if "\0" in value:  # no file and no host is called so
            raise ValueError("expected a text without NUL")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("expected a text")


def integer(value: object) -> int:
    """A whole number of 64 bits: ``10``, ``-1``, ``0x10``, ``0b1``, ``0o17``, ``1_000``."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _INTEGER.fullmatch(value):
        digits = value.lower().lstrip("+-").replace("_", "")
        octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
        number = int(digits, 8 if octal else 0) * (-1 if value[0] == "-" else 1)
    else:
        raise ValueError("expected a whole number")
    if not -(2**63) <= number < 2**63:
        raise ValueError("out of range")
    return number


def number(value: object) -> float:
    """A finite number, with or without a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("expected a number")
    try:
        result = float(value)
    except (ValueError, OverflowError):
        raise ValueError("expected a number") from None
    if not math.isfinite(result):
        raise ValueError("expected a finite number")
    return result


def numbers(value: object) -> list[float]:
    """Numbers separated by commas; for options with ``many``."""
    if isinstance(value, str):
        return [number(part.strip()) for part in value.split(",")]
    return [number(value)]


def boolean(value: object) -> bool:
    """True for ``true``, ``t``, ``1``; False for ``false``, ``f``, ``0``; other cases too."""
    if isinstance(value, int):  # of a TOML file, where the original takes any whole number
        return value != 0
    if isinstance(value, str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
    raise ValueError("expected true or false")


def seconds(value: object) -> float:
    """Seconds, from a duration such as ``1m30s`` or ``250ms``; a TOML number is milliseconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        result = value / 1000
    elif isinstance(value, str):
        result = _duration(value)
    else:
        raise ValueError('expected a duration such as "1m30s" or "250ms"')
    if abs(result) >= _MAX_SECONDS:
        raise ValueError("out of range")
    return result


def _duration(value: str) -> float:
    sign = -1 if value.startswith("-") else 1
    rest = value[1:] if value[:1] in ("+", "-") else value
    if rest == "0":
        return 0.0
    total, position = 0.0, 0
    while match := _DURATION_PART.match(rest, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not rest or position != len(rest):
        unit = " (a unit is missing)" if re.fullmatch(r"[\d.]+", rest) else ""
        raise ValueError(f'expected a duration such as "1m30s" or "250ms"{unit}')
    # The original counts in nanoseconds; rounded to those, sums such as 0.1 + 0.2 are exact.
    return sign * round(total * 1e9) / 1e9


def duration_text(value: float) -> str:
    """The shortest usual spelling of a duration in seconds: ``1m30s``, ``250ms``, ``1h``."""
    nanoseconds = round(abs(value) * 1e9)
    sign = "-" if value < 0 else ""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{sign}{nanoseconds / size:.10g}{unit}"
    whole, fraction = divmod(nanoseconds, 10**9)
    hours, rest = divmod(whole, 3600)
    minutes, remaining = divmod(rest, 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    if remaining or fraction:
        parts.append(f"{remaining + fraction / 1e9:.10g}s")
    return sign + "".join(parts)


@frozen
class Choice:
    """A parser for one of a few ``words``; capital letters do not matter."""

    words: tuple[str, ...]

    def __call__(self, value: object) -> str:
        """The word, as it stands in ``words``."""
        word = text(value).lower()
        if word not in self.words:
            raise ValueError(f"expected one of {', '.join(map(repr, self.words))}")
        return word


def choice(*words: str) -> Choice:
    """A parser for one of ``words``."""
    return Choice(words)


def at_least(lowest: float) -> Callable[[float], None]:
    """A check: ``lowest`` or more."""

    def check(value: float) -> None:
        if value < lowest:
            raise ValueError(f"must be {lowest} or more")

    return check


def above(bound: float) -> Callable[[float], None]:
    """A check: more than ``bound``."""

    def check(value: float) -> None:
        if value <= bound:
            raise ValueError(f"must be more than {bound}")

    return check


def between(lowest: float, highest: float) -> Callable[[float], None]:
    """A check: from ``lowest`` to ``highest``, both included."""

    def check(value: float) -> None:
        if not lowest <= value <= highest:
            raise ValueError(f"must be [{lowest},{highest}]")

    return check


def address(value: str) -> None:
    """A check: ``host:port``, as ``127.0.0.1:4150``, ``[::1]:4150`` or ``:4150``."""
    try:
        port = split_host_port(value)[1]
    except AddressError as error:
        raise ValueError("expected <addr>:<port>") from error
    try:
        parse_host_port(value, lowest=0)
    except AddressError as error:
        raise ValueError(f"unknown port {port!r}") from error


def web_address(value: str) -> None:
    """A check: an `address`, perhaps with ``https://`` before it."""
    address(value.removeprefix("https://"))


def listening_address(value: str) -> None:
    """A check: ``host:port`` to listen on, or the path of a Unix socket; nothing, too.

    What must be meant for the former is not taken for the latter: ``127.0.0.1``, ``::1:4150``,
    ``http://127.0.0.1:4151``.
    """
    if not is_unix(value):
        return
    beside = value and "/" not in value and (":" in value or is_literal(value))
    if beside or "://" in value or (value and not value.strip()):
        raise ValueError("must be <addr>:<port>, or the path of a Unix socket")


def http_url(value: str) -> None:
    """A check: an ``http`` or ``https`` URL; the host may be empty where there is a port."""
    if not value.isprintable() or " " in value:
        raise ValueError("must be a http:// or https:// URL")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"must be a http:// or https:// URL: {error}") from None
    if parts.scheme not in ("http", "https") or port == 0 or not (parts.hostname or port):
        raise ValueError("must be a http:// or https:// URL")


def http_server(value: str) -> None:
    """A check: an `http_url`, or ``host:port`` of a server that is asked over HTTP."""
    http_url(value if "://" in value else f"http://{value}/")


def host(value: str) -> None:
    """A check: a host name, or an IP address without brackets."""
    if not is_host(value):
        raise ValueError("must be a host name or an IP address without a port")


# The numbers by which TLS itself, and GET /config/tls_min_version, name the versions.
TLS_VERSIONS = {
    "ssl3.0": 0x300,
    "tls1.0": 0x301,
    "tls1.1": 0x302,
    "tls1.2": 0x303,
    "tls1.3": 0x304,
}


def parse_tls_version(value: object) -> int:
    """A TLS version's number, from a name such as ``tls1.2``; 0x301 for the empty text."""
    word = text(value).lower()
    if not word:
        return TLS_VERSIONS["tls1.0"]
    if word not in TLS_VERSIONS:
        raise ValueError(f"expected one of {', '.join(TLS_VERSIONS)}")
    return TLS_VERSIONS[word]


_TYPE_NAMES: dict[Callable[[Any], Any], str] = {
    integer: "int",
    number: "float",
    numbers: "float",
    boolean: "bool",
    seconds: "duration",
}


def type_name(parse: Callable[[Any], Any]) -> str:
    """What help texts call the values that ``parse`` takes; ``string`` for one not known here."""
    if isinstance(parse, Choice):
        return "|".join(filter(None, parse.words))
    return _TYPE_NAMES.get(parse, "string")
