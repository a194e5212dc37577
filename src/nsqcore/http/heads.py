"""What a request's head may ask of us, and what is answered to one that asks for more.

A head that the parser accepts may still mean something else to whoever passed it on: a coding we
do not undo, a version with other rules. Such a request is refused instead of guessed at, with the
status the original has for it, and the connection ends.
"""

import re
from functools import lru_cache

from nsqcore.http.responses import TEXT, Response
from nsqcore.http.router import BAD_REQUEST


def _refusal(status: int, text: str) -> Response:
    return Response(status, f"{status} {text}".encode(), TEXT, versioned=False)


EXPECTATION_FAILED = Response(417, versioned=False)
MALFORMED_HOST = _refusal(400, "Bad Request: malformed Host header")
MISSING_HOST = _refusal(400, "Bad Request: missing required Host header")
UNSUPPORTED_CODING = Response(501, b"Unsupported transfer encoding", TEXT, versioned=False)
UNSUPPORTED_VERSION = _refusal(505, "HTTP Version Not Supported: unsupported protocol version")

# The lengths of "Host", "Expect" and "Transfer-Encoding": other headers cost no more than a look.
_LENGTHS = (4, 6, 17)
# What a host and its port are made of (RFC 3986): names, addresses of both kinds, escapes.
_HOST = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*")
_NON_ASCII = re.compile(rb"[\x80-\xff]")
# A valid length of a body, in a head.
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength:[ \t]*([0-9]{1,18})[ \t]*\r\n")
# A daemon goes by few names, each as long as a head at most: what was found out is kept.
_is_host = lru_cache(32)(_HOST.fullmatch)


def is_plain(data: bytes) -> bool:
    """Whether no line of ``data`` can need `mend_line`; bodies may say no where heads are fine."""
    return data.isascii() and data.count(b"\n") == data.count(b"\r\n")


def is_plain_head_and_body(data: bytes) -> bool:
    """Whether ``data`` begins with a whole plain head, and what is behind it is its body alone."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or end == len(data):
        return False
    found = _LENGTH.search(data, 0, end)
    return found is not None and end + int(found[1]) >= len(data) and is_plain(data[:end])


def mend_line(line: bytes, *, is_first: bool, after_cr: bool) -> bytes:
    """A line of a head as the parser wants it.

    It may end in LF alone (RFC 9112, 2.2), as health checks made by hand do, and the target in
    the first line may hold any byte, as if it was percent-encoded; the original takes both. The
    lines that frame chunks are not for here: there leniency would help to smuggle.

    Args:
        is_first: the line is the request line, or the rest of it.
        after_cr: the CR came before ``line``.
    """
    if line.endswith(b"\n") and not line.endswith(b"\r\n") and not (after_cr and line == b"\n"):
        line = line[:-1] + b"\r\n"
    if is_first and not line.isascii():
        line = _NON_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line)
    return line


def declared_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The length of the body; None where there is no valid one."""
    for name, value in headers:
        if len(name) == len("Content-Length") and name.lower() == b"content-length":
            value = value.strip()
            return int(value) if value.isdigit() and len(value) < 20 else None
    return None


def find_refusal(version: str, headers: list[tuple[bytes, bytes]]) -> Response | None:
    """The answer to a head we do not do as it says; None where all is well."""
    if version not in ("1.1", "1.0"):
        return UNSUPPORTED_VERSION if version > "1.1" else BAD_REQUEST
    host: bytes | None = None
    codings: list[bytes] = []
    for name, value in headers:
        if len(name) in _LENGTHS:
            match name.lower():
                case b"host":
                    if host is not None:
                        return BAD_REQUEST
                    host = value
                case b"expect" if value.strip().lower() != b"100-continue":
                    return EXPECTATION_FAILED
                case b"transfer-encoding":
                    codings.append(value.strip().lower())
    if codings and codings != [b"chunked"]:
        return UNSUPPORTED_CODING
    if codings and version == "1.0":
        return BAD_REQUEST
    if host is None and version == "1.1":
        return MISSING_HOST
    if host and not _is_host(host):
        return MALFORMED_HOST
    return None
