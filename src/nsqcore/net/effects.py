"""The contract between a session and whoever drives its connection.

A session (a *handler*) does no I/O. It is given chunks, fills its outbox, and returns an *effect*
when it needs something that only the driver can do. While an effect is performed nothing more is
read from the peer. The driver is `nsqcore.reactor`; whatever lies between the socket and the
session (TLS, compression: `nsqcore.net.layers`), the session cannot tell.

No trio here, so that sessions stay free of it.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from nsqcore.classes import field, frozen
from nsqcore.errors import NsqError
from nsqcore.net.layers import Layer
from nsqcore.net.outbox import Outbox


@frozen
class Close:
    """Send the outbox, then close the connection.

    ``linger`` bounds, in seconds, both how long the peer may take nothing of what is to be sent,
    and how long afterwards its input is read and thrown away: a socket closed over unread input
    is reset, and the reset may overtake the last reply.
    """

    reason: str | None = None
    linger: float = 1.0


@frozen
class Wait:
    """Await ``run()`` in a task of its own, then do what ``resume()`` asks for, and read on."""

    run: Callable[[], Awaitable[None]]
    resume: Callable[[], "Effect | None"]


@frozen
class Upgrade:
    """Send the outbox as it is, then let everything pass ``layer``, in both directions.

    Once the layer's handshake is done, do what ``resume()`` asks for, and read on. ``first``, what
    came behind the command that asked for the upgrade, is the layer's first input. Where the
    handshake fails the peer is sent ``refusal(error)`` in the clear and the connection ends.
    """

    layer: Layer
    resume: Callable[[], "Effect | None"] | None = None
    first: bytes = b""
    refusal: Callable[[NsqError], bytes] | None = None


class Stream(Protocol):
    """A connection as a task sees it that has it to itself."""

    async def send_all(self, data: bytes) -> None:
        """Queue ``data`` for the peer; waits while much is queued already."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What the peer sends; b"" when it has closed."""


@frozen
class HandOver:
    """Send the outbox, then leave the connection to ``run(stream)``; it ends when that returns.

    ``run`` is a task of its own, which is cancelled when the connection ends otherwise.
    """

    run: Callable[[Stream], Awaitable[None]]


Effect = Close | Wait | Upgrade | HandOver


class Handler(Protocol):
    """One peer's session, without I/O."""

    @property
    def outbox(self) -> Outbox:
        """The bytes waiting for this peer."""

    def received(self, data: bytes) -> Effect | None:
        """Take a chunk, cut anywhere; b"" is the end of what the peer sends."""

    def closed(self, error: Exception | None) -> None:
        """Learn, exactly once, that the connection is gone; ``error`` is None for a normal end."""


@frozen
class Peer:
    """Who is at the other end. ``address`` is printed as Go does: ``127.0.0.1:1234``, ``@``.

    ``names`` gives those in the client certificate, with their kind, if it was verified.
    ``encrypted``: everything passes TLS.
    """

    address: str
    is_unix: bool = False
    names: Callable[[], tuple[str, ...]] = field(default=tuple, eq=False, repr=False)
    encrypted: bool = False
