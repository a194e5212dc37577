"""All sockets of a daemon, driven by one trio task over its own epoll set.

A *tick*: every readable socket is read once, into one shared buffer, and its session fed; then
``end_tick`` is called once (the engine moves messages into outboxes); then every outbox with
something new is sent once. What the kernel does not take waits for EPOLLOUT. The cost is thus per
wake-up, not per message, and batches form by themselves under load.

trio sees one descriptor, the epoll set's: a task switch and a system call per socket are what a
task per connection would pay. Other tasks get their share (`nsqcore.reactor.ticks`).

TLS and compressions are layers between the socket and the session (`nsqcore.net.layers`), for the
same ticks. Where there is no epoll, tasks of trio report what can be done
(`nsqcore.reactor.polling.poller`); everything else is the same.

Fairness: one read a tick each, and the kernel's ready list goes round, so a peer that fills the
buffer is not read again before everybody else was. The more are ready, the less each may send; a
session that takes long over what it is given is given less, and a tick that has lasted
long enough leaves the others to the next.
"""

import logging
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import trio

from nsqcore.classes import define, field
from nsqcore.net.effects import Close, Handler, Peer, Upgrade
from nsqcore.net.layers import Layer
from nsqcore.reactor.acceptor import Acceptor, Binding
from nsqcore.reactor.connections.connection import Connection, open_connection
from nsqcore.reactor.connections.connections import Connections
from nsqcore.reactor.connections.lifecycle import BUDGET, MAX_OUTBOX, Lifecycle
from nsqcore.reactor.listeners import Listener
from nsqcore.reactor.polling.descriptors import raise_limit
from nsqcore.reactor.polling.poller import EPOLLIN, EPOLLOUT, HAS_EPOLL, TaskPoller
from nsqcore.reactor.polling.system import BUFFER_SIZE, clock, receive, transmit
from nsqcore.reactor.ticks import Events, run_ticks

logger = logging.getLogger(__name__)

# What each of many busy peers may still send per tick: a few hundred small messages, well under a
# millisecond of work.
FAIR_READ = 32 * 1024
# A session that takes longer than this over a read, in seconds, is read less; one that takes less
# than a quarter of it over a full read, more.
SLOW_READ = 0.008
LEAST_READ = 8 * 1024


@define(eq=False, repr=False)
class Reactor:
    """Drives every connection of a daemon; `run` is its one task.

    ``end_tick`` is called once per tick, after all sessions were fed and before anything is sent.
    A session whose outbox holds more than ``max_outbox`` bytes is not read from until half has
    drained. ``watchdog`` is told, for tests, how many seconds of the processor each tick took.
    """

    end_tick: Callable[[], None]
    max_outbox: int = field(default=MAX_OUTBOX, kw_only=True)
    use_epoll: bool = field(default=HAS_EPOLL, kw_only=True)
    watchdog: Callable[[float], None] | None = field(default=None, kw_only=True)
    _acceptor: Acceptor = field(init=False)
    _connections: Connections = field(factory=Connections, init=False)
    _life: Lifecycle = field(init=False)
    #: What to call when a descriptor that is no connection can be read from.
    _watched: dict[int, Callable[[], None]] = field(factory=dict, init=False)
    #: Something has happened since the tick's ``end_tick`` that asks for another.
    _tick_requested: bool = field(default=False, init=False)
    _ending_tick: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._acceptor = Acceptor(self._accepted)
        self._life = Lifecycle(self._connections, self, self.max_outbox)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections.by_fd)

    @property
    def handlers(self) -> list[Handler]:
        """The sessions of the open connections."""
        return [connection.handler for connection in self._connections.by_fd.values()]

    def listen(
        self,
        listener: Listener,
        make_handler: Callable[[Peer], Handler],
        *,
        layer: Callable[[], Layer] | None = None,
    ) -> None:
        """Serve everybody who connects to ``listener`` with a handler of their own.

        ``layer`` makes what the bytes of each connection pass from the beginning: TLS. The listener
        is closed by `stop_accepting` or at the end of `run`.
        """
        self._acceptor.add(Binding(listener, make_handler, layer))

    def serve(self, sock: socket.socket, peer: Peer, handler: Handler) -> None:
        """Serve a connected, non-blocking socket, while `run` runs."""
        self._life.begin(open_connection(sock, peer, handler), None)

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        """Call ``call`` within a tick whenever ``fd`` can be read from, until `unwatch`.

        For what a thread reports: it needs no wake-up of trio's, and takes part in the tick.
        """
        self._watched[fd] = call
        if self._connections.poller is not None:
            self._connections.poller.register(fd, EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Forget ``fd``, before it is closed."""
        if self._watched.pop(fd, None) is not None and self._connections.poller is not None:
            self._connections.poller.unregister(fd)

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then listeners and connections are closed."""
        raise_limit()
        async with trio.open_nursery() as nursery:
            connections = self._connections
            connections.nursery = nursery
            epoll = select.epoll() if self.use_epoll else None
            poller = epoll or TaskPoller(nursery, self._tick)
            connections.poller = poller
            for fd in self._watched:
                poller.register(fd, EPOLLIN)
            tick = self._tick if self.watchdog is None else self._watched_tick
            try:
                self._acceptor.start(nursery, poller)
                task_status.started()
                if epoll is None:
                    await trio.sleep_forever()
                else:
                    await run_ticks(epoll, tick)
            finally:
                self.stop_accepting()
                self._life.ends.cut_all()
                connections.poller = None
                poller.close()

    def finish_tick(self) -> None:
        """End a tick at once: call ``end_tick``, send every outbox that has something new.

        For timers and other tasks, after they have changed what sessions are to say.
        """
        dirty = self._connections.dirty
        self._ending_tick = True
        try:
            self._tick_requested = False
            self.end_tick()
            if dirty:
                self._flush()
            while self._tick_requested:
                # somebody ended or drained meanwhile, and left something to do
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

    def ask_for_tick(self) -> None:
        """Have the tick that is being ended, or the next one, look again at what there is to do."""
        self._tick_requested = True

    def stop_accepting_at(self, listener: Listener) -> None:
        """Close one listener; who came by it stays connected."""
        self._acceptor.leave(listener)

    def stop_accepting(self) -> None:
        """Close the listeners; who is connected stays so."""
        self._acceptor.close()

    async def close_clients(self, grace: float) -> None:
        """Close every connection once what waits for it is sent, or after ``grace`` seconds."""
        ends, connections = self._life.ends, self._connections
        ends.leave(grace)
        assert connections.emptied is not None
        with trio.move_on_after(grace):
            await connections.emptied.wait()
        ends.cut_all()
        self.finish_tick()

    # The tick.

    def _tick(self, events: Events) -> Events | None:
        """Read and feed everybody in ``events``, then send; those that are left for the next."""
        left = self._feed(events)
        self.finish_tick()
        return left

    def _feed(self, events: Events) -> Events | None:
        """Read and feed everybody in ``events``, but for those that are left for the next tick."""
        life, connections = self._life, self._connections.by_fd
        connection: Connection | None
        fair: int = BUFFER_SIZE // len(events)
        if fair < FAIR_READ:
            fair = FAIR_READ
        left: Events | None = None
        before: float = clock()
        until: float = before + BUDGET
        for number, (fd, event) in enumerate(events, 1):
            connection = connections.get(fd)
            if connection is None:
                watched = self._watched.get(fd)
                if watched is not None:
                    watched()
                else:
                    self._acceptor.accept(fd)
                continue
            if event != EPOLLIN:
                if connection.blocked:
                    connection.blocked = False
                    self._connections.dirty.append(connection)
                if event == EPOLLOUT or not connection.mask & EPOLLIN:
                    continue
            limit: int = connection.limit
            if limit > fair:
                limit = fair
            try:
                data = receive(connection.socket, fd, limit)
            except OSError as error:
                life.ends.lose(connection, error)
                continue
            try:
                if not data:
                    if data is not None:
                        life.at_end(connection)
                    continue
                if connection.pipeline is not None:
                    life.take_in(connection, data)
                else:
                    effect = connection.received(data)
                    if effect is not None:
                        life.perform(connection, effect)
            except Exception as error:
                life.ends.fault(connection, error)
                continue
            if connection.blocked:
                life.hold_back(connection)
            now: float = clock()
            if len(data) == limit or now - before > SLOW_READ:
                _adapt(connection, len(data), now - before)
            before = now
            if now > until and number < len(events):
                left = events[number:]
                break
        return left

    def _watched_tick(self, events: Events) -> Events | None:
        assert self.watchdog is not None
        began = time.thread_time()
        left = self._tick(events)
        self.watchdog(time.thread_time() - began)
        return left

    def _flush(self) -> None:
        """Send every outbox that has something new, once."""
        life, dirty = self._life, self._connections.dirty
        connection: Connection
        until: float = 0.0
        # It may grow meanwhile: what a lost session gives back is sent too.
        for connection in dirty:
            outbox = connection.outbox
            if connection.fd < 0:
                continue
            if connection.blocked:
                if outbox.closing is not None:
                    life.ends.close(connection, Close(outbox.closing))
                continue
            parts = outbox.parts
            try:
                if connection.pipeline is not None or connection.out:
                    now = clock()
                    until = until or now + BUDGET
                    if now < until:
                        connection.send_encoded(until)
                elif len(parts) == 1:
                    count: int = transmit(connection.socket, connection.fd, parts[0])
                    if count == outbox.size:
                        parts.clear()
                        outbox.size = 0
                        if outbox.drained is not None:
                            outbox.tell_drained()
                    elif count >= 0:
                        outbox.sent(count)
                        connection.taken += count
                elif parts:
                    connection.send_pending()
                if (
                    outbox.size
                    or connection.mask != EPOLLIN
                    or outbox.closing is not None
                    or connection.pipeline is not None
                ):
                    life.after_sending(connection)
            except OSError as error:
                # Sending fails where the peer is gone for good, which is no error of its own.
                life.ends.lose(connection, None if connection.at_end else error)
            except Exception as error:
                life.ends.fault(connection, error)
        dirty.clear()

    def _accepted(
        self, layer: Layer | None, sock: socket.socket, peer: Peer, handler: Handler
    ) -> None:
        upgrade = None if layer is None else Upgrade(layer)
        connection = open_connection(sock, peer, handler)
        try:
            self._life.begin(connection, upgrade)
        except Exception as error:  # a supervisor: only this connection is lost
            self._life.ends.fault(connection, error)


def _adapt(connection: Connection, count: int, seconds: float) -> None:
    """Read less of a session that takes long over ``count`` bytes, more of one that does not."""
    if seconds > SLOW_READ:
        connection.limit = max(count // 2, LEAST_READ)
    elif seconds < SLOW_READ / 4:
        connection.limit = min(connection.limit * 2, BUFFER_SIZE)
