"""One V2 connection: commands go out by an outbox, frames come in by a reader.

Filling the outbox is synchronous; one task sends all that gathered in a turn of
the loop with one call, so FINs and publishes of many tasks share a write. The
reader hands a chunk's messages on as one list, answers heartbeats, and gives
responses to those who wait for them, first come first served: nsqd answers the
commands of a connection in their order.

An error that is not about one message answers the oldest command. nsqd closes
the connection then and looks at no command behind that one; until it has closed,
answers are still read, in case it goes on all the same.

A connection never reconnects and never outlives `Connection.run`; whoever still
waits for an answer when it ends gets `ConnectionLost`.
"""

import math
from collections import deque
from collections.abc import Callable

import anyio
import anyio.lowlevel

from nsqclient.connection.handshake import AUTH_CODES, Negotiated, shake_hands
from nsqclient.connection.sockets import READ_SIZE, STREAM_ERRORS, close_at_once
from nsqclient.core.errors import AuthFailed, ConnectionLost, ProtocolError
from nsqclient.core.log import RateLimited
from nsqclient.core.loop import Loop, running_loop
from nsqclient.core.options import ConnectionOptions, Stream, in_seconds
from nsqcore.classes import Factory, define
from nsqcore.wire.client_commands import NOP, START_CLOSE
from nsqcore.wire.frames import BadFrame, ErrorFrame, Frame, FrameParser, Messages, Response

# Errors about one message; nsqd leaves the connection open (TCP protocol spec, FIN, REQ, TOUCH).
ABOUT_A_MESSAGE = frozenset({"E_FIN_FAILED", "E_REQ_FAILED", "E_TERM_FAILED", "E_TOUCH_FAILED"})

# A deadline is moved on no more often than this: doing it with each chunk costs a tenth of a round
# trip. Seconds.
SIGN_OF_LIFE = 1.0

# How long a peer that has refused something, or taken no more, is listened to. Seconds.
LAST_WORDS = 1.0

# Bytes that wait to be sent on one connection before publishers have to wait: three of the largest
# commands that nsqd takes by default.
MAX_PENDING = 16 * 1024 * 1024


@define(eq=False, repr=False)
class Reply:
    """The answer to one command, once it is there.

    ``error`` is what came instead of an OK: what nsqd said, or that the
    connection ended. ``done`` is set either way.
    """

    done: anyio.Event = Factory(anyio.Event)
    error: ProtocolError | ConnectionLost | None = None
    then: Callable[[], None] | None = None

    def resolve(self, error: ProtocolError | ConnectionLost | None = None) -> None:
        """Hand the answer over to who waits, and call ``then``."""
        self.error = error
        self.done.set()
        then, self.then = self.then, None
        if then is not None:
            then()


_unwanted = RateLimited("nsqclient: nsqd %s: dropping %d messages nobody subscribed to")
_complaints = RateLimited("nsqclient: nsqd %s says %s")


@define(eq=False, repr=False)
class Connection:
    """A connection to ``address`` after its handshake; `run` keeps it going.

    Attributes:
        negotiated: what nsqd granted.
        on_messages: called with the records of each chunk, in order; None drops them.
        on_message_error: called when nsqd refuses a FIN, REQ or TOUCH.
        on_room: called when there is room again, after `is_full`.
        close_wait: set when nsqd has answered a CLS: no message comes any more.
        error: why the connection ended, or is about to; None while commands can be sent.
        refusal: the error frame that nsqd ended the connection with, if it was one.
        refused_command: whether that was the answer to a command.
        pending: bytes that wait to be sent.
    """

    address: str
    negotiated: Negotiated
    _stream: Stream
    _early: bytes
    _dead_after: float
    on_messages: Callable[[list[bytes]], None] | None = None
    on_message_error: Callable[[ErrorFrame], None] | None = None
    on_room: Callable[[], None] | None = None
    close_wait: anyio.Event = Factory(anyio.Event)
    error: ConnectionLost | ProtocolError | None = None
    refusal: ProtocolError | None = None
    refused_command: bool = False
    pending: int = 0
    loop: Loop = Factory(running_loop)
    _parser: FrameParser = Factory(FrameParser)
    _outbox: list[bytes] = Factory(list)
    _wake: anyio.Event = Factory(anyio.Event)
    _flushed: anyio.Event | None = None
    _replies: deque[Reply] = Factory(deque)
    _unsent: int = 0  # how many of the last replies' commands are still in the outbox
    _sending: bool = False
    _answered_last: bool = False  # whether an OK came after the refusal
    _is_leaving: bool = False  # CLS was sent

    def send(self, command: bytes) -> None:
        """Put a command that has no answer into the outbox. After the end: does nothing.

        Raises:
            RuntimeError: called from another thread than the event loop's.
        """
        self.loop.check_thread()
        if self.error is None:
            self.pending += len(command)
            self._outbox.append(command)
            if len(self._outbox) == 1:
                self._wake.set()

    def request(self, command: bytes) -> Reply:
        """Put a command that nsqd answers with OK into the outbox.

        Raises:
            RuntimeError: called from another thread than the event loop's.
        """
        self.loop.check_thread()
        reply = Reply()
        if self.error is not None:
            reply.resolve(ConnectionLost(str(self.error)))
            return reply
        self._replies.append(reply)
        self._unsent += 1
        self.send(command)
        return reply

    async def answered(self) -> None:
        """Return when no command waits for its answer."""
        while self._replies:
            await self._replies[-1].done.wait()

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that publishers should wait for `on_room`."""
        return self.pending >= MAX_PENDING

    async def run(self) -> None:
        """Send and receive until the connection ends; returns then, with ``error`` set.

        Cancelling it closes the connection at once; see `say_goodbye` for the polite way.
        """
        lost = ConnectionLost(f"nsqd {self.address}: connection closed")
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write, tasks.cancel_scope)
                await self._read(tasks.cancel_scope)
        finally:
            self._end(self.error or lost)
            await close_at_once(self._stream)

    def fail(self, error: ConnectionLost | ProtocolError) -> None:
        """Note why the connection is about to end; the first reason counts."""
        if self.error is None:
            self.error = error

    async def flush(self) -> None:
        """Return when all that is in the outbox was given to the operating system."""
        while (self._outbox or self._sending) and self.error is None:
            if self._flushed is None:
                self._flushed = anyio.Event()
            await self._flushed.wait()
        await anyio.lowlevel.checkpoint()

    async def say_goodbye(self) -> None:
        """Send CLS and return when nsqd confirmed it, or the connection ended.

        The confirmation means that nsqd has seen every answer sent before.
        """
        self._is_leaving = True
        self.send(START_CLOSE)
        if self.error is None:
            await self.close_wait.wait()
        await self.flush()

    async def _read(self, scope: anyio.CancelScope) -> None:
        data = self._early
        noted = -math.inf
        now = self.loop.now
        try:
            with anyio.CancelScope() as quiet:
                while True:
                    for frame in self._parser.feed(data) if data else ():
                        self._take(frame)
                    if self.error is not None and not (self.refusal and self._replies):
                        break
                    if self.refusal is not None:
                        quiet.deadline = min(quiet.deadline, now() + LAST_WORDS)
                    elif now() - noted >= SIGN_OF_LIFE:
                        noted = now()
                        quiet.deadline = noted + self._dead_after + SIGN_OF_LIFE
                    data = await self._stream.receive(READ_SIZE)
            if quiet.cancelled_caught:
                text = f"nsqd {self.address}: no sign of life for {self._dead_after:g} s"
                self.fail(ConnectionLost(text))
        except anyio.EndOfStream:
            self.fail(ConnectionLost(f"nsqd {self.address}: closed the connection"))
        except ProtocolError as error:
            self.fail(error)
        except STREAM_ERRORS as error:
            self.fail(ConnectionLost(f"nsqd {self.address}: {error.__cause__ or error!r}"))
        scope.cancel()

    async def _write(self, scope: anyio.CancelScope) -> None:
        outbox = self._outbox
        try:
            while True:
                if not outbox:
                    self._sending = False
                    if self._flushed is not None:
                        self._flushed.set()
                        self._flushed = None
                    self._wake = anyio.Event()
                    await self._wake.wait()
                self._sending = True
                data = outbox[0] if len(outbox) == 1 else b"".join(outbox)
                outbox.clear()
                self._unsent = 0
                await self._stream.send(data)
                was_full = self.is_full
                self.pending -= len(data)
                if was_full and not self.is_full and self.on_room is not None:
                    self.on_room()
        except STREAM_ERRORS as error:
            # What nsqd said before it hung up may still be unread: the reader gets the last word,
            # for as long as it takes nsqd to close, not longer.
            with anyio.move_on_after(LAST_WORDS):
                await anyio.sleep_forever()
            self.fail(ConnectionLost(f"nsqd {self.address}: {error.__cause__ or error!r}"))
            scope.cancel()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Messages):
            if self.on_messages is not None:
                self.on_messages(frame.records)
            else:
                _unwanted.warning(self.address, len(frame.records))
        elif isinstance(frame, Response):
            self._response(frame.data)
        elif isinstance(frame, ErrorFrame):
            if frame.code in ABOUT_A_MESSAGE:
                if self.on_message_error is not None:
                    self.on_message_error(frame)
                else:
                    _complaints.warning(self.address, frame.data.decode("utf-8", "replace"))
            else:
                self._refused(frame)
        elif isinstance(frame, BadFrame):
            self.fail(ProtocolError(f"nsqd {self.address}: sent a {frame.reason}"))

    def _response(self, data: bytes) -> None:
        if data == b"_heartbeat_":
            self.send(NOP)
        elif data == b"CLOSE_WAIT" and self._is_leaving:
            self.close_wait.set()
        elif data == b"OK" and self._replies:
            self._replies.popleft().resolve()
            self._answered_last = True
        else:
            self.fail(ProtocolError(f"nsqd {self.address}: unasked response {data[:100]!r}"))

    def _refused(self, frame: ErrorFrame) -> None:
        """An error that ends the connection: it answers the oldest command."""
        text = f"nsqd {self.address}: {frame.data.decode('utf-8', 'replace')}"
        kind = AuthFailed if frame.code in AUTH_CODES else ProtocolError
        error = kind(text, code=frame.code)
        self._drop_unsent(error)
        if self._replies:
            self._replies.popleft().resolve(error)
            self.refused_command = True
        self._answered_last = False
        self.refusal = error
        self.fail(error)

    def _drop_unsent(self, error: ProtocolError) -> None:
        """What is still in the outbox was certainly not seen; it is not sent any more."""
        for _ in range(self._unsent):
            self._replies.pop().resolve(ConnectionLost(str(error)))
        self._unsent = 0
        self._outbox.clear()

    def _end(self, error: ConnectionLost | ProtocolError) -> None:
        self.fail(error)
        sent = len(self._replies) - self._unsent
        if self.refusal is not None and not self._answered_last:
            sent = 0  # nsqd looked at nothing behind the command that it refused
        for number, reply in enumerate(self._replies):
            reply.resolve(ConnectionLost(str(error), sent=number < sent))
        self._replies.clear()
        self._outbox.clear()
        self.close_wait.set()
        if self._flushed is not None:
            self._flushed.set()
        # Whoever these belong to holds the connection: without them it goes at once.
        self.on_messages = self.on_message_error = self.on_room = None


async def connect(address: str, options: ConnectionOptions) -> Connection:
    """A connection to the nsqd at ``address``, its handshake done; the caller runs it.

    Raises:
        ConnectionLost: nobody there, not in time, or TLS failed.
        AuthFailed: nsqd does not take the secret.
        ProtocolError: nsqd refused the settings, or is no nsqd.
    """
    stream, early, negotiated = await shake_hands(address, options)
    # nsqd sends a heartbeat each interval; two of them missed and it is gone (as nsqd has it too).
    connection = Connection(
        address, negotiated, stream, early, 2 * in_seconds(options.heartbeat_interval) + 1
    )
    if negotiated.headers:
        connection._parser = FrameParser(headers=True)
    return connection
