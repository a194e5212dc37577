"""One socket of the reactor: its state, and how its outbox is sent.

Non-blocking and synchronous throughout. What decides is `nsqcore.reactor.connections.lifecycle`; a
connection never calls its handler.

What goes through layers (`nsqcore.net.layers`) is encoded when the kernel has taken all that was
encoded before, a bounded piece at a time: so what waits for a peer waits in its outbox, where it
counts, and compressing for one does not hold up the others.
"""

import socket
from collections.abc import Callable

from nsqcore.classes import define
from nsqcore.net.effects import Close, Effect, Handler, Peer, Upgrade
from nsqcore.net.layers import Pipeline
from nsqcore.net.outbox import Outbox
from nsqcore.reactor.connections.stream import ConnectionStream
from nsqcore.reactor.polling.descriptors import unacknowledged
from nsqcore.reactor.polling.poller import EPOLLIN, EPOLLOUT, Poller
from nsqcore.reactor.polling.system import clock, transmit

# Pieces amounting to more than this are handed to the kernel as they are instead of being joined:
# below it one copy is cheaper than setting up a vector.
JOIN_LIMIT = 128 * 1024

# Linux takes at most this many pieces in one call (UIO_MAXIOV).
MAX_PIECES = 1024

# Encoded at once: some milliseconds of compression.
ENCODE_LIMIT = 64 * 1024

# A connection's reads begin with this size, and grow or shrink as its session takes its time: of
# the smallest commands this holds hundreds, each of which may take 30 µs.
FIRST_READ = 8 * 1024


@define(eq=False, repr=False)
class Connection:
    """A connected socket, its session, and what is going on between them."""

    socket: socket.socket
    fd: int
    peer: Peer
    handler: Handler
    outbox: Outbox
    received: Callable[[bytes], Effect | None]
    #: What it is registered for; 0 when the poller does not know it.
    mask: int = 0
    #: Most bytes it is read at once.
    limit: int = FIRST_READ
    #: What its bytes pass; None while they are plain.
    pipeline: Pipeline | None = None
    #: Encoded, and not taken by the kernel yet.
    out: bytes | memoryview = b""
    #: The upgrade whose handshake is going on, or that waits for open slots.
    upgrade: Upgrade | None = None
    #: The task that has the connection to itself.
    stream: ConnectionStream | None = None
    #: An effect is being performed: nothing is read.
    waiting: bool = False
    #: The kernel did not take everything: EPOLLOUT goes on with it.
    blocked: bool = False
    #: Bytes that the kernel took after it had once not taken everything.
    taken: int = 0
    #: While the peer is watched for reading on: how much it had taken when it was looked at last.
    read_mark: int | None = None
    #: The outbox is over its limit: nothing is read until it has drained.
    full: bool = False
    #: The peer has sent everything it will …
    at_end: bool = False
    #: … and the session has been told.
    end_told: bool = False
    #: It is in the queue of those that are to be gone on with.
    queued: bool = False
    #: Set once the session, or its outbox, has asked for the end.
    closing: Close | None = None
    #: What the layers have to say at the end is encoded.
    parted: bool = False
    #: Everything is sent; the peer's remaining input is thrown away until it closes.
    lingering: bool = False
    #: When it is cut if it makes no progress, on trio's clock; and when in any case.
    deadline: float = 0.0
    last_deadline: float = 0.0
    #: What it died of, for its session.
    error: Exception | None = None

    @property
    def is_layered(self) -> bool:
        """Whether what is sent is encoded first, or some of that is left."""
        return self.pipeline is not None or bool(self.out)

    @property
    def may_read_on(self) -> bool:
        """Whether the session may be fed."""
        return not (self.waiting or self.full or self.closing is not None or self.fd < 0)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer to take some."""
        return self.outbox.size + len(self.out)

    @property
    def read_by_peer(self) -> int:
        """Of `taken`, what has left this machine's queue, as far as the system tells."""
        return self.taken - unacknowledged(self.fd)

    def register(self, poller: Poller) -> None:
        """Have ``poller`` report what can be acted on, and nothing else: it would repeat itself."""
        unread = self.waiting or self.at_end
        if not unread and self.closing is None:
            # What is decoded piece by piece is decoded before more is read.
            unread = self.full or (self.pipeline is not None and self.pipeline.has_more)
        mask = (0 if unread else EPOLLIN) | (EPOLLOUT if self.blocked else 0)
        if mask == self.mask:
            return
        if not self.mask:
            poller.register(self.fd, mask)
        elif not mask:
            poller.unregister(self.fd)
        else:
            poller.modify(self.fd, mask)
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
                    count = transmit(self.socket, self.fd, data)
            except BlockingIOError:
                return False
            if count < 0:
                return False
            outbox.sent(count)
            self.taken += count
            if count < wanted:
                return False
        return True

    def send_encoded(self, until: float) -> None:
        """Send what is encoded; as long as that is all gone, encode and send another piece.

        Stops at ``until``, on the clock of `nsqcore.reactor.polling.system`, if there is more.

        Raises:
            OSError: the connection is broken.
        """
        if self.out:
            self._send_out()
        while not self.out:
            self.out = self._encode()
            if not self.out:
                return
            self._send_out()
            if clock() > until:
                return

    def _encode(self) -> bytes:
        pipeline = self.pipeline
        if pipeline is None:
            return b""
        data = self.outbox.take(ENCODE_LIMIT) if self.outbox.parts and pipeline.is_open else b""
        return pipeline.encode(data) if data or pipeline.has_output else b""

    def _send_out(self) -> None:
        out = self.out
        count = transmit(self.socket, self.fd, out)
        if count < 0:
            return
        self.taken += count
        self.out = memoryview(out)[count:] if count < len(out) else b""


def open_connection(sock: socket.socket, peer: Peer, handler: Handler) -> Connection:
    """The connection over a connected, non-blocking socket."""
    return Connection(
        sock,
        sock.fileno(),
        peer,
        handler,
        handler.outbox,
        handler.received,
    )
