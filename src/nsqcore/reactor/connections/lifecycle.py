"""What happens to a connection: it is fed, asks for something, upgrades, is held back.

The one place that performs effects (`nsqcore.net.effects`), whatever form the connection has. An
unexpected error, of a session or of a layer, is kept to its connection by whoever begins something
for one: the reactor's two loops, `_work`, `_wait`, `_leave_to`. How each ends is in
`nsqcore.reactor.connections.endings`.
"""

import logging
import time
from functools import partial

import trio

from nsqcore.classes import define, field
from nsqcore.errors import NsqError
from nsqcore.net.effects import Close, Effect, HandOver, Upgrade, Wait
from nsqcore.net.layers import Pipeline
from nsqcore.reactor.connections.connection import Connection
from nsqcore.reactor.connections.connections import Connections
from nsqcore.reactor.connections.endings import Endings, Rounds
from nsqcore.reactor.connections.stream import CONNECTION_ERRORS, ConnectionStream
from nsqcore.reactor.connections.tasks import run_task
from nsqcore.reactor.polling.system import clock

logger = logging.getLogger(__name__)

# Back-pressure: a peer with more than this waiting for it is not read from until it takes some.
MAX_OUTBOX = 4 * 1024 * 1024
# Seconds of work for one round, of decoding or of encoding, before the others have their turn.
BUDGET = 0.01


@define(eq=False, repr=False)
class Lifecycle:
    """What becomes of each of ``connections``."""

    connections: Connections
    rounds: Rounds
    max_outbox: int
    ends: Endings = field(init=False)
    #: Those that have something left to decode or to encode.
    _unfinished: list[Connection] = field(factory=list, init=False)
    _working: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.ends = Endings(self.connections, self.rounds, self._undecodable)

    def begin(self, connection: Connection, upgrade: Upgrade | None) -> None:
        """Give a new connection its place; with ``upgrade`` it is not plain from the beginning."""
        self.connections.by_fd[connection.fd] = connection
        outbox = connection.outbox
        outbox.wake = partial(self.connections.dirty.append, connection)
        if upgrade is not None:
            self._push(connection, upgrade)
        self.connections.watch(connection)
        if outbox.size or outbox.closing is not None:
            self.connections.dirty.append(connection)

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
        if pipeline.is_open is not was_open:
            effect = self._shaken_hands(connection)
        elif data:
            effect = connection.received(data)
        if pipeline.has_output:
            self.connections.dirty.append(connection)
        if effect is not None:
            self.perform(connection, effect)
        if not connection.may_read_on:
            self.connections.watch(connection)
            return
        if pipeline.has_more:
            self._go_on(connection)
        elif connection.at_end or pipeline.ended:
            self._tell_end(connection)
        self.connections.watch(connection)

    def at_end(self, connection: Connection) -> None:
        """The peer has sent everything it will; it may still want its answers."""
        connection.at_end = True
        if connection.lingering:
            self.ends.drop(connection)
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
        self.connections.watch(connection)

    def _tell_end(self, connection: Connection) -> None:
        if connection.end_told:
            return
        connection.end_told = True
        effect = connection.received(b"")
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
        self.ends.close(connection, Close(str(error)))

    def _go_on(self, connection: Connection) -> None:
        """Have a connection that has something left to do looked at again, after the others."""
        assert self.connections.nursery is not None
        if connection.queued:
            return
        connection.queued = True
        self._unfinished.append(connection)
        if not self._working:
            self._working = True
            self.connections.nursery.start_soon(run_task, self._work)

    async def _work(self) -> None:
        """Go on with everybody who has something left, round after round."""
        try:
            while self._unfinished:
                await trio.lowlevel.checkpoint()
                began = time.thread_time()
                batch, self._unfinished = self._unfinished, []
                until = clock() + BUDGET
                for number, connection in enumerate(batch):
                    if number and clock() > until:
                        self._unfinished[:0] = batch[number:]
                        break
                    connection.queued = False
                    try:
                        self.read_on(connection)
                    except Exception as error:
                        self.ends.fault(connection, error)
                    if connection.blocked:
                        self.hold_back(connection)
                    self.connections.dirty.append(connection)
                self.rounds.finish_tick()
                if self.rounds.watchdog is not None:
                    self.rounds.watchdog(time.thread_time() - began)
        finally:
            self._working = False

    # Effects.

    def perform(self, connection: Connection, effect: Effect) -> None:
        """Do what a session asks for."""
        assert self.connections.nursery is not None
        if isinstance(effect, Close):
            self.ends.close(connection, effect)
        elif isinstance(effect, Wait):
            connection.waiting = True
            self.connections.watch(connection)
            self.connections.nursery.start_soon(run_task, self._wait, connection, effect)
        elif isinstance(effect, Upgrade):
            if connection.outbox.open_slots:
                connection.upgrade, connection.waiting = effect, True
                self.connections.watch(connection)
            else:
                self._push(connection, effect)
        else:
            stream = ConnectionStream(connection.outbox, self.rounds.finish_tick)
            connection.stream, connection.received = stream, stream.feed
            self.connections.nursery.start_soon(
                run_task, self._leave_to, connection, effect, stream
            )

    def _push(self, connection: Connection, effect: Upgrade) -> None:
        """Let everything from here on pass another layer."""
        assert self.connections.nursery is not None
        before = connection.outbox.take()
        if connection.pipeline is None:
            connection.pipeline = Pipeline()
        elif before or connection.pipeline.has_output:
            before = connection.pipeline.encode(before)
        connection.out = bytes(connection.out) + before
        connection.pipeline.push(effect.layer, effect.first)
        connection.waiting = False
        connection.upgrade = effect
        self.connections.dirty.append(connection)
        if effect.layer.is_open:
            following = self._shaken_hands(connection)
            if following is not None:
                self.perform(connection, following)
        else:
            connection.read_mark = None
            self.ends.await_handshake(connection)
        if connection.pipeline is not None and connection.pipeline.has_more:
            self._go_on(connection)

    def _shaken_hands(self, connection: Connection) -> Effect | None:
        """The layer is open: the session goes on."""
        self.ends.handshake_done(connection)
        upgrade, connection.upgrade = connection.upgrade, None
        return None if upgrade is None or upgrade.resume is None else upgrade.resume()

    async def _wait(self, connection: Connection, effect: Wait) -> None:
        try:
            await effect.run()
            connection.waiting = False
            if connection.fd < 0:
                return
            after = effect.resume()
            if after is None and connection.end_told:
                after = Close()
            if after is not None and connection.closing is None:
                self.perform(connection, after)
            if connection.pipeline is not None:
                self._go_on(connection)
            self.connections.watch(connection)
        except Exception as error:
            self.ends.fault(connection, error)
            return
        self.connections.dirty.append(connection)
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
                self.ends.fault(connection, error)
        if connection.fd >= 0:
            self.ends.close(connection, Close())
        self.rounds.finish_tick()

    def hold_back(self, connection: Connection) -> None:
        """Read no more from a peer that does not take what it is told, if that has become much."""
        if not connection.full and connection.unsent > self.max_outbox:
            connection.full = True
            self.connections.watch(connection)

    def after_sending(self, connection: Connection) -> None:
        """Adapt to what sending left: wait for room, hold back the peer, go on, or close."""
        outbox, pipeline = connection.outbox, connection.pipeline
        if pipeline is None and not connection.out:
            connection.blocked = bool(outbox.parts)
        else:
            connection.blocked = bool(connection.out)
        if connection.blocked:
            self.ends.await_reading(connection)
        elif connection.read_mark is not None:
            self.ends.reading_done(connection)
        limit = self.max_outbox // 2 if connection.full else self.max_outbox
        connection.full = connection.unsent > limit
        if outbox.closing is not None:
            self.ends.close(connection, Close(outbox.closing))
            self.ends.advance_closing(connection)
        elif connection.upgrade is not None and connection.waiting and not outbox.open_slots:
            self._push(connection, connection.upgrade)
        if pipeline is not None and connection.fd >= 0:
            more_to_read = pipeline.has_more and connection.may_read_on
            more_to_send = pipeline.has_output or (outbox.parts and pipeline.is_open)
            if more_to_read or (more_to_send and not connection.blocked):
                self._go_on(connection)
        self.connections.watch(connection)
