"""The listeners of a switchboard, and taking in those who connect.

Synchronous and bounded: a storm of connections is let in some at a time, and when descriptors or
memory run out accepting stops for a moment instead of spinning.
"""

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from nsqcore.net.addresses import print_socket_address
from nsqcore.net.effects import Handler, Peer
from nsqcore.net.listeners import Listener
from nsqcore.net.transport import ByteStream

logger = logging.getLogger(__name__)

# Connections accepted per listener and turn, so that a storm of them does not hold up the others.
MAX_ACCEPTS = 64
# Seconds without accepting when the process is out of descriptors or memory.
ACCEPT_PAUSE = 0.5
OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

EPOLLIN = 1

Wrap = Callable[[ByteStream], Awaitable[ByteStream]]


class Poller(Protocol):
    """What is needed of an epoll set."""

    def register(self, fd: int, mask: int) -> None:
        """Report ``fd`` from now on."""

    def unregister(self, fd: int) -> None:
        """Report it no longer."""


@attrs.frozen(eq=False)
class Door:
    """A listener and what becomes of those who come in."""

    listener: Listener
    make_handler: Callable[[Peer], Handler]
    wrap: Wrap | None


@attrs.define(eq=False)
class Doors:
    """The listeners. ``admit`` is given each new connection with its handler."""

    admit: Callable[[Door, socket.socket, Peer, Handler], None]
    _doors: dict[int, Door] = attrs.field(factory=dict, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _poller: Poller | None = attrs.field(default=None, init=False)

    def add(self, door: Door) -> None:
        """Open ``door``, at once or with the others."""
        self._doors[door.listener.socket.fileno()] = door
        if self._nursery is not None:
            self._open(door)

    def open(self, nursery: trio.Nursery, poller: Poller | None) -> None:
        """Begin to let people in; without a poller a task waits at each door."""
        self._nursery = nursery
        self._poller = poller
        for door in self._doors.values():
            self._open(door)

    def close(self) -> None:
        """Close the listeners."""
        for door in self._doors.values():
            sock = door.listener.socket
            if self._poller is None and self._nursery is not None and sock.fileno() >= 0:
                trio.lowlevel.notify_closing(sock.fileno())
            door.listener.close()  # which takes it out of the epoll set
        self._doors.clear()

    def accept(self, fd: int) -> None:
        """Take in those who wait at one listener, within reason; other descriptors are ignored."""
        door = self._doors.get(fd)
        if door is None:
            return  # an event of a socket that an earlier event of this turn has closed
        accept = door.listener.socket.accept
        for _ in range(MAX_ACCEPTS):
            try:
                sock, address = accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._pause(door, error)
                    return
                continue  # the peer was gone before it was accepted
            self._welcome(door, sock, address)

    def _open(self, door: Door) -> None:
        assert self._nursery is not None
        if self._poller is None:
            self._nursery.start_soon(self._attend, door)
        else:
            self._poller.register(door.listener.socket.fileno(), EPOLLIN)

    def _welcome(self, door: Door, sock: socket.socket, address: object) -> None:
        """Give a new connection its handler."""
        is_unix = door.listener.path is not None
        peer = Peer(print_socket_address(address), is_unix)
        try:
            sock.setblocking(False)
            if not is_unix:
                # Replies are sent once per turn, complete: waiting for more never pays.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handler = door.make_handler(peer)
        except OSError as error:
            logger.debug("client(%s): gone: %s", peer.address, error)
            sock.close()
        except Exception:  # a supervisor: only this connection is lost
            logger.exception("client(%s): refused", peer.address)
            sock.close()
        else:
            self.admit(door, sock, peer, handler)

    def _pause(self, door: Door, error: OSError) -> None:
        """Stop accepting for a moment: there is nothing to serve a connection with."""
        assert self._nursery is not None
        logger.error("listener(%s): accept: %s; pausing", door.listener.address, error.strerror)
        if self._poller is not None:
            self._poller.unregister(door.listener.socket.fileno())
            self._nursery.start_soon(self._reopen, door)

    async def _reopen(self, door: Door) -> None:
        await trio.sleep(ACCEPT_PAUSE)
        if door in self._doors.values():
            self._open(door)

    async def _attend(self, door: Door) -> None:
        """Accept without a poller, until the listener is closed."""
        fd = door.listener.socket.fileno()
        while door.listener.socket.fileno() >= 0:
            try:
                await trio.lowlevel.wait_readable(fd)
            except trio.ClosedResourceError:
                return
            self.accept(fd)
