"""Addresses as users write them and as NSQ prints them.

``host:port``, ``:port``, ``[::1]:port``; everything else is the path of a Unix socket. Pure text:
nothing here resolves a name or opens a socket.
"""

from nsqcore.wire.errors import NsqError


class AddressError(NsqError):
    """An address that cannot be understood."""


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
