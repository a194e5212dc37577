"""The connections of a switchboard that need a task each: upgraded ones, and those under TLS.

A supervisor for `nsqcore.net.transport`: it knows who is connected, lets them finish, and keeps
one's fault from the others.
"""

import logging
import socket
from collections.abc import Callable

import attrs
import trio

from nsqcore.net.doors import Wrap
from nsqcore.net.effects import Handler, Upgrade
from nsqcore.net.outbox import Outbox
from nsqcore.net.transport import CONNECTION_ERRORS, close_stream, end_handler, serve_stream

logger = logging.getLogger(__name__)


def _nothing() -> None:
    """The waker of an outbox between two drivers."""


@attrs.define(eq=False)
class StreamTasks:
    """Who is connected over a stream. ``finish_turn`` and ``gone`` are called after each end."""

    finish_turn: Callable[[], None]
    gone: Callable[[], None]
    max_outbox: int
    _scopes: dict[Outbox, trio.CancelScope] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._scopes)

    def close(self, reason: str) -> None:
        """Ask everybody to leave once what waits for them is sent."""
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
        """Perform an upgrade on a socket that has left the switchboard."""
        outbox = handler.outbox
        outbox.wake = _nothing
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
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
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        error: Exception | None = None
        with scope:
            try:
                wrapped = stream if wrap is None else await wrap(stream)
                await serve_stream(
                    wrapped, handler, end_turn=self.finish_turn, max_outbox=self.max_outbox
                )
            except CONNECTION_ERRORS as broken:
                error = broken
                logger.debug("connection: %s", broken)
            finally:
                await self._end(handler, stream, error)

    async def _end(
        self, handler: Handler, stream: trio.SocketStream, error: Exception | None
    ) -> None:
        del self._scopes[handler.outbox]
        end_handler(handler, error)
        with trio.CancelScope(shield=True):
            await close_stream(stream)
        self.gone()
        self.finish_turn()
