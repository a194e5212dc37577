"""The connections of a reactor that need a task each: upgraded ones, and those under TLS.

A supervisor for `nsqcore.reactor.transport`: it knows who is connected, lets them finish, and keeps
one's fault from the others.
"""

import logging
import socket
from collections.abc import Callable

import attrs
import trio

from nsqcore.net.bytestream import ByteStream
from nsqcore.net.effects import Handler, Upgrade
from nsqcore.net.outbox import Outbox
from nsqcore.reactor.acceptor import Wrap
from nsqcore.reactor.transport import (
    CLOSE_TIMEOUT,
    CONNECTION_ERRORS,
    READ_SIZE,
    close_stream,
    end_handler,
    serve_stream,
)

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class LingeringSocket:
    """A socket's stream that, when it is closed, waits a moment for the peer to go first.

    A socket closed over unread input is reset, and the reset may overtake the last words.
    """

    stream: trio.SocketStream
    #: Seconds; asked for when it closes.
    linger: Callable[[], float]

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """A chunk; b"" at the end."""
        return await self.stream.receive_some(max_bytes)

    async def send_all(self, data: bytes) -> None:
        """Send ``data``."""
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending may not block."""
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Tell the peer that this was all, throw away what it still sends, and close."""
        try:
            with trio.move_on_after(self.linger()):
                await self.stream.send_eof()
                while await self.stream.receive_some(READ_SIZE):
                    pass
        except CONNECTION_ERRORS as error:
            logger.debug("connection: lingering: %s", error)
        finally:
            self.stream.socket.close()


@attrs.define(eq=False)
class StreamTasks:
    """Who is connected over a stream. ``finish_tick`` and ``gone`` are called after each end."""

    finish_tick: Callable[[], None]
    gone: Callable[[], None]
    max_outbox: int
    _scopes: dict[Outbox, trio.CancelScope] = attrs.field(factory=dict, init=False)
    _leaving: bool = attrs.field(default=False, init=False)

    def __len__(self) -> int:
        return len(self._scopes)

    def close(self, reason: str) -> None:
        """Ask everybody to leave once what waits for them is sent; nobody lingers any more."""
        self._leaving = True
        for outbox in self._scopes:
            outbox.close(reason)

    def cancel(self) -> None:
        """Cut everybody."""
        for scope in self._scopes.values():
            scope.cancel()

    def expect(self, handler: Handler) -> trio.CancelScope:
        """Count ``handler`` in, before its task runs; what cancels it later."""
        scope = self._scopes[handler.outbox] = trio.CancelScope()
        return scope

    async def upgrade(
        self, sock: socket.socket, handler: Handler, effect: Upgrade, scope: trio.CancelScope
    ) -> None:
        """Perform an upgrade on a socket that has left the reactor."""
        outbox = handler.outbox
        outbox.detach()
        stream = self._open(sock)
        error: Exception | None = None
        with scope:
            try:
                while outbox.parts:
                    await stream.send_all(outbox.take())
                await effect.run(stream)
            except CONNECTION_ERRORS as broken:
                error = broken
                logger.debug("connection: upgrade: %s", broken)
            except Exception as fault:  # a supervisor: only this connection is lost
                error = fault
                logger.exception("connection: upgrade failed")
            finally:
                await self._end(handler, stream, error)

    async def serve(
        self, sock: socket.socket, handler: Handler, wrap: Wrap | None, scope: trio.CancelScope
    ) -> None:
        """Serve a new connection from this task, over ``wrap(stream)`` if it is to be wrapped."""
        stream = self._open(sock)
        error: Exception | None = None
        with scope:
            try:
                wrapped = stream if wrap is None else await wrap(stream)
                await serve_stream(
                    wrapped, handler, end_tick=self.finish_tick, max_outbox=self.max_outbox
                )
            except CONNECTION_ERRORS as broken:
                error = broken
                logger.debug("connection: %s", broken)
            finally:
                await self._end(handler, stream, error)

    def _open(self, sock: socket.socket) -> LingeringSocket:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        return LingeringSocket(stream, lambda: 0.0 if self._leaving else CLOSE_TIMEOUT)

    async def _end(self, handler: Handler, stream: ByteStream, error: Exception | None) -> None:
        del self._scopes[handler.outbox]
        end_handler(handler, error)
        with trio.CancelScope(shield=True):
            await close_stream(stream)
        self.gone()
        self.finish_tick()
