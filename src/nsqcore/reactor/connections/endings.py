"""How connections end: asked to, overdue, broken, by a fault, or all of them with the daemon.

No connection stays for ever. One that closes is cut when its peer takes nothing for as long as its
`Close` lingers, or takes it at less than `SLOWEST`, once what it asked for is answered; so is one
whose handshake takes too long, and one whose peer reads next to nothing of what waits for it, for
as long as its `Outbox.patience`.
"""

import logging
import socket
from collections.abc import Callable
from typing import Protocol

import trio

from nsqcore.classes import define, field
from nsqcore.errors import NsqError
from nsqcore.net.effects import Close, Effect, Handler
from nsqcore.reactor.connections.connection import Connection
from nsqcore.reactor.connections.connections import Connections
from nsqcore.reactor.connections.deadlines import ConnectionDeadlines

logger = logging.getLogger(__name__)

# Seconds for a handshake, as the original.
HANDSHAKE_TIMEOUT = 5.0
# Bytes a second at which a peer must take what it is told at the end.
SLOWEST = 16 * 1024
# Seconds that a connection which closes waits for answers that are to come: a disk may be slow.
ANSWER_TIMEOUT = 60.0
# Bytes that a peer must read within the patience of an outbox; kernels tell of it in such steps.
LEAST_READ = 16 * 1024


class Rounds(Protocol):
    """What is needed of the reactor."""

    watchdog: Callable[[float], None] | None

    def finish_tick(self) -> None:
        """End a tick at once."""

    def ask_for_tick(self) -> None:
        """Have the tick that is being ended, or the next, followed by another look."""


def _end_handler(handler: Handler, error: Exception | None) -> None:
    """Tell ``handler`` that its connection is gone, unless it has been told."""
    outbox = handler.outbox
    if outbox.ended:
        return
    outbox.ended = True
    try:
        handler.closed(error)
    except Exception:  # a supervisor: the connection is gone either way
        logger.exception("connection: closing failed")
    finally:
        outbox.end()


def _discard(_data: bytes) -> Effect | None:
    """What a closing connection does with its input."""


@define(eq=False, repr=False)
class Endings:
    """The end of each of ``connections``. ``refuse`` is given those whose handshake took too long.

    What a connection is to do soon it does before its deadline, or is cut.
    """

    connections: Connections
    rounds: Rounds
    refuse: Callable[[Connection, NsqError], None]
    _deadlines: ConnectionDeadlines = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._deadlines = ConnectionDeadlines(self._overdue)

    def await_handshake(self, connection: Connection) -> None:
        """Refuse ``connection`` if its handshake takes too long."""
        self._arm(connection, trio.current_time() + HANDSHAKE_TIMEOUT)

    def handshake_done(self, connection: Connection) -> None:
        """It has shaken hands."""
        self._deadlines.disarm(connection)

    def await_reading(self, connection: Connection) -> None:
        """Cut ``connection``, which is blocked, unless its peer reads on."""
        shakes_hands = connection.upgrade is not None and not connection.waiting
        if connection.read_mark is None and connection.closing is None and not shakes_hands:
            self._mark(connection)

    def reading_done(self, connection: Connection) -> None:
        """The peer has taken everything that waited for it."""
        if connection.read_mark is not None:
            connection.read_mark = None
            self._deadlines.disarm(connection)

    def _mark(self, connection: Connection) -> None:
        connection.read_mark = connection.read_by_peer
        self._arm(connection, trio.current_time() + connection.outbox.patience)

    def _arm(self, connection: Connection, when: float) -> None:
        assert self.connections.nursery is not None
        self._deadlines.arm(connection, when, self.connections.nursery)

    def close(self, connection: Connection, effect: Close) -> None:
        """Begin the end: what comes in is thrown away, what is pending is sent."""
        if connection.closing is not None or connection.fd < 0:
            return
        connection.closing = effect
        connection.read_mark = None
        connection.outbox.closing = effect.reason or ""
        connection.received = _discard
        connection.last_deadline = trio.current_time() + effect.linger + connection.unsent / SLOWEST
        if connection.stream is not None:
            connection.stream.scope.cancel()
        self._expire(connection)
        self.connections.dirty.append(connection)

    def _expire(self, connection: Connection) -> None:
        """Cut ``connection`` if it makes no progress for as long as its closing may linger."""
        assert connection.closing is not None
        now = trio.current_time()
        when = now + connection.closing.linger
        awaits_answers = connection.outbox.open_slots and connection.closing.linger
        if awaits_answers and self.connections.emptied is None:
            # its peer is not to blame that there is nothing to take yet
            when = connection.last_deadline = now + ANSWER_TIMEOUT
        if not connection.lingering:
            when = min(when, connection.last_deadline)
        self._arm(connection, when)

    def _overdue(self, connections: list[Connection]) -> None:
        """Cut those who do not go or do not read; refuse those who do not shake hands."""
        for connection in connections:
            if connection.read_mark is not None:
                self._look_at_reading(connection)
            elif connection.closing is None and connection.upgrade is not None:
                self._deadlines.disarm(connection)
                try:
                    self.refuse(connection, NsqError("TLS handshake: it took too long"))
                except Exception as error:
                    self.fault(connection, error)
            else:
                self.lose(connection, connection.error)
        self.rounds.finish_tick()

    def _look_at_reading(self, connection: Connection) -> None:
        assert connection.read_mark is not None
        if connection.read_by_peer - connection.read_mark >= LEAST_READ:
            self._mark(connection)
            return
        logger.info("client(%s): does not read, closing", connection.peer.address)
        self.lose(connection, NsqError("the peer does not read what it is sent"))

    def advance_closing(self, connection: Connection) -> None:
        """Adapt to what sending left of a closing connection: go on with it, or be done."""
        outbox, pipeline, closing = connection.outbox, connection.pipeline, connection.closing
        assert closing is not None
        if connection.lingering or connection.fd < 0:
            return
        if not connection.blocked and not (
            connection.waiting
            or (outbox.open_slots and closing.linger)
            or (outbox.parts and pipeline is not None and pipeline.is_open)
        ):
            if pipeline is None or connection.parted:
                self._sent_all(connection)
                return
            connection.parted = True
            connection.out = pipeline.encode(b"") + pipeline.close()
            self.connections.dirty.append(connection)
        self._expire(connection)

    def _sent_all(self, connection: Connection) -> None:
        """A closing connection has sent everything: half-close it, and wait for the peer to go."""
        assert connection.closing is not None
        self.rounds.ask_for_tick()
        connection.pipeline = connection.stream = None
        _end_handler(connection.handler, connection.error)
        if (
            connection.at_end
            or not connection.closing.linger
            or self.connections.emptied is not None
        ):
            self.drop(connection)
            return
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
            return
        connection.lingering = True
        self._expire(connection)
        self.connections.watch(connection)

    def fault(self, connection: Connection, error: Exception) -> None:
        """A session or a layer raised: only its connection is lost, and the log says why."""
        logger.error("client(%s): session failed", connection.peer.address, exc_info=error)
        self.lose(connection, error)

    def lose(self, connection: Connection, error: Exception | None) -> None:
        """The connection is broken, or cut: nothing more is sent."""
        if connection.fd >= 0:
            self.drop(connection)
            self.rounds.ask_for_tick()
            _end_handler(connection.handler, error)

    def drop(self, connection: Connection) -> None:
        """Close the socket, and let go of everything that belongs to the connection."""
        self._deadlines.disarm(connection)
        self.connections.remove(connection)
        if connection.stream is not None:
            connection.stream.scope.cancel()
        connection.out = b""
        connection.pipeline = connection.upgrade = connection.stream = None
        connection.received = _discard
        connection.socket.close()
        self.connections.note_gone()

    def leave(self, grace: float) -> None:
        """Ask everybody to go once what waits for them is sent; who lingers is cut."""
        self.connections.emptied = trio.Event()
        for connection in list(self.connections.by_fd.values()):
            if connection.lingering:
                self.drop(connection)
            elif connection.closing is not None:
                self._expire(connection)
            else:
                self.close(connection, Close("shutting down", linger=grace))
        self.rounds.finish_tick()
        self.connections.note_gone()

    def cut_all(self) -> None:
        """Drop every connection, whatever waits for it."""
        for connection in list(self.connections.by_fd.values()):
            self.lose(connection, None)
