"""A connection that one task has to itself, while the reactor goes on to drive it."""

import ssl
from collections.abc import Callable

import trio

from nsqcore.classes import define, field
from nsqcore.errors import NsqError
from nsqcore.net.effects import Close, Effect
from nsqcore.net.outbox import DRAINED, Outbox

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
# What a peer may say that nobody reads.
MAX_UNREAD = 64 * 1024


@define(eq=False, repr=False)
class ConnectionStream:
    """The `nsqcore.net.effects.Stream` of one connection; ``flush`` sends what is in the outbox."""

    outbox: Outbox
    flush: Callable[[], None]
    #: Cancelled when the connection ends.
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _input: bytes = field(default=b"", init=False)
    _ended: bool = field(default=False, init=False)
    _came: trio.Event = field(factory=trio.Event, init=False)

    def feed(self, data: bytes) -> Effect | None:
        """Take a chunk from the connection; b"" is the end of what the peer sends."""
        if data:
            self._input += data
            if len(self._input) > MAX_UNREAD:
                return Close("more was sent than anybody reads")
        else:
            self._ended = True
        self._came.set()
        return None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What the peer sends; b"" when it has closed."""
        await trio.lowlevel.checkpoint()
        while not self._input and not self._ended:
            self._came = trio.Event()
            await self._came.wait()
        size = len(self._input) if max_bytes is None else max_bytes
        data, self._input = self._input[:size], self._input[size:]
        return data

    async def send_all(self, data: bytes) -> None:
        """Queue ``data`` for the peer; waits while much is queued already.

        Raises:
            trio.BrokenResourceError: the connection has gone.
        """
        await trio.lowlevel.checkpoint()
        outbox = self.outbox
        if outbox.ended:
            raise trio.BrokenResourceError("the connection has gone")
        outbox.add(data)
        self.flush()
        if outbox.size >= DRAINED:
            drained = trio.Event()
            outbox.drained = drained.set
            await drained.wait()
