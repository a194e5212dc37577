"""What a browser may send: nothing that a page of another site told it to.

Pages from elsewhere can make a browser send requests to any address it reaches, with forms and
scripts. Browsers say where such a request comes from, and forms can send three types of bodies
only. And who owns a name can have it point here after the browser has loaded a page from there
(DNS rebinding): the name in ``Host`` is that one then, never an address.
"""

from collections.abc import Iterable
from functools import lru_cache

from nsqcore.addresses import host_of, is_literal
from nsqcore.classes import frozen

#: What a form can send without asking first (the Fetch standard, "CORS-safelisted").
FORM_TYPES = frozenset(
    (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")
)
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
# Of the headers that are looked at.
_LENGTHS = frozenset(map(len, ("host", "origin", "content-type", "sec-fetch-site")))
_OURS = frozenset((b"same-origin", b"none"))


@frozen
class Refusal:
    """Why a request is not answered."""

    status: int
    message: str
    detail: str


def _host(value: bytes) -> str:
    return host_of(value.decode("latin-1")).lower().rstrip(".")


@frozen
class BrowserRules:
    """Which names are ours, beside addresses and ``localhost``."""

    names: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "BrowserRules":
        """The rules of a daemon that goes by ``names``, in any case."""
        return cls(frozenset(name.lower().rstrip(".") for name in (*names, "localhost")))

    def refusal(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]]
    ) -> Refusal | None:
        """Why a request is refused; None where it is not."""
        host = site = origin = mode = kind = None
        for name, value in headers:
            if len(name) not in _LENGTHS:
                continue
            match name.lower():
                case b"host":
                    host = value
                case b"origin":
                    origin = value
                case b"sec-fetch-site":
                    site = value
                case b"sec-fetch-mode":
                    mode = value
                case b"content-type":
                    kind = value
        for named in (host, _authority(target)):
            if named and not _is_ours(self.names, named):
                detail = f"{_host(named)[:200]!r} is none of --allowed-host"
                return Refusal(403, "HOST_NOT_ALLOWED", detail)
        looks = method == "GET" and mode == b"navigate"
        foreign = site is not None and site not in _OURS and not looks
        if foreign or (origin is not None and not _is_same(origin, host)):
            return Refusal(403, "CROSS_SITE", "a page of another site sent this")
        if method not in _SAFE_METHODS and kind is not None and _type(kind) in FORM_TYPES:
            detail = "a form could send this: use application/octet-stream, or no Content-Type"
            return Refusal(415, "UNSUPPORTED_MEDIA_TYPE", detail)
        return None


# A daemon is asked by few names.
@lru_cache(64)
def _is_ours(names: frozenset[str], value: bytes) -> bool:
    host = _host(value)
    return host in names or is_literal(host)


def _type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


def _authority(target: bytes) -> bytes:
    """The host of a target that is a whole URL; empty for others."""
    if target.startswith(b"/"):
        return b""
    _, separator, rest = target.partition(b"://")
    return rest.partition(b"/")[0] if separator else b""


def _is_same(origin: bytes, host: bytes | None) -> bool:
    """Whether a page of ``origin`` is one of ``host``."""
    _, separator, authority = origin.partition(b"://")
    return bool(separator) and host is not None and authority.lower() == host.lower()
