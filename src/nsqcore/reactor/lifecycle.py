"""What happens to a connection: it is fed, asks for something, upgrades, closes, breaks.

The one place that performs effects (`nsqcore.net.effects`), whatever form the connection has, and
the one that keeps a fault to the connection it happened on: `fault`.

No connection stays for ever. One that closes is cut when its peer takes nothing for as long as its
`Close` lingers, or takes it at less than `SLOWEST`; so is one whose handshake takes too long.
"""

import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import attrs
import trio

from nsqcore.errors import NsqError
from nsqcore.net.effects import Close, Effect, Handler, HandOver, Upgrade, Wait
from nsqcore.net.layers import Pipeline
from nsqcore.reactor.connection import Connection
from nsqcore.reactor.deadlines import Deadlines
from nsqcore.reactor.poller import Poller
from nsqcore.reactor.stream import CONNECTION_ERRORS, ConnectionStream

logger = logging.getLogger(__name__)

# Back-pressure: a peer with more than this waiting for it is not read from until it takes some.
MAX_OUTBOX = 4 * 1024 * 1024
# Seconds for a handshake, as the original.
HANDSHAKE_TIMEOUT = 5.0
# Bytes a second at which a peer must take what it is told at the end.
SLOWEST = 16 * 1024
# Seconds of work for one round, of decoding or of encoding, before the others have their turn.
BUDGET = 0.01


class Rounds(Protocol):
    """What is needed of the reactor."""

    watchdog: Callable[[float], None] | None

    def finish_tick(self) -> None:
        """End a tick at once."""

    def ask_for_tick(self) -> None:
        """Have the tick that is being ended, or the next, followed by another look."""


def end_handler(handler: Handler, error: Exception | None) -> None:
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


@attrs.define(eq=False)
class Lifecycle:
    """All connections of a reactor, by descriptor, and what becomes of each."""

    rounds: Rounds
    max_outbox: int
    connections: dict[int, Connection] = attrs.field(factory=dict, init=False)
    #: Those that have something to send.
    dirty: list[Connection] = attrs.field(factory=list, init=False)
    nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    poller: Poller | None = attrs.field(default=None, init=False)
    #: Set when the last one has gone, once everybody is asked to go.
    emptied: trio.Event | None = attrs.field(default=None, init=False)
    _deadlines: Deadlines = attrs.field(init=False)
    #: Those that have something left to decode or to encode.
    _unfinished: list[Connection] = attrs.field(factory=list, init=False)
    _working: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._deadlines = Deadlines(self._overdue)

    def begin(self, connection: Connection, upgrade: Upgrade | None) -> None:
        """Give a new connection its place; with ``upgrade`` it is not plain from the beginning."""
        self.connections[connection.fd] = connection
        outbox = connection.outbox
        outbox.wake = partial(self.dirty.append, connection)
        if upgrade is not None:
            self._push(connection, upgrade)
        self.watch(connection)
        if outbox.size or outbox.closing is not None:
            self.dirty.append(connection)

    # Input.

    def take_in(self, connection: Connection, data: bytes) -> None:
        """Decode what came for a connection with layers, and feed its session."""
        assert connection.pipeline is not None
        if connection.closing is None:
            connection.pipeline.feed(data)
            self.read_on(connection)

    def read_on(self, connection: Connection) -> None:
        """Decode a piece of what has come, and feed the session with it."""
        pipeline = connection.pipeline
        if pipeline is None or not connection.may_read_on:
            return
        was_open = pipeline.is_open
        try:
            data = pipeline.read(connection.limit)
        except NsqError as error:
            self._undecodable(connection, error)
            return
        effect: Effect | None = None
        try:
            if pipeline.is_open is not was_open:
                effect = self._shaken_hands(connection)
            elif data:
                effect = connection.received(data)
        except Exception as error:
            self.fault(connection, error)
            return
        if pipeline.has_output:
            self.dirty.append(connection)
        if effect is not None:
            self.perform(connection, effect)
        if not connection.may_read_on:
            self.watch(connection)
            return
        if pipeline.has_more:
            self._go_on(connection)
        elif connection.at_end or pipeline.ended:
            self._tell_end(connection)
        self.watch(connection)

    def at_end(self, connection: Connection) -> None:
        """The peer has sent everything it will; it may still want its answers."""
        connection.at_end = True
        if connection.lingering:
            self.drop(connection)
            return
        if connection.closing is None:
            if connection.pipeline is None:
                self._tell_end(connection)
            else:
                try:
                    connection.pipeline.end_input()
                except NsqError as error:
                    self._undecodable(connection, error)
                else:
                    self.read_on(connection)
        self.watch(connection)

    def _tell_end(self, connection: Connection) -> None:
        if connection.end_told:
            return
        connection.end_told = True
        try:
            effect = connection.received(b"")
        except Exception as error:
            self.fault(connection, error)
            return
        self.perform(connection, effect or Close())

    def _undecodable(self, connection: Connection, error: NsqError) -> None:
        """What came is not what was agreed on, or a handshake failed: tell the peer, and close."""
        pipeline, upgrade = connection.pipeline, connection.upgrade
        assert pipeline is not None
        # It outlives its `except`: what it was raised in would keep the connection.
        connection.error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None
        logger.debug("client(%s): %s", connection.peer.address, error)
        if upgrade is None or pipeline.is_open:
            last = pipeline.encode(b"")
        else:
            last = getattr(error, "alert", b"")
            if upgrade.refusal is not None:
                last += upgrade.refusal(error)
        connection.outbox.take()  # it can be told nothing else any more
        connection.pipeline = None
        connection.out = bytes(connection.out) + last
        self.close(connection, Close(str(error)))

    def _go_on(self, connection: Connection) -> None:
        """Have a connection that has something left to do looked at again, after the others."""
        assert self.nursery is not None
        if connection.queued:
            return
        connection.queued = True
        self._unfinished.append(connection)
        if not self._working:
            self._working = True
            self.nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Go on with everybody who has something left, round after round."""
        try:
            while self._unfinished:
                await trio.lowlevel.checkpoint()
                began = time.thread_time()
                batch, self._unfinished = self._unfinished, []
                until = time.perf_counter() + BUDGET
                for number, connection in enumerate(batch):
                    if number and time.perf_counter() > until:
                        self._unfinished[:0] = batch[number:]
                        break
                    connection.queued = False
                    self.read_on(connection)
                    if connection.blocked:
                        self.hold_back(connection)
                    self.dirty.append(connection)
                self.rounds.finish_tick()
                if self.rounds.watchdog is not None:
                    self.rounds.watchdog(time.thread_time() - began)
        finally:
            self._working = False

    # Effects.

    def perform(self, connection: Connection, effect: Effect) -> None:
        """Do what a session asks for."""
        assert self.nursery is not None
        if isinstance(effect, Close):
            self.close(connection, effect)
        elif isinstance(effect, Wait):
            connection.waiting = True
            self.watch(connection)
            self.nursery.start_soon(self._wait, connection, effect)
        elif isinstance(effect, Upgrade):
            if connection.outbox.open_slots:
                connection.upgrade, connection.waiting = effect, True
                self.watch(connection)
            else:
                self._push(connection, effect)
        else:
            stream = ConnectionStream(connection.outbox, self.rounds.finish_tick)
            connection.stream, connection.received = stream, stream.feed
            self.nursery.start_soon(self._leave_to, connection, effect, stream)

    def _push(self, connection: Connection, effect: Upgrade) -> None:
        """Let everything from here on pass another layer."""
        assert self.nursery is not None
        before = connection.outbox.take()
        if connection.pipeline is None:
            connection.pipeline = Pipeline()
        elif before or connection.pipeline.has_output:
            before = connection.pipeline.encode(before)
        connection.out = bytes(connection.out) + before
        connection.pipeline.push(effect.layer, effect.first)
        connection.waiting = False
        connection.upgrade = effect
        self.dirty.append(connection)
        if effect.layer.is_open:
            try:
                following = self._shaken_hands(connection)
            except Exception as error:
                self.fault(connection, error)
                return
            if following is not None:
                self.perform(connection, following)
        else:
            when = trio.current_time() + HANDSHAKE_TIMEOUT
            self._deadlines.arm(connection, when, self.nursery)
        if connection.pipeline is not None and connection.pipeline.has_more:
            self._go_on(connection)

    def _shaken_hands(self, connection: Connection) -> Effect | None:
        """The layer is open: the session goes on."""
        self._deadlines.disarm(connection)
        upgrade, connection.upgrade = connection.upgrade, None
        return None if upgrade is None or upgrade.resume is None else upgrade.resume()

    async def _wait(self, connection: Connection, effect: Wait) -> None:
        try:
            await effect.run()
            connection.waiting = False
            if connection.fd < 0:
                return
            after = effect.resume()
        except Exception as error:
            self.fault(connection, error)
            return
        if after is None and connection.end_told:
            after = Close()
        if after is not None and connection.closing is None:
            self.perform(connection, after)
        if connection.pipeline is not None:
            self._go_on(connection)
        self.watch(connection)
        self.dirty.append(connection)
        self.rounds.finish_tick()

    async def _leave_to(
        self, connection: Connection, effect: HandOver, stream: ConnectionStream
    ) -> None:
        with stream.scope:
            try:
                await effect.run(stream)
            except CONNECTION_ERRORS as error:
                logger.debug("client(%s): stream: %s", connection.peer.address, error)
            except Exception as error:
                self.fault(connection, error)
        if connection.fd >= 0:
            self.close(connection, Close())
        self.rounds.finish_tick()

    # The end.

    def close(self, connection: Connection, effect: Close) -> None:
        """Begin the end: what comes in is thrown away, what is pending is sent."""
        if connection.closing is not None or connection.fd < 0:
            return
        connection.closing = effect
        connection.outbox.closing = effect.reason or ""
        connection.received = _discard
        connection.last_deadline = trio.current_time() + effect.linger + connection.unsent / SLOWEST
        if connection.stream is not None:
            connection.stream.scope.cancel()
        self._expire(connection)
        self.dirty.append(connection)

    def _expire(self, connection: Connection) -> None:
        """Cut ``connection`` if it makes no progress for as long as its closing may linger."""
        assert self.nursery is not None
        assert connection.closing is not None
        when = trio.current_time() + connection.closing.linger
        if not connection.lingering:
            when = min(when, connection.last_deadline)
        self._deadlines.arm(connection, when, self.nursery)

    def _overdue(self, connections: list[Connection]) -> None:
        """Cut those who do not go; refuse those who do not shake hands."""
        for connection in connections:
            if connection.closing is None and connection.upgrade is not None:
                self._deadlines.disarm(connection)
                self._undecodable(connection, NsqError("TLS handshake: it took too long"))
            else:
                self.lose(connection, connection.error)
        self.rounds.finish_tick()

    def hold_back(self, connection: Connection) -> None:
        """Read no more from a peer that does not take what it is told, if that has become much."""
        if not connection.full and connection.unsent > self.max_outbox:
            connection.full = True
            self.watch(connection)

    def settle(self, connection: Connection) -> None:
        """Adapt to what sending left: wait for room, hold back the peer, go on, or close."""
        outbox, pipeline = connection.outbox, connection.pipeline
        if pipeline is None and not connection.out:
            connection.blocked = bool(outbox.parts)
        else:
            connection.blocked = bool(connection.out)
        limit = self.max_outbox // 2 if connection.full else self.max_outbox
        connection.full = connection.unsent > limit
        if outbox.closing is not None:
            self.close(connection, Close(outbox.closing))
            self._settle_closing(connection)
        elif connection.upgrade is not None and connection.waiting and not outbox.open_slots:
            self._push(connection, connection.upgrade)
        if pipeline is not None and connection.fd >= 0:
            more_to_read = pipeline.has_more and connection.may_read_on
            if more_to_read or (not connection.blocked and outbox.parts and pipeline.is_open):
                self._go_on(connection)
        self.watch(connection)

    def _settle_closing(self, connection: Connection) -> None:
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
            self.dirty.append(connection)
        self._expire(connection)

    def _sent_all(self, connection: Connection) -> None:
        """A closing connection has sent everything: half-close it, and wait for the peer to go."""
        assert connection.closing is not None
        self.rounds.ask_for_tick()
        connection.pipeline = connection.stream = None
        end_handler(connection.handler, connection.error)
        if connection.at_end or not connection.closing.linger or self.emptied is not None:
            self.drop(connection)
            return
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
            return
        connection.lingering = True
        self._expire(connection)
        self.watch(connection)

    def fault(self, connection: Connection, error: Exception) -> None:
        """A session raised: its connection is lost, nothing else is, and the log says why."""
        logger.error("client(%s): session failed", connection.peer.address, exc_info=error)
        self.lose(connection, error)

    def lose(self, connection: Connection, error: Exception | None) -> None:
        """The connection is broken, or cut: nothing more is sent."""
        if connection.fd >= 0:
            self.drop(connection)
            self.rounds.ask_for_tick()
            end_handler(connection.handler, error)

    def drop(self, connection: Connection) -> None:
        """Close the socket, and let go of everything that belongs to the connection."""
        if connection.mask and self.poller is not None:
            self.poller.unregister(connection.fd)
        del self.connections[connection.fd]
        self._deadlines.disarm(connection)
        if connection.stream is not None:
            connection.stream.scope.cancel()
        connection.fd = -1
        connection.mask = 0
        connection.out = b""
        connection.pipeline = connection.upgrade = connection.stream = None
        connection.received = _discard
        connection.socket.close()
        self.note_gone()

    def leave(self, grace: float) -> None:
        """Ask everybody to go once what waits for them is sent; who lingers is cut."""
        self.emptied = trio.Event()
        for connection in list(self.connections.values()):
            if connection.lingering:
                self.drop(connection)
            else:
                self.close(connection, Close("shutting down", linger=grace))
        self.rounds.finish_tick()
        self.note_gone()

    def cut_all(self) -> None:
        """Drop every connection, whatever waits for it."""
        for connection in list(self.connections.values()):
            self.lose(connection, None)

    def note_gone(self) -> None:
        """Tell whoever waits for the last one."""
        if self.emptied is not None and not self.connections:
            self.emptied.set()

    def watch(self, connection: Connection) -> None:
        """Have the poller report what the connection can do now."""
        if self.poller is not None and connection.fd >= 0:
            connection.register(self.poller)
