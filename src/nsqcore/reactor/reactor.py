"""All plain sockets of a daemon, driven by one trio task over its own epoll set.

A *tick*: every readable socket is read once, into one shared buffer, and its session fed; then
``end_tick`` is called once (the engine moves messages into outboxes); then every outbox with
something new is sent once. What the kernel does not take waits for EPOLLOUT. The cost is thus per
wake-up, not per message, and batches form by themselves under load.

trio sees one descriptor, the epoll set's: a task switch and a system call per socket are what a
task per connection would pay. Other tasks get their share (`nsqcore.reactor.ticks`).

Fairness: one read a tick each, and the kernel's ready list goes round, so a peer that fills the
buffer is not read again before everybody else was. The more are ready, the less each may send.

Connections that upgrade leave for a task of their own (`nsqcore.reactor.transport`). Where there is
no epoll all connections are served that way.
"""

import logging
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import trio

from nsqcore.net.effects import Close, Effect, Handler, Peer, Wait
from nsqcore.reactor.acceptor import Acceptor, Binding, Wrap
from nsqcore.reactor.closing import ClosingDeadlines
from nsqcore.reactor.connection import EPOLLIN, EPOLLOUT, Connection, open_connection
from nsqcore.reactor.descriptors import raise_limit
from nsqcore.reactor.listeners import Listener
from nsqcore.reactor.streams import StreamTasks
from nsqcore.reactor.ticks import Events, run_ticks
from nsqcore.reactor.transport import MAX_OUTBOX, end_handler

logger = logging.getLogger(__name__)

# As much as Linux keeps for a socket by default; larger reads gain nothing.
BUFFER_SIZE = 256 * 1024
# What each of many busy peers may still send per tick: a few hundred small messages, well under a
# millisecond of work.
FAIR_READ = 32 * 1024


def _discard(_data: bytes) -> Effect | None:
    """What a closing connection does with its input."""


@attrs.define(eq=False)
class Reactor:
    """Drives every plain connection of a daemon; `run` is its one task.

    ``end_tick`` is called once per tick, after all sessions were fed and before anything is sent.
    A session whose outbox holds more than ``max_outbox`` bytes is not read from until half has
    drained.
    """

    end_tick: Callable[[], None]
    max_outbox: int = attrs.field(default=MAX_OUTBOX, kw_only=True)
    use_epoll: bool = attrs.field(default=hasattr(select, "epoll"), kw_only=True)
    _epoll: "select.epoll | None" = attrs.field(default=None, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _buffer: memoryview = attrs.field(init=False)
    _acceptor: Acceptor = attrs.field(init=False)
    _connections: dict[int, Connection] = attrs.field(factory=dict, init=False)
    _dirty: list[Connection] = attrs.field(factory=list, init=False)
    #: Something has happened since the tick's ``end_tick`` that asks for another.
    _tick_requested: bool = attrs.field(default=False, init=False)
    _ending_tick: bool = attrs.field(default=False, init=False)
    _deadlines: ClosingDeadlines = attrs.field(init=False)
    #: Connections served by a task of their own.
    _streams: StreamTasks = attrs.field(init=False)
    _emptied: trio.Event | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._buffer = memoryview(bytearray(BUFFER_SIZE))
        self._acceptor = Acceptor(self._accepted)
        self._deadlines = ClosingDeadlines(self._cut)
        self._streams = StreamTasks(self.finish_tick, self._note_gone, self.max_outbox)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections) + len(self._streams)

    def listen(
        self,
        listener: Listener,
        make_handler: Callable[[Peer], Handler],
        *,
        wrap: Wrap | None = None,
    ) -> None:
        """Serve everybody who connects to ``listener`` with a handler of their own.

        With ``wrap`` (a TLS handshake) the connection is served over ``await wrap(stream)`` by a
        task of its own. The listener is closed by `stop_accepting` or at the end of `run`.
        """
        self._acceptor.add(Binding(listener, make_handler, wrap))

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then listeners and connections are closed."""
        raise_limit()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                if self.use_epoll:
                    self._epoll = select.epoll()
                self._acceptor.start(nursery, self._epoll)
                task_status.started()
                if self._epoll is None:
                    await trio.sleep_forever()
                else:
                    await run_ticks(self._epoll, self._tick)
            finally:
                self._shut()

    def finish_tick(self) -> None:
        """End a tick at once: call ``end_tick``, send every outbox that has something new.

        For timers and other tasks, after they have changed what sessions are to say.
        """
        self._ending_tick = True
        try:
            self._tick_requested = False
            self.end_tick()
            if self._dirty:
                self._flush()
            while (
                self._tick_requested
            ):  # somebody ended or drained meanwhile, and left something to do
                self._tick_requested = False
                self.end_tick()
                self._flush()
        finally:
            self._ending_tick = False

    def request_tick(self) -> None:
        """End a tick: now, or right after the one that is being ended."""
        self._tick_requested = True
        if not self._ending_tick:
            self.finish_tick()

    def stop_accepting(self) -> None:
        """Close the listeners; who is connected stays so."""
        self._acceptor.close()

    async def close_clients(self, grace: float) -> None:
        """Close every connection once what waits for it is sent, or after ``grace`` seconds."""
        self._emptied = trio.Event()
        for connection in list(self._connections.values()):
            if connection.lingering:
                self._drop(connection)
            else:
                self._close(connection, Close("shutting down", linger=grace))
        self._streams.close("shutting down")
        self.finish_tick()
        self._note_gone()
        with trio.move_on_after(grace):
            await self._emptied.wait()
        self._cut(list(self._connections.values()))
        self._streams.cancel()
        # They end at their next checkpoint, TLS connections after a parting word (`close_stream`).
        await self._emptied.wait()

    # The tick.

    def _tick(self, events: Events) -> None:
        connections, buffer = self._connections, self._buffer
        limit = BUFFER_SIZE // len(events)
        if limit < FAIR_READ:
            limit = FAIR_READ
        for fd, event in events:
            connection = connections.get(fd)
            if connection is None:
                self._acceptor.accept(fd)
                continue
            if event != EPOLLIN:
                if connection.blocked:
                    connection.blocked = False
                    self._dirty.append(connection)
                if event == EPOLLOUT or not connection.mask & EPOLLIN:
                    continue
            try:
                count = connection.recv_into(buffer, limit)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lose(connection, error)
                continue
            if not count:
                self._at_end(connection)
                continue
            try:
                effect = connection.received(bytes(buffer[:count]))
            except Exception as error:  # a supervisor: only this connection is lost
                self._fault(connection, error)
                continue
            if effect is not None:
                self._perform(connection, effect)
        self.finish_tick()

    def _flush(self) -> None:
        """Send every outbox that has something new, once."""
        dirty = self._dirty
        for (
            connection
        ) in dirty:  # it may grow meanwhile: what a lost session gives back is sent too
            if connection.blocked or connection.fd < 0:
                continue
            outbox = connection.outbox
            parts = outbox.parts
            try:
                if len(parts) == 1:
                    count = connection.send(parts[0])
                    if count == outbox.size:
                        parts.clear()
                        outbox.size = 0
                        if outbox.drained is not None:
                            outbox.tell_drained()
                    else:
                        outbox.sent(count)
                elif parts:
                    connection.send_pending()
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(connection, error)
                continue
            if outbox.size or connection.mask != EPOLLIN or outbox.closing is not None:
                self._settle(connection)
        dirty.clear()

    # What happens to a connection.

    def _perform(self, connection: Connection, effect: Effect) -> None:
        assert self._nursery is not None
        if isinstance(effect, Close):
            self._close(connection, effect)
        elif isinstance(effect, Wait):
            connection.waiting = True
            self._watch(connection)
            self._nursery.start_soon(self._wait, connection, effect)
        else:
            self._detach(connection)
            scope = self._streams.expect(connection.handler)
            self._nursery.start_soon(
                self._streams.upgrade, connection.socket, connection.handler, effect, scope
            )

    def _close(self, connection: Connection, effect: Close) -> None:
        """Begin the end: what comes in is thrown away, what is pending is sent."""
        if connection.closing is None:
            connection.closing = effect
            connection.outbox.closing = effect.reason or ""
            connection.received = _discard
            self._expire(connection)
            self._dirty.append(connection)

    def _expire(self, connection: Connection) -> None:
        """Cut ``connection`` if it makes no progress for as long as its closing may linger."""
        assert self._nursery is not None
        assert connection.closing is not None
        self._deadlines.arm(connection, connection.closing.linger, self._nursery)

    def _cut(self, connections: list[Connection]) -> None:
        """Drop connections at once, whatever waits for them."""
        for connection in connections:
            self._lose(connection, None)
        self.finish_tick()

    def _settle(self, connection: Connection) -> None:
        """Adapt to what a flush left: wait for room, hold back the peer, or close."""
        outbox = connection.outbox
        connection.blocked = bool(outbox.parts)
        connection.full = outbox.size > (
            self.max_outbox // 2 if connection.full else self.max_outbox
        )
        if outbox.closing is not None:
            self._close(connection, Close(outbox.closing))
            assert connection.closing is not None
            awaited = connection.waiting or (outbox.open_slots and connection.closing.linger)
            if not connection.blocked and not awaited:
                self._sent_all(connection)
                return
            self._expire(connection)
        self._watch(connection)

    def _sent_all(self, connection: Connection) -> None:
        """A closing connection has sent everything: half-close it, and wait for the peer to go."""
        assert connection.closing is not None
        if connection.lingering:
            return
        self._tick_requested = True
        end_handler(connection.handler, None)
        if connection.at_end or not connection.closing.linger or self._emptied is not None:
            self._drop(connection)
            return
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
            return
        connection.lingering = True
        self._expire(connection)
        self._watch(connection)

    def _at_end(self, connection: Connection) -> None:
        """The peer has sent everything it will; it may still want its answers."""
        connection.at_end = True
        if connection.lingering:
            self._drop(connection)
            return
        if connection.closing is None:
            try:
                effect = connection.received(b"")
            except Exception as error:  # a supervisor: only this connection is lost
                self._fault(connection, error)
                return
            self._perform(connection, effect or Close())
        self._watch(connection)

    async def _wait(self, connection: Connection, effect: Wait) -> None:
        try:
            await effect.run()
            connection.waiting = False
            if connection.fd < 0:
                return
            after = effect.resume()
        except Exception as error:  # a supervisor: only this connection is lost
            self._fault(connection, error)
            return
        if after is None and connection.at_end:
            after = Close()
        if after is not None and connection.closing is None:
            self._perform(connection, after)
        self._watch(connection)
        self._dirty.append(connection)
        self.finish_tick()

    def _watch(self, connection: Connection) -> None:
        if self._epoll is not None and connection.fd >= 0:
            connection.register(self._epoll)

    def _fault(self, connection: Connection, error: Exception) -> None:
        """A session raised: its connection is lost, and the log says why."""
        logger.error("client(%s): session failed", connection.peer.address, exc_info=error)
        self._lose(connection, error)

    def _lose(self, connection: Connection, error: Exception | None) -> None:
        """The connection is broken, or cut: nothing more is sent."""
        if connection.fd >= 0:
            self._drop(connection)
            self._tick_requested = True
            end_handler(connection.handler, error)

    def _detach(self, connection: Connection) -> None:
        """Take ``connection`` off the reactor; its socket stays open."""
        if connection.mask and self._epoll is not None:
            self._epoll.unregister(connection.fd)
        del self._connections[connection.fd]
        connection.fd = -1
        connection.mask = 0
        connection.outbox.detach()
        self._deadlines.disarm(connection)

    def _drop(self, connection: Connection) -> None:
        self._detach(connection)
        connection.socket.close()
        self._note_gone()

    def _note_gone(self) -> None:
        if self._emptied is not None and not self._connections and not self._streams:
            self._emptied.set()

    def _accepted(
        self, binding: Binding, sock: socket.socket, peer: Peer, handler: Handler
    ) -> None:
        """Give a new connection its place."""
        assert self._nursery is not None
        if binding.wrap is not None or self._epoll is None:
            scope = self._streams.expect(handler)
            self._nursery.start_soon(self._streams.serve, sock, handler, binding.wrap, scope)
            return
        connection = open_connection(sock, peer, handler)
        self._connections[connection.fd] = connection
        connection.outbox.wake = partial(self._dirty.append, connection)
        self._watch(connection)
        if connection.outbox.size or connection.outbox.closing is not None:
            self._dirty.append(connection)

    def _shut(self) -> None:
        """Close everything that is left."""
        self.stop_accepting()
        for connection in list(self._connections.values()):
            self._lose(connection, None)
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
