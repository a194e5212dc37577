"""The URL of an endpoint, as a request needs it."""

import base64
from urllib.parse import quote, unquote, urlsplit

from nsqcore.addresses import join_host_port
from nsqcore.classes import frozen
from nsqcore.redaction import redact

# What may stand in a request's target as it is: all of RFC 3986, and escapes that are there.
_SAFE = "/?:@!$&'()*+,;=-._~%[]"


@frozen
class Origin:
    """What a connection leads to."""

    secure: bool
    host: str
    port: int


@frozen
class Target:
    """A URL, as a request needs it."""

    origin: Origin
    host: str  # the header
    path: str  # with the query
    authorization: str  # the header; empty for none


def parse_url(url: str) -> Target:
    """The parts of ``url``; raises ValueError if it is none that can be requested."""
    shown = repr(redact(url))
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{shown} is no URL: it is not UTF-8") from error
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or parts.port == 0:
        raise ValueError(f"{shown} is not a URL; write http://host:port/path")
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    if not host.isprintable() or " " in host:
        raise ValueError(f"{shown} has no host")
    secure = parts.scheme == "https"
    default = 443 if secure else 80
    port = parts.port or default
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_SAFE)
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(secret.encode()).decode("ascii")
    bare = f"[{host}]" if ":" in host else host
    return Target(
        Origin(secure, host, port),
        bare if port == default else join_host_port(host, port),
        path,
        authorization,
    )


def check_url(url: str) -> None:
    """Refuse what is no URL to request, with a ValueError."""
    parse_url(url)
