"""One V2 connection: commands go out by an outbox, frames come in by a reader.

Filling the outbox is synchronous; one task sends all that gathered in a turn of
the loop with one call, so FINs and publishes of many tasks share a write. The
reader hands a chunk's messages on as one list, answers heartbeats, and gives
responses to those who wait for them, first come first served: nsqd answers the
commands of a connection in their order.

A connection never reconnects and never outlives `Connection.run`; whoever still
waits for an answer when it ends gets `ConnectionLost`.
"""

import logging
import math
from collections import deque
from collections.abc import Callable

import anyio
import anyio.lowlevel
from attrs import Factory, define

from nsqclient.connection.handshake import AUTH_CODES, Negotiated, close_at_once, shake_hands
from nsqclient.connection.stream import READ_SIZE, STREAM_ERRORS
from nsqclient.core.errors import AuthFailed, ConnectionLost, ProtocolError
from nsqclient.core.options import ConnectionOptions, Stream
from nsqcore.wire.client_commands import NOP, START_CLOSE
from nsqcore.wire.frames import BadFrame, ErrorFrame, Frame, FrameParser, Messages, Response

log = logging.getLogger("nsqclient")

# Errors about one message; nsqd leaves the connection open (TCP protocol spec, FIN, REQ, TOUCH).
ABOUT_A_MESSAGE = frozenset({"E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"})

# A deadline is moved on no more often than this: doing it with each chunk costs a tenth of a round
# trip. Seconds.
SIGN_OF_LIFE = 1.0


@define(eq=False)
class Reply:
    """The answer to one command, once it is there.

    ``error`` is what came instead of an OK: what nsqd said, or that the
    connection ended. ``done`` is set either way.
    """

    done: anyio.Event = Factory(anyio.Event)
    data: bytes = b""
    error: ProtocolError | ConnectionLost | None = None

    def resolve(self, data: bytes, error: ProtocolError | ConnectionLost | None = None) -> None:
        """Hand the answer over to who waits."""
        self.data, self.error = data, error
        self.done.set()


def _ignore_messages(records: list[bytes]) -> None:
    log.warning("nsqclient: dropping %d messages nobody subscribed to", len(records))


def _ignore_error(frame: ErrorFrame) -> None:
    log.warning("nsqclient: nsqd says %s", frame.data.decode("utf-8", "replace"))


@define(eq=False)
class Connection:
    """A connection to ``address`` after its handshake; `run` keeps it going.

    Attributes:
        negotiated: what nsqd granted.
        on_messages: called with the records of each chunk, in order.
        on_message_error: called when nsqd refuses a FIN, REQ or TOUCH.
        close_wait: set when nsqd has answered a CLS: no message comes any more.
        error: why the connection ended; None while it lives.
    """

    address: str
    negotiated: Negotiated
    _stream: Stream
    _early: bytes
    _dead_after: float
    on_messages: Callable[[list[bytes]], None] = _ignore_messages
    on_message_error: Callable[[ErrorFrame], None] = _ignore_error
    close_wait: anyio.Event = Factory(anyio.Event)
    error: ConnectionLost | ProtocolError | None = None
    _parser: FrameParser = Factory(FrameParser)
    _outbox: list[bytes] = Factory(list)
    _wake: anyio.Event = Factory(anyio.Event)
    _flushed: anyio.Event | None = None
    _replies: deque[Reply] = Factory(deque)
    _unsent: int = 0  # how many of the last replies' commands are still in the outbox
    _sending: bool = False

    def send(self, command: bytes) -> None:
        """Put a command that has no answer into the outbox. After the end: does nothing."""
        if self.error is None:
            self._outbox.append(command)
            if len(self._outbox) == 1:
                self._wake.set()

    def request(self, command: bytes) -> Reply:
        """Put a command into the outbox; its answer comes in the returned `Reply`."""
        reply = Reply()
        if self.error is not None:
            reply.resolve(b"", ConnectionLost(str(self.error)))
            return reply
        self._replies.append(reply)
        self._unsent += 1
        self.send(command)
        return reply

    async def ask(self, command: bytes) -> bytes:
        """The answer to ``command``; raises what came instead of one."""
        reply = self.request(command)
        await reply.done.wait()
        if reply.error is not None:
            raise reply.error
        return reply.data

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
        self.send(START_CLOSE)
        if self.error is None:
            await self.close_wait.wait()
        await self.flush()

    async def _read(self, scope: anyio.CancelScope) -> None:
        data = self._early
        noted = -math.inf
        try:
            with anyio.CancelScope() as quiet:
                while True:
                    for frame in self._parser.feed(data) if data else ():
                        self._take(frame)
                    if self.error is not None:
                        break
                    now = anyio.current_time()
                    if now - noted >= SIGN_OF_LIFE:
                        noted = now
                        quiet.deadline = now + self._dead_after + SIGN_OF_LIFE
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
        except STREAM_ERRORS as error:
            # What nsqd said before it hung up may still be unread: the reader gets the last word,
            # for as long as it takes nsqd to close, not longer.
            with anyio.move_on_after(1.0):
                await anyio.sleep_forever()
            self.fail(ConnectionLost(f"nsqd {self.address}: {error.__cause__ or error!r}"))
            scope.cancel()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Messages):
            self.on_messages(frame.records)
        elif isinstance(frame, Response):
            self._response(frame.data)
        elif isinstance(frame, ErrorFrame):
            if frame.code in ABOUT_A_MESSAGE:
                self.on_message_error(frame)
            else:
                self._refused(frame)
        elif isinstance(frame, BadFrame):
            self.fail(ProtocolError(f"nsqd {self.address}: sent a {frame.reason}"))

    def _response(self, data: bytes) -> None:
        if data == b"_heartbeat_":
            self.send(NOP)
        elif data == b"CLOSE_WAIT":
            self.close_wait.set()
        elif self._replies:
            self._replies.popleft().resolve(data)
        else:
            self.fail(ProtocolError(f"nsqd {self.address}: unasked response {data[:100]!r}"))

    def _refused(self, frame: ErrorFrame) -> None:
        """An error that ends the connection: it answers the oldest command, nsqd reads no other."""
        text = f"nsqd {self.address}: {frame.data.decode('utf-8', 'replace')}"
        kind = AuthFailed if frame.code in AUTH_CODES else ProtocolError
        error = kind(text, code=frame.code)
        if self._replies:
            self._replies.popleft().resolve(b"", error)
            self._unsent = len(self._replies)
        self.fail(error)

    def _end(self, error: ConnectionLost | ProtocolError) -> None:
        self.fail(error)
        sent = len(self._replies) - self._unsent
        for number, reply in enumerate(self._replies):
            reply.resolve(b"", ConnectionLost(str(error), sent=number < sent))
        self._replies.clear()
        self._outbox.clear()
        self.close_wait.set()
        if self._flushed is not None:
            self._flushed.set()


async def connect(address: str, options: ConnectionOptions) -> Connection:
    """A connection to the nsqd at ``address``, its handshake done; the caller runs it.

    Raises:
        ConnectionLost: nobody there, not in time, or TLS failed.
        AuthFailed: nsqd does not take the secret.
        ProtocolError: nsqd refused the settings, or is no nsqd.
    """
    stream, early, negotiated = await shake_hands(address, options)
    # nsqd sends a heartbeat each interval; two of them missed and it is gone (as nsqd has it too).
    return Connection(address, negotiated, stream, early, 2 * options.heartbeat_interval + 1)
