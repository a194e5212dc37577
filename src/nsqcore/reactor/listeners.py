"""Listening sockets, TCP and Unix.

Opening is synchronous, for start-up: a host name is resolved on the spot. A listener only holds
the socket; `nsqcore.reactor.reactor` accepts from it.
"""

import contextlib
import errno
import os
import socket
import stat

from nsqcore.addresses import AddressError, is_unix, print_socket_address, split_host_port
from nsqcore.classes import define

# Go's default on Linux is the system's somaxconn; the kernel lowers a larger value to that.
BACKLOG = 4096

MAX_PORT = 65535

# Go asks a silent peer for a sign of life after this time, and again in intervals of it.
KEEPALIVE_SECONDS = 15
KEEPALIVE_TIMES = ("TCP_KEEPIDLE", "TCP_KEEPINTVL")


@define(eq=False, repr=False)
class Listener:
    """An open listening socket. ``address`` is where it really listens, as Go prints it."""

    socket: socket.socket
    address: str
    #: The TCP port, or -1 for a Unix socket, as the original reports it.
    port: int
    #: The host it listens on, without brackets; empty for a Unix socket.
    host: str = ""
    #: Path of the Unix socket's file, removed by `close`.
    path: str | None = None

    def close(self) -> None:
        """Stop listening; the file of a Unix socket goes too. Closing twice is fine."""
        if self.socket.fileno() < 0:
            return
        self.socket.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)


def open_listener(
    address: str, *, mode: int | None = None, backlog: int = BACKLOG, shared: bool = False
) -> Listener:
    """A listener at ``address``: ``host:port``, ``:port`` (every interface) or a path.

    Port 0 takes a free one. ``mode`` is the permissions of a Unix socket. With ``shared`` other
    processes of this user may listen there as well, all with ``shared``; the system gives each
    connection to one of them (SO_REUSEPORT).

    Raises:
        OSError: it is taken, not ours, or not allowed.
        AddressError: it cannot be understood or resolved.
    """
    if is_unix(address):
        return _open_unix(address, mode, backlog)
    host, port = split_host_port(address)
    if port.isdigit() and int(port[:6]) > MAX_PORT:  # the resolver would just cut it to 16 bits
        raise AddressError(f"address {port}: invalid port")
    if not host:
        return _open_wildcard(port or "0", backlog, shared)
    try:
        found = socket.getaddrinfo(
            host, port or "0", type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise AddressError(f"address {address}: {error.strerror}") from error
    # As Go: where a name has addresses of both families, the IPv4 one is taken.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, sockaddr = found[0]
    return _open_tcp(family, sockaddr, backlog, shared)


def _open_wildcard(port: str, backlog: int, shared: bool) -> Listener:
    """Every interface: both families on one socket where the system has IPv6."""
    try:
        number = socket.getaddrinfo(None, port, type=socket.SOCK_STREAM)[0][4][1]
    except socket.gaierror as error:
        raise AddressError(f"address :{port}: {error.strerror}") from error
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return _open_tcp(socket.AF_INET6, ("::", number), backlog, shared)
    return _open_tcp(socket.AF_INET, ("0.0.0.0", number), backlog, shared)


def _open_tcp(
    family: int, sockaddr: tuple[object, ...], backlog: int, shared: bool = False
) -> Listener:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A daemon killed and started again must get its port back at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Connections inherit this. Without it a peer whose host died stays connected for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in KEEPALIVE_TIMES:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEPALIVE_SECONDS)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, sockaddr[0] != "::")
        sock.bind(sockaddr)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    name = sock.getsockname()
    return Listener(sock, print_socket_address(name), name[1], str(name[0]))


def _open_unix(path: str, mode: int | None, backlog: int) -> Listener:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        if mode is not None:
            os.chmod(path, mode)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return Listener(sock, path, -1, path=path)


def _remove_stale(path: str) -> None:
    """Remove the socket file of a process that is gone; a living one's stays, and binding fails."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
