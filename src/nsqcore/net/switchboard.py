"""All plain sockets of a daemon, driven by one trio task over its own epoll set.

A *turn*: every readable socket is read once, into one shared buffer, and its session fed; then
``end_turn`` is called once (the engine moves messages into outboxes); then every outbox with
something new is sent once. What the kernel does not take waits for EPOLLOUT. The cost is thus per
wake-up, not per message, and batches form by themselves under load.

trio sees one descriptor, the epoll set's: a task switch and a system call per socket are what a
task per connection would pay. Other tasks get their share (`nsqcore.net.turns`).

Fairness: one read a turn each, and the kernel's ready list goes round, so a peer that fills the
buffer is not read again before everybody else was. The more are ready, the less each may send.

Connections that upgrade leave for a task of their own (`nsqcore.net.transport`). Where there is no
epoll all connections are served that way.
"""

import logging
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import trio

from nsqcore.net.descriptors import raise_limit
from nsqcore.net.doors import Door, Doors, Wrap
from nsqcore.net.effects import Close, Effect, Handler, Peer, Wait
from nsqcore.net.endings import Endings
from nsqcore.net.line import EPOLLIN, EPOLLOUT, Line, open_line
from nsqcore.net.listeners import Listener
from nsqcore.net.streams import StreamTasks
from nsqcore.net.transport import MAX_OUTBOX, end_handler
from nsqcore.net.turns import Events, take_turns

logger = logging.getLogger(__name__)

# As much as Linux keeps for a socket by default; larger reads gain nothing.
BUFFER_SIZE = 256 * 1024
# What each of many busy peers may still send per turn: a few hundred small messages, well under a
# millisecond of work.
FAIR_READ = 32 * 1024


def _nothing() -> None:
    """The waker of an outbox whose connection has left."""


def _discard(_data: bytes) -> Effect | None:
    """What an ending line does with its input."""


@attrs.define(eq=False)
class Switchboard:
    """Drives every plain connection of a daemon; `run` is its one task.

    ``end_turn`` is called once per turn, after all sessions were fed and before anything is sent.
    A session whose outbox holds more than ``max_outbox`` bytes is not read from until half has
    drained.
    """

    end_turn: Callable[[], None]
    max_outbox: int = attrs.field(default=MAX_OUTBOX, kw_only=True)
    use_epoll: bool = attrs.field(default=hasattr(select, "epoll"), kw_only=True)
    _epoll: "select.epoll | None" = attrs.field(default=None, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _buffer: memoryview = attrs.field(init=False)
    _doors: Doors = attrs.field(init=False)
    _lines: dict[int, Line] = attrs.field(factory=dict, init=False)
    _dirty: list[Line] = attrs.field(factory=list, init=False)
    #: A session has ended since the turn's ``end_turn``.
    _stirred: bool = attrs.field(default=False, init=False)
    _ending_turn: bool = attrs.field(default=False, init=False)
    _endings: Endings = attrs.field(init=False)
    #: Connections served by a task of their own.
    _streams: StreamTasks = attrs.field(init=False)
    _emptied: trio.Event | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._buffer = memoryview(bytearray(BUFFER_SIZE))
        self._doors = Doors(self._admit)
        self._endings = Endings(self._cut)
        self._streams = StreamTasks(self.finish_turn, self._note_gone, self.max_outbox)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._lines) + len(self._streams)

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
        self._doors.add(Door(listener, make_handler, wrap))

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then listeners and connections are closed."""
        raise_limit()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                if self.use_epoll:
                    self._epoll = select.epoll()
                self._doors.open(nursery, self._epoll)
                task_status.started()
                if self._epoll is None:
                    await trio.sleep_forever()
                else:
                    await take_turns(self._epoll, self._turn)
            finally:
                self._shut()

    def finish_turn(self) -> None:
        """End a turn at once: call ``end_turn``, send every outbox that has something new.

        For timers and other tasks, after they have changed what sessions are to say.
        """
        self._ending_turn = True
        try:
            self._stirred = False
            self.end_turn()
            if self._dirty:
                self._flush()
            while self._stirred:  # somebody ended or drained meanwhile, and left something to do
                self._stirred = False
                self.end_turn()
                self._flush()
        finally:
            self._ending_turn = False

    def stir(self) -> None:
        """End another turn, now or right after the one that is being ended."""
        self._stirred = True
        if not self._ending_turn:
            self.finish_turn()

    def stop_accepting(self) -> None:
        """Close the listeners; who is connected stays so."""
        self._doors.close()

    async def close_clients(self, grace: float) -> None:
        """Close every connection once what waits for it is sent, or after ``grace`` seconds."""
        self._emptied = trio.Event()
        for line in list(self._lines.values()):
            if line.lingering:
                self._drop(line)
            else:
                self._close(line, Close("shutting down", linger=grace))
        self._streams.close("shutting down")
        self.finish_turn()
        self._note_gone()
        with trio.move_on_after(grace):
            await self._emptied.wait()
        self._cut(list(self._lines.values()))
        self._streams.cancel()
        # They end at their next checkpoint, TLS connections after a parting word (`close_stream`).
        await self._emptied.wait()

    # The turn.

    def _turn(self, events: Events) -> None:
        lines, buffer = self._lines, self._buffer
        limit = BUFFER_SIZE // len(events)
        if limit < FAIR_READ:
            limit = FAIR_READ
        for fd, event in events:
            line = lines.get(fd)
            if line is None:
                self._doors.accept(fd)
                continue
            if event != EPOLLIN:
                if line.blocked:
                    line.blocked = False
                    self._dirty.append(line)
                if event == EPOLLOUT or not line.mask & EPOLLIN:
                    continue
            try:
                count = line.recv_into(buffer, limit)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lose(line, error)
                continue
            if not count:
                self._at_end(line)
                continue
            try:
                effect = line.received(bytes(buffer[:count]))
            except Exception as error:  # a supervisor: only this connection is lost
                self._fault(line, error)
                continue
            if effect is not None:
                self._perform(line, effect)
        self.finish_turn()

    def _flush(self) -> None:
        """Send every outbox that has something new, once."""
        dirty = self._dirty
        for line in dirty:  # it may grow meanwhile: what a lost session stirs up is sent too
            if line.blocked or line.fd < 0:
                continue
            outbox = line.outbox
            parts = outbox.parts
            try:
                if len(parts) == 1:
                    count = line.send(parts[0])
                    if count == outbox.size:
                        parts.clear()
                        outbox.size = 0
                        if outbox.drained is not None:
                            outbox.tell_drained()
                    else:
                        outbox.sent(count)
                elif parts:
                    line.send_pending()
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(line, error)
                continue
            if outbox.size or line.mask != EPOLLIN or outbox.closing is not None:
                self._settle(line)
        dirty.clear()

    # What happens to a line.

    def _perform(self, line: Line, effect: Effect) -> None:
        assert self._nursery is not None
        if isinstance(effect, Close):
            self._close(line, effect)
        elif isinstance(effect, Wait):
            line.waiting = True
            self._watch(line)
            self._nursery.start_soon(self._wait, line, effect)
        else:
            self._leave(line)
            scope = self._streams.expect(line.handler)
            self._nursery.start_soon(
                self._streams.upgrade, line.socket, line.handler, effect, scope
            )

    def _close(self, line: Line, effect: Close) -> None:
        """Begin the end: what comes in is thrown away, what is pending is sent."""
        if line.ending is None:
            line.ending = effect
            line.outbox.closing = effect.reason or ""
            line.received = _discard
            self._expire(line)
            self._dirty.append(line)

    def _expire(self, line: Line) -> None:
        """Cut ``line`` if it makes no progress for as long as its closing may linger."""
        assert self._nursery is not None
        assert line.ending is not None
        self._endings.expect(line, line.ending.linger, self._nursery)

    def _cut(self, lines: list[Line]) -> None:
        """Drop lines at once, whatever waits for them."""
        for line in lines:
            self._lose(line, None)
        self.finish_turn()

    def _settle(self, line: Line) -> None:
        """Adapt to what a flush left: wait for room, hold back the peer, or close."""
        outbox = line.outbox
        line.blocked = bool(outbox.parts)
        line.full = outbox.size > (self.max_outbox // 2 if line.full else self.max_outbox)
        if outbox.closing is not None:
            self._close(line, Close(outbox.closing))
            if not line.blocked and not line.waiting:
                self._sent_all(line)
                return
            self._expire(line)
        self._watch(line)

    def _sent_all(self, line: Line) -> None:
        """An ending line has sent everything: half-close it, and wait for the peer to go."""
        assert line.ending is not None
        if line.lingering:
            return
        self._stirred = True
        end_handler(line.handler, None)
        if line.at_end or not line.ending.linger or self._emptied is not None:
            self._drop(line)
            return
        try:
            line.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(line)
            return
        line.lingering = True
        self._expire(line)
        self._watch(line)

    def _at_end(self, line: Line) -> None:
        """The peer has sent everything it will; it may still want its answers."""
        line.at_end = True
        if line.lingering:
            self._drop(line)
            return
        if line.ending is None:
            try:
                effect = line.received(b"")
            except Exception as error:  # a supervisor: only this connection is lost
                self._fault(line, error)
                return
            self._perform(line, effect or Close())
        self._watch(line)

    async def _wait(self, line: Line, effect: Wait) -> None:
        try:
            await effect.run()
            line.waiting = False
            if line.fd < 0:
                return
            after = effect.resume()
        except Exception as error:  # a supervisor: only this connection is lost
            self._fault(line, error)
            return
        if after is None and line.at_end:
            after = Close()
        if after is not None and line.ending is None:
            self._perform(line, after)
        self._watch(line)
        self._dirty.append(line)
        self.finish_turn()

    def _watch(self, line: Line) -> None:
        if self._epoll is not None and line.fd >= 0:
            line.register(self._epoll)

    def _fault(self, line: Line, error: Exception) -> None:
        """A session raised: its connection is lost, and the log says why."""
        logger.error("client(%s): session failed", line.peer.address, exc_info=error)
        self._lose(line, error)

    def _lose(self, line: Line, error: Exception | None) -> None:
        """The connection is broken, or cut: nothing more is sent."""
        if line.fd >= 0:
            self._drop(line)
            self._stirred = True
            end_handler(line.handler, error)

    def _leave(self, line: Line) -> None:
        """Take ``line`` off the switchboard; its socket stays open."""
        if line.mask and self._epoll is not None:
            self._epoll.unregister(line.fd)
        del self._lines[line.fd]
        line.fd = -1
        line.mask = 0
        line.outbox.wake = _nothing
        self._endings.forget(line)

    def _drop(self, line: Line) -> None:
        self._leave(line)
        line.socket.close()
        self._note_gone()

    def _note_gone(self) -> None:
        if self._emptied is not None and not self._lines and not self._streams:
            self._emptied.set()

    def _admit(self, door: Door, sock: socket.socket, peer: Peer, handler: Handler) -> None:
        """Give a new connection its place."""
        assert self._nursery is not None
        if door.wrap is not None or self._epoll is None:
            scope = self._streams.expect(handler)
            self._nursery.start_soon(self._streams.serve, sock, handler, door.wrap, scope)
            return
        line = open_line(sock, peer, handler)
        self._lines[line.fd] = line
        line.outbox.wake = partial(self._dirty.append, line)
        self._watch(line)
        if line.outbox.size or line.outbox.closing is not None:
            self._dirty.append(line)

    def _shut(self) -> None:
        """Close everything that is left."""
        self.stop_accepting()
        for line in list(self._lines.values()):
            self._lose(line, None)
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
