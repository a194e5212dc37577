"""Addresses as users write them and as NSQ prints them.

``host:port``, ``:port``, ``[::1]:port``; everything else is the path of a Unix socket. Pure text:
nothing here resolves a name or opens a socket.
"""

import ipaddress
import re

from nsqcore.errors import NsqError
from nsqcore.redaction import redact

_NAME = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
_ZONE = re.compile(r"[A-Za-z0-9_.-]{0,64}")


class AddressError(NsqError, ValueError):
    """An address that cannot be understood; the text has no password that stood in it."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


def split_host_port(address: str) -> tuple[str, str]:
    """Host (without brackets) and port of ``address``, either of which may be empty.

    Raises:
        AddressError: the port is missing or the brackets or colons do not fit.
    """
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        raise AddressError(f"address {address}: missing port in address")
    if host.startswith("["):
        if not host.endswith("]"):
            raise AddressError(f"address {address}: missing ']' in address")
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"address {address}: too many colons in address")
    if "[" in host or "]" in host or "[" in port or "]" in port:
        raise AddressError(f"address {address}: unexpected bracket in address")
    return host, port


def parse_host_port(address: str, *, lowest: int = 1) -> tuple[str, int]:
    """Host (without brackets, perhaps empty) and port of ``address``.

    Args:
        lowest: 0 where any free port may be meant.

    Raises:
        AddressError: it is not ``host:port``, or the port is no number from ``lowest`` to 65535.
    """
    host, port = split_host_port(address)
    # 5 digits: a number of thousands takes long to read.
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and lowest <= int(port) < 65536):
        raise AddressError(f"address {address}: invalid port")
    return host, int(port)


def host_of(address: str) -> str:
    """The host of ``address``, which may have a port, without brackets."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] if address.count(":") == 1 else address


def is_literal(host: str) -> bool:
    """Whether ``host`` is an IP address, which nothing needs to resolve."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_host(host: str) -> bool:
    """Whether ``host`` is an IP address without brackets, or a name that can be looked up.

    Nothing else may get into a URL: ``user@host`` and ``host/path`` are no hosts. Underscores are
    allowed, as the names of containers have them (RFC 1123 section 2.1, RFC 2181 section 11).
    """
    if ":" in host:
        return is_literal(host) and _ZONE.fullmatch(host.partition("%")[2]) is not None
    return len(host) <= 254 and _NAME.fullmatch(host) is not None


def join_host_port(host: str, port: int | str) -> str:
    """``host:port``, with brackets round an IPv6 address."""
    if ":" in host or "%" in host:
        return f"[{host}]:{port}"
    return f"{host}:{port}"


def is_unix(address: str) -> bool:
    """Whether ``address`` names a Unix socket: whatever is not ``host:port``."""
    try:
        split_host_port(address)
    except AddressError:
        return True
    return "/" in address


def print_socket_address(address: object) -> str:
    """What a socket's ``getsockname`` or ``getpeername`` gave, printed as Go does."""
    if isinstance(address, tuple):
        host, port = str(address[0]), address[1]
        if host.startswith("::ffff:") and "." in host:
            host = host.removeprefix("::ffff:")
        elif len(address) == 4 and address[3] and "%" not in host:
            host = f"{host}%{address[3]}"
        return join_host_port(host, port)
    if isinstance(address, bytes):
        address = address.decode(errors="replace")
    path = str(address)
    # Go shows the NUL of an abstract or nameless Unix socket as "@".
    return "@" + path[1:] if path.startswith("\0") or not path else path
