"""What waits to be sent to one peer.

Sessions and the engine fill it, synchronously and in any number of pieces; the driver of the
connection (`nsqcore.net.switchboard` or `nsqcore.net.transport`) empties it, once per turn. It
must never do I/O, block or know about trio: it is part of every session, and sessions are free of
all three.

A *hold* is a barrier in the stream: what is added after it stays back until it is released, while
what was added before it is sent. Holds are released in the order in which they were made, so
replies keep their order whatever they wait for.
"""

from collections import deque
from collections.abc import Callable

import attrs

# Half of what the engine lets pile up for a consumer.
DRAINED = 512 * 1024


def _wake_nobody() -> None:
    """The ``wake`` of an outbox that no driver serves: not yet, or no longer."""


@attrs.define(eq=False)
class Outbox:
    """Bytes waiting to go to one peer: synchronous to fill, emptied by the connection's driver.

    ``wake`` is called when there is something new for the driver to do: when bytes arrive in an
    empty outbox, when a hold is released, when it is closed. The driver sets it.
    """

    wake: Callable[[], None] = _wake_nobody
    #: Bytes pending, those behind a hold included.
    size: int = attrs.field(default=0, init=False)
    #: What may be sent now, in order. For the driver only.
    parts: list[bytes | memoryview] = attrs.field(factory=list, init=False)
    #: Why the connection is to end once everything is sent; None while it goes on.
    closing: str | None = attrs.field(default=None, init=False)
    #: Called once, and forgotten, when less than `DRAINED` bytes are left.
    drained: Callable[[], None] | None = attrs.field(default=None, init=False)
    #: The handler has been told that the connection is gone. Set by the driver.
    ended: bool = attrs.field(default=False, init=False)
    _tail: list[bytes | memoryview] = attrs.field(init=False)
    _held: deque[list[bytes | memoryview]] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._tail = self.parts

    def add(self, data: bytes) -> None:
        """Queue ``data`` behind all that was added before."""
        size = self.size
        self.size = size + len(data)
        self._tail.append(data)
        if not size:
            self.wake()

    def hold(self) -> None:
        """Keep back everything that is added from now on, until `release`."""
        if self._held is None:
            self._held = deque()
        self._tail = []
        self._held.append(self._tail)

    def release(self) -> None:
        """Lift the oldest hold that is still in force.

        Raises:
            IndexError: there is none.
        """
        if not self._held:
            raise IndexError("release of an outbox that holds nothing back")
        self.parts += self._held.popleft()
        if not self._held:
            self._tail = self.parts
        self.wake()

    def close(self, reason: str = "") -> None:
        """Ask for the end of the connection, after everything added so far is sent.

        For whoever is not inside a handler's call and cannot return `Close`: timers, the engine.
        What is behind a hold is dropped.
        """
        if self.closing is None:
            self.closing = reason
            self.wake()

    def detach(self) -> None:
        """Wake the driver no more: the connection has gone, or another driver takes it over."""
        self.wake = _wake_nobody

    def peek(self) -> bytes | memoryview:
        """Everything that may be sent now, as one buffer; it stays until `sent` says otherwise."""
        parts = self.parts
        if len(parts) > 1:
            parts[:] = [b"".join(parts)]
        return parts[0] if parts else b""

    def sent(self, count: int) -> None:
        """Forget the first ``count`` bytes: they are on their way."""
        self.size -= count
        if self.drained is not None:
            self.tell_drained()
        parts = self.parts
        done = 0
        for part in parts:
            if count < len(part):
                break
            count -= len(part)
            done += 1
        del parts[:done]
        if count:
            parts[0] = memoryview(parts[0])[count:]

    def take(self) -> bytes:
        """Everything that may be sent now, as one buffer, which is the caller's to send."""
        data = b"".join(self.parts)
        self.parts.clear()
        self.size -= len(data)
        if self.drained is not None:
            self.tell_drained()
        return data

    def tell_drained(self) -> None:
        """Call ``drained`` if it is time. For the driver only."""
        tell = self.drained
        if tell is not None and self.size < DRAINED:
            self.drained = None
            tell()
