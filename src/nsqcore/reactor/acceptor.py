"""Accepts connections on the listeners of a reactor, and makes the handler of each.

Synchronous and bounded: of a storm of connections some are accepted at a time, and when descriptors
or memory run out accepting stops for a moment instead of spinning.
"""

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from nsqcore.addresses import print_socket_address
from nsqcore.net.bytestream import ByteStream
from nsqcore.net.effects import Handler, Peer
from nsqcore.reactor.connection import EPOLLIN
from nsqcore.reactor.listeners import Listener

logger = logging.getLogger(__name__)

# Connections accepted per listener and tick, so that a storm of them does not hold up the others.
MAX_ACCEPTS = 64
# Seconds without accepting when the process is out of descriptors or memory.
ACCEPT_PAUSE = 0.5
OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Wrap = Callable[[ByteStream], Awaitable[ByteStream]]


class Poller(Protocol):
    """What is needed of an epoll set."""

    def register(self, fd: int, mask: int) -> None:
        """Report ``fd`` from now on."""

    def unregister(self, fd: int) -> None:
        """Report it no longer."""


@attrs.frozen(eq=False)
class Binding:
    """A listener, and what serves those who connect to it.

    ``wrap`` makes a connection's stream the one to serve (a TLS handshake); None serves it bare.
    """

    listener: Listener
    make_handler: Callable[[Peer], Handler]
    wrap: Wrap | None


@attrs.define(eq=False)
class Acceptor:
    """All listeners. ``accepted`` is given each new connection with its handler."""

    accepted: Callable[[Binding, socket.socket, Peer, Handler], None]
    #: By the listener's descriptor.
    _bindings: dict[int, Binding] = attrs.field(factory=dict, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _poller: Poller | None = attrs.field(default=None, init=False)

    def add(self, binding: Binding) -> None:
        """Accept at its listener too: from now on, or from `start` on."""
        self._bindings[binding.listener.socket.fileno()] = binding
        if self._nursery is not None:
            self._watch(binding)

    def start(self, nursery: trio.Nursery, poller: Poller | None) -> None:
        """Begin to accept; without a poller a task waits at each listener."""
        self._nursery = nursery
        self._poller = poller
        for binding in self._bindings.values():
            self._watch(binding)

    def close(self) -> None:
        """Close the listeners."""
        for binding in self._bindings.values():
            sock = binding.listener.socket
            if self._poller is None and self._nursery is not None and sock.fileno() >= 0:
                trio.lowlevel.notify_closing(sock.fileno())
            binding.listener.close()  # which takes it out of the epoll set
        self._bindings.clear()

    def accept(self, fd: int) -> bool:
        """Accept up to `MAX_ACCEPTS` who wait at a listener; other descriptors are ignored.

        Returns False where there is nothing to serve another one with.
        """
        binding = self._bindings.get(fd)
        if binding is None:
            return True  # an event of a socket that an earlier event of this tick has closed
        accept = binding.listener.socket.accept
        for _ in range(MAX_ACCEPTS):
            try:
                sock, address = accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._pause(binding, error)
                    return False
                continue  # the peer was gone before it was accepted
            self._make_handler(binding, sock, address)
        return True

    def _watch(self, binding: Binding) -> None:
        assert self._nursery is not None
        if self._poller is None:
            self._nursery.start_soon(self._accept_without_poller, binding)
        else:
            self._poller.register(binding.listener.socket.fileno(), EPOLLIN)

    def _make_handler(self, binding: Binding, sock: socket.socket, address: object) -> None:
        is_unix = binding.listener.path is not None
        peer = Peer(print_socket_address(address), is_unix)
        try:
            sock.setblocking(False)
            if not is_unix:
                # Replies are sent once per tick, complete: waiting for more never pays.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handler = binding.make_handler(peer)
        except OSError as error:
            logger.debug("client(%s): gone: %s", peer.address, error)
            sock.close()
        except Exception:  # a supervisor: only this connection is lost
            logger.exception("client(%s): refused", peer.address)
            sock.close()
        else:
            self.accepted(binding, sock, peer, handler)

    def _pause(self, binding: Binding, error: OSError) -> None:
        """Stop accepting for a moment: there is nothing to serve a connection with."""
        assert self._nursery is not None
        logger.error("listener(%s): accept: %s; pausing", binding.listener.address, error.strerror)
        if self._poller is not None:
            self._poller.unregister(binding.listener.socket.fileno())
            self._nursery.start_soon(self._resume, binding)

    async def _resume(self, binding: Binding) -> None:
        await trio.sleep(ACCEPT_PAUSE)
        if binding in self._bindings.values():
            self._watch(binding)

    async def _accept_without_poller(self, binding: Binding) -> None:
        """Accept until the listener is closed."""
        fd = binding.listener.socket.fileno()
        while binding.listener.socket.fileno() >= 0:
            try:
                await trio.lowlevel.wait_readable(fd)
            except trio.ClosedResourceError:
                return
            if not self.accept(fd):
                await trio.sleep(ACCEPT_PAUSE)
