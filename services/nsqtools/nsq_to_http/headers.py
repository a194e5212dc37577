"""Headers of requests: those of the command line, checked, and the lines they become.

Names are compared without case, as HTTP has it. What frames a request is ours alone to say: a
header of the command line never changes where its body ends, and never begins another request.
"""

import re
from collections.abc import Mapping, Sequence

# They frame the request (RFC 9112, section 6); the original leaves them out as well.
FRAMING = frozenset({"content-length", "transfer-encoding", "trailer"})

# Meant for the host they were given for, and for no other.
PRIVATE = frozenset({"host", "authorization", "cookie", "cookie2", "www-authenticate"})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def parse_headers(given: Sequence[str]) -> dict[str, str]:
    """The headers in ``name: value`` texts, the last of a name; raises ValueError."""
    headers: dict[str, tuple[str, str]] = {}
    for text in given:
        name, _, value = (part.strip(" \t") for part in text.partition(":"))
        if not value or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise ValueError(f"value format should be 'name: value', not {name!r} and its value")
        headers[name.lower()] = (name, value)
    return dict(headers.values())


def framing_headers(headers: Mapping[str, str]) -> list[str]:
    """Which of ``headers`` frame a request: `header_lines` leaves them out."""
    return [name for name in headers if name.lower() in FRAMING]


def check_value(value: str) -> None:
    """Refuse what can be no header's value, with a ValueError."""
    if _CONTROL.search(value):
        raise ValueError("contains a control character")


def header_lines(own: Mapping[str, str], given: Mapping[str, str], *, private: bool) -> bytes:
    """The lines of a request's headers: ``given`` win over ``own``.

    Args:
        private: whether the request goes to the host that `PRIVATE` ones are meant for.
    """
    given = {
        name: value
        for name, value in given.items()
        if name.lower() not in FRAMING and (private or name.lower() not in PRIVATE)
    }
    names = {name.lower() for name in given}
    merged = {name: value for name, value in own.items() if name.lower() not in names} | given
    text = "".join(f"{name}: {value}\r\n" for name, value in merged.items())
    return text.encode("utf-8", "surrogateescape")  # bytes of the command line, whatever they are
