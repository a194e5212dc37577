"""What a request's head may ask of us, and what is answered to one that asks for more.

A head that the parser accepts may still mean something else to whoever passed it on: a coding we
do not undo, a version with other rules. Such a request is refused instead of guessed at, with the
status the original has for it, and the connection ends.
"""

from nsqcore.http.responses import TEXT, Response
from nsqcore.http.router import BAD_REQUEST

EXPECTATION_FAILED = Response(417, versioned=False)
UNSUPPORTED_CODING = Response(501, b"Unsupported transfer encoding", TEXT, versioned=False)
UNSUPPORTED_VERSION = Response(505, b"505 HTTP Version Not Supported", TEXT, versioned=False)

# The lengths of "Expect" and "Transfer-Encoding": other headers cost no more than a look at them.
_LENGTHS = (6, 17)


def find_refusal(version: str, headers: list[tuple[bytes, bytes]]) -> Response | None:
    """The answer to a head we do not do as it says; None where all is well."""
    if version not in ("1.1", "1.0"):
        return UNSUPPORTED_VERSION if version > "1.1" else BAD_REQUEST
    codings: list[bytes] = []
    for name, value in headers:
        if len(name) in _LENGTHS:
            match name.lower():
                case b"expect" if value.strip().lower() != b"100-continue":
                    return EXPECTATION_FAILED
                case b"transfer-encoding":
                    codings.append(value.strip().lower())
    if codings and codings != [b"chunked"]:
        return UNSUPPORTED_CODING
    if codings and version == "1.0":
        return BAD_REQUEST
    return None
