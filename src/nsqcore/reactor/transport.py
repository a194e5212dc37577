"""A session over any trio stream, and the streams an upgrade is made of.

`serve_stream` drives the same handlers as the reactor, over TLS, compression or the memory
streams of a test, from a task of its own: one half reads and performs effects, the other sends
what gathers in the outbox. Nothing here knows a protocol.
"""

import logging
import ssl
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from nsqcore.errors import NsqError
from nsqcore.net.bytestream import ByteStream
from nsqcore.net.effects import Close, Effect, Handler, Upgrade, Wait

logger = logging.getLogger(__name__)

# Back-pressure: a peer with more than this waiting for it is not read from until it takes some.
MAX_OUTBOX = 4 * 1024 * 1024
READ_SIZE = 64 * 1024
# Seconds that a polite close (TLS close_notify) may take.
CLOSE_TIMEOUT = 1.0

# What a connection may die of without anybody's fault.
CONNECTION_ERRORS = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.BusyResourceError,
    trio.TooSlowError,
    ssl.SSLError,
    NsqError,
)


class Codec(Protocol):
    """A compression, both ways, without I/O: see `nsqcore.wire.deflate`, `nsqcore.wire.snappy`."""

    def compress(self, data: bytes) -> bytes:
        """``data`` compressed and flushed, so that the peer can read all of it."""

    def decompress(self, data: bytes) -> bytes:
        """Some of what ``data`` and earlier input hold; call with b"" until that gives b""."""


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


def _nothing() -> None:
    """What a tick of a connection that concerns nobody else ends with."""


@attrs.define(eq=False)
class _Drive:
    """The two halves of one served stream."""

    stream: ByteStream
    handler: Handler
    end_tick: Callable[[], None]
    max_outbox: int
    #: Bytes taken from the outbox and not sent yet.
    sending: int = 0
    #: The reader has come to its end: the writer is to send the rest and stop.
    finishing: bool = False
    #: Nothing more comes. Where the peer is gone for good sending to it fails, which is no error.
    ended: bool = False
    error: Exception | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    more: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    drained: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    flushed: trio.Event = attrs.field(factory=trio.Event)

    def wake(self) -> None:
        """Let the writer look at the outbox again."""
        self.more.unpark_all()

    async def write(self) -> None:
        """Send what gathers, until the reader or the outbox asks for the end."""
        outbox = self.handler.outbox
        try:
            while True:
                if outbox.parts:
                    data = outbox.take()
                    self.sending = len(data)
                    await self.stream.send_all(data)
                    self.sending = 0
                    self.drained.unpark_all()
                elif self.finishing and not outbox.open_slots:
                    break
                elif outbox.closing is not None and not outbox.open_slots:
                    self.scope.cancel()
                    break
                elif outbox.closing is not None:
                    with trio.move_on_after(Close().linger) as linger:
                        await self.more.park()
                    if linger.cancelled_caught:
                        self.scope.cancel()
                        break
                else:
                    await self.more.park()
        except CONNECTION_ERRORS as error:
            self.fail(error)
        self.flushed.set()

    async def read(self) -> Effect:
        """Feed the handler until it wants to leave; `Close` or `Upgrade`, all replies sent."""
        effect: Effect | None = None
        try:
            while effect is None:
                while self.handler.outbox.size + self.sending > self.max_outbox:
                    await self.drained.park()
                data = await self.receive()
                self.ended = not data
                effect = self.handler.received(data)
                self.end_tick()
                while isinstance(effect, Wait):
                    await effect.run()
                    effect = effect.resume()
                    self.end_tick()
                if not data and effect is None:
                    effect = Close()
        except CONNECTION_ERRORS as error:
            self.fail(error)
            return Close()
        except Exception as fault:  # a supervisor: only this connection is lost
            logger.exception("connection: session failed")
            self.fail(fault)
            return Close()
        self.finishing = True
        self.more.unpark_all()
        if isinstance(effect, Close):
            with trio.move_on_after(effect.linger):
                await self.flushed.wait()
        else:
            await self.flushed.wait()
        return effect

    async def receive(self) -> bytes:
        """A chunk; b"" at the end."""
        try:
            return bytes(await self.stream.receive_some(READ_SIZE))
        except trio.BrokenResourceError as error:
            # Many a client closes without TLS's parting word; the protocols inside show what is
            # cut short. Some releases of Python 3.11 take it for a proper end.
            if not isinstance(error.__cause__, ssl.SSLEOFError):
                raise
            return b""

    def fail(self, error: Exception) -> None:
        """The connection broke: both halves stop."""
        if self.error is None and not self.ended:
            self.error = error
        self.scope.cancel()


async def serve_stream(
    stream: ByteStream,
    handler: Handler,
    *,
    end_tick: Callable[[], None] = _nothing,
    max_outbox: int = MAX_OUTBOX,
) -> None:
    """Run ``handler`` over ``stream`` until either ends; the stream is closed, the handler told.

    ``end_tick`` is called after each chunk: a reactor's ``finish_tick``. A broken connection
    is a normal end; so is a handler that raises, after its traceback is logged. If cancelled, the
    connection is cut.
    """
    error: Exception | None = None
    try:
        drive = _Drive(stream, handler, end_tick, max_outbox)
        handler.outbox.wake = drive.wake
        effect: Effect = Close()
        async with trio.open_nursery() as nursery:
            drive.scope = nursery.cancel_scope
            nursery.start_soon(drive.write)
            effect = await drive.read()
            nursery.cancel_scope.cancel()
        error = drive.error
        if isinstance(effect, Upgrade) and error is None:
            await effect.run(stream)
    except CONNECTION_ERRORS as broken:
        error = broken
    except Exception as fault:  # a supervisor: only this connection is lost
        logger.exception("connection: upgrade failed")
        error = fault
    finally:
        end_handler(handler, error)
        end_tick()
        await close_stream(stream)


async def close_stream(stream: ByteStream) -> None:
    """Close ``stream`` politely if that is quick, else at once; a broken one is no error."""
    try:
        with trio.move_on_after(CLOSE_TIMEOUT):
            await stream.aclose()
    except CONNECTION_ERRORS as error:
        logger.debug("connection: closing: %s", error)


@attrs.define(eq=False)
class PrependedStream:
    """``stream`` with bytes put back in front: those that were read before an upgrade began."""

    stream: ByteStream
    _first: bytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """A chunk; first of all what was put back."""
        if not self._first:
            return await self.stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        size = len(self._first) if max_bytes is None else max_bytes
        chunk, self._first = self._first[:size], self._first[size:]
        return chunk

    async def send_all(self, data: bytes) -> None:
        """Send ``data``."""
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending may not block."""
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream below."""
        await self.stream.aclose()


@attrs.define(eq=False)
class CodecStream:
    """A stream whose bytes travel compressed over ``stream``. A garbled peer raises `NsqError`."""

    stream: ByteStream
    codec: Codec

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """A decompressed chunk; b"" at the end. The codec bounds its size, not ``max_bytes``."""
        await trio.lowlevel.checkpoint()
        data = self.codec.decompress(b"")
        while not data:
            chunk = await self.stream.receive_some(READ_SIZE)
            if not chunk:
                return b""
            data = self.codec.decompress(bytes(chunk))
        return data

    async def send_all(self, data: bytes) -> None:
        """Compress, flush and send ``data``."""
        await self.stream.send_all(self.codec.compress(bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending may not block."""
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream below."""
        await self.stream.aclose()
