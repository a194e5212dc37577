"""The contract between a session and whoever drives its connection.

A session (a *handler*) does no I/O. It is given chunks, fills its outbox, and returns an *effect*
when it needs something that only the driver can do. While an effect is performed nothing more is
read from the peer. The drivers are `nsqcore.reactor.reactor` for plain sockets and
`nsqcore.reactor.transport` for any trio stream; a session cannot tell which one it has.

No trio here, so that sessions stay free of it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs

from nsqcore.net.outbox import Outbox


@attrs.frozen
class Close:
    """Send the outbox, then close the connection.

    ``linger`` bounds, in seconds, both how long the peer may take nothing of what is to be sent,
    and how long afterwards its input is read and thrown away: a socket closed over unread input
    is reset, and the reset may overtake the last reply.
    """

    reason: str | None = None
    linger: float = 1.0


@attrs.frozen
class Wait:
    """Await ``run()`` in a task of its own, then do what ``resume()`` asks for, and read on."""

    run: Callable[[], Awaitable[None]]
    resume: Callable[[], "Effect | None"]


@attrs.frozen
class Upgrade:
    """Send the outbox, then hand the bare stream to ``run(stream)``; the connection ends with it.

    Bytes that came after the command that asked for the upgrade are the session's to pass on
    (`nsqcore.reactor.transport.PrependedStream`). ``run`` usually ends in ``serve_stream`` with the
    same handler.
    """

    run: Callable[[Any], Awaitable[None]]


Effect = Close | Wait | Upgrade


class Handler(Protocol):
    """One peer's session, without I/O."""

    @property
    def outbox(self) -> Outbox:
        """The bytes waiting for this peer."""

    def received(self, data: bytes) -> Effect | None:
        """Take a chunk, cut anywhere; b"" is the end of what the peer sends."""

    def closed(self, error: Exception | None) -> None:
        """Learn, exactly once, that the connection is gone; ``error`` is None for a normal end."""


@attrs.frozen
class Peer:
    """Who is at the other end. ``address`` is printed as Go does: ``127.0.0.1:1234``, ``@``."""

    address: str
    is_unix: bool = False
