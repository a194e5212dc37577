"""One plain socket on the reactor: its state, and how its outbox is sent.

Non-blocking and synchronous throughout. The reactor (`nsqcore.reactor.reactor`) decides when;
a connection never calls its handler.
"""

import select
import socket
from collections.abc import Callable

import attrs

from nsqcore.net.effects import Close, Effect, Handler, Peer
from nsqcore.net.outbox import Outbox

# Pieces amounting to more than this are handed to the kernel as they are instead of being joined:
# below it one copy is cheaper than setting up a vector.
JOIN_LIMIT = 128 * 1024
EPOLLIN, EPOLLOUT = 1, 4  # the same numbers on every Linux; `select` lacks them elsewhere

# Linux takes at most this many pieces in one call (UIO_MAXIOV).
MAX_PIECES = 1024


@attrs.define(eq=False)
class Connection:
    """A connected socket, its session, and what is going on between them."""

    socket: socket.socket
    fd: int
    peer: Peer
    handler: Handler
    outbox: Outbox
    # Bound once: these four are looked up for every chunk.
    recv_into: Callable[..., int]
    send: Callable[..., int]
    received: Callable[[bytes], Effect | None]
    #: What it is registered for; 0 when it is not in the epoll set.
    mask: int = 0
    #: An effect is being performed: nothing is read.
    waiting: bool = False
    #: The kernel did not take everything: EPOLLOUT goes on with it.
    blocked: bool = False
    #: The outbox is over its limit: nothing is read until it has drained.
    full: bool = False
    #: The peer has sent everything it will.
    at_end: bool = False
    #: Set once the session, or its outbox, has asked for the end.
    closing: Close | None = None
    #: Everything is sent; the peer's remaining input is thrown away until it closes.
    lingering: bool = False
    #: When a closing connection that makes no progress is cut, on trio's clock.
    deadline: float = 0.0

    def register(self, epoll: "select.epoll") -> None:
        """Have ``epoll`` report what can be acted on, and nothing else: it would repeat itself."""
        unread = self.waiting or self.at_end or (self.full and self.closing is None)
        mask = (0 if unread else EPOLLIN) | (EPOLLOUT if self.blocked else 0)
        if mask == self.mask:
            return
        if not self.mask:
            epoll.register(self.fd, mask)
        elif not mask:
            epoll.unregister(self.fd)
        else:
            epoll.modify(self.fd, mask)
        self.mask = mask

    def send_pending(self) -> bool:
        """Whether the kernel took all that may be sent now; what it did not stays in the outbox.

        Raises:
            OSError: the connection is broken.
        """
        outbox = self.outbox
        parts = outbox.parts
        while parts:
            try:
                if len(parts) > 1 and outbox.size > JOIN_LIMIT:
                    wanted = sum(map(len, parts[:MAX_PIECES]))
                    count = self.socket.sendmsg(parts[:MAX_PIECES])
                else:
                    data = outbox.peek()
                    wanted = len(data)
                    count = self.send(data)
            except BlockingIOError:
                return False
            outbox.sent(count)
            if count < wanted:
                return False
        return True


def open_connection(sock: socket.socket, peer: Peer, handler: Handler) -> Connection:
    """The connection over a connected, non-blocking socket."""
    return Connection(
        sock,
        sock.fileno(),
        peer,
        handler,
        handler.outbox,
        sock.recv_into,
        sock.send,
        handler.received,
    )
