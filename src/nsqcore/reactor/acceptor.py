"""Accepts connections on the listeners of a reactor, and makes the handler of each.

Synchronous and bounded: of a storm of connections some are accepted at a time, and when descriptors
or memory run out accepting stops for a moment instead of spinning.
"""

import errno
import logging
import socket
from collections.abc import Callable

import trio

from nsqcore.addresses import print_socket_address
from nsqcore.classes import define, field, frozen
from nsqcore.net.effects import Handler, Peer
from nsqcore.net.layers import Layer
from nsqcore.net.tls_layer import TlsLayer
from nsqcore.reactor.listeners import Listener
from nsqcore.reactor.polling.poller import EPOLLIN, Poller

logger = logging.getLogger(__name__)

# Connections accepted per listener and tick, so that a storm of them does not hold up the others.
MAX_ACCEPTS = 64
# Seconds without accepting when the process is out of descriptors or memory.
ACCEPT_PAUSE = 0.5
OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@frozen(eq=False)
class Binding:
    """A listener, and what serves those who connect to it.

    ``layer`` makes what a connection's bytes pass from the beginning (TLS); None leaves them plain.
    """

    listener: Listener
    make_handler: Callable[[Peer], Handler]
    layer: Callable[[], Layer] | None


@define(eq=False, repr=False)
class Acceptor:
    """All listeners. ``accepted`` is given each new connection with its handler and layer."""

    accepted: Callable[[Layer | None, socket.socket, Peer, Handler], None]
    #: By the listener's descriptor.
    _bindings: dict[int, Binding] = field(factory=dict, init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)
    _poller: Poller | None = field(default=None, init=False)
    _pausing: set[int] = field(factory=set, init=False)

    def add(self, binding: Binding) -> None:
        """Accept at its listener too: from now on, or from `start` on."""
        self._bindings[binding.listener.socket.fileno()] = binding
        if self._nursery is not None:
            self._watch(binding)

    def start(self, nursery: trio.Nursery, poller: Poller) -> None:
        """Begin to accept what ``poller`` reports."""
        self._nursery = nursery
        self._poller = poller
        for binding in self._bindings.values():
            self._watch(binding)

    def close(self) -> None:
        """Close the listeners."""
        for binding in self._bindings.values():
            self._close(binding.listener)
        self._bindings.clear()

    def leave(self, listener: Listener) -> None:
        """Close one of the listeners; that is closed or unknown is no matter."""
        if self._bindings.pop(listener.socket.fileno(), None) is not None:
            self._close(listener)

    def _close(self, listener: Listener) -> None:
        fd = listener.socket.fileno()
        if self._poller is not None and fd >= 0 and fd not in self._pausing:
            self._poller.unregister(fd)
        listener.close()

    def accept(self, fd: int) -> None:
        """Accept up to `MAX_ACCEPTS` who wait at a listener; other descriptors are ignored."""
        binding = self._bindings.get(fd)
        if binding is None:
            return  # an event of a socket that an earlier event of this tick has closed
        accept = binding.listener.socket.accept
        for _ in range(MAX_ACCEPTS):
            try:
                sock, address = accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._pause(binding, error)
                    return
                continue  # the peer was gone before it was accepted
            self._make_handler(binding, sock, address)

    def _watch(self, binding: Binding) -> None:
        assert self._poller is not None
        self._poller.register(binding.listener.socket.fileno(), EPOLLIN)

    def _make_handler(self, binding: Binding, sock: socket.socket, address: object) -> None:
        is_unix = binding.listener.path is not None
        try:
            layer = None if binding.layer is None else binding.layer()
            printed = print_socket_address(address)
            peer = Peer(printed, is_unix)
            if isinstance(layer, TlsLayer):
                peer = Peer(printed, is_unix, layer.verified_names, encrypted=True)
            sock.setblocking(False)
            if not is_unix:
                # Replies are sent once per tick, complete: waiting for more never pays.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handler = binding.make_handler(peer)
        except OSError as error:
            logger.debug("client(%s): gone: %s", print_socket_address(address), error)
            sock.close()
        except Exception:  # a supervisor: only this connection is lost
            logger.exception("client(%s): refused", print_socket_address(address))
            sock.close()
        else:
            self.accepted(layer, sock, peer, handler)

    def _pause(self, binding: Binding, error: OSError) -> None:
        """Stop accepting for a moment: there is nothing to serve a connection with."""
        assert self._nursery is not None
        assert self._poller is not None
        fd = binding.listener.socket.fileno()
        logger.error("listener(%s): accept: %s; pausing", binding.listener.address, error.strerror)
        self._poller.unregister(fd)
        self._pausing.add(fd)
        self._nursery.start_soon(self._resume, binding, fd)

    async def _resume(self, binding: Binding, fd: int) -> None:
        await trio.sleep(ACCEPT_PAUSE)
        while binding in self._bindings.values():
            try:
                self._watch(binding)
                break
            except OSError as error:  # the system watches no more descriptors for now
                address = binding.listener.address
                logger.error("listener(%s): cannot be watched: %s", address, error.strerror)
                await trio.sleep(ACCEPT_PAUSE)
        self._pausing.discard(fd)
