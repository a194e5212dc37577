"""What waits to be sent to one peer.

Sessions and the engine fill it, synchronously and in any number of pieces; the driver of the
connection (`nsqcore.reactor`) empties it, once per tick. It must never do I/O, block or know about
trio: it is part of every session, and sessions are free of all three.

A *slot* is the place of a reply that is to come: what is added after it stays back until it is
released with the reply's bytes, while what was added before it is sent. Slots may be released in
any order; what the peer gets keeps the order in which places were taken.
"""

import sys
from collections import deque
from collections.abc import Callable

from nsqcore.classes import define, field

# Half of what the engine lets pile up for a consumer.
DRAINED = 512 * 1024
# Seconds that a peer may take to read the next of what it is sent; more than any slow link needs.
PATIENCE = 60.0


def _wake_nobody() -> None:
    """The ``wake`` of an outbox that no driver serves: not yet, or no longer."""


@define(eq=False, repr=False)
class Outbox:
    """Bytes waiting to go to one peer: synchronous to fill, emptied by the connection's driver.

    ``wake`` is called when there is something new for the driver to do: when bytes arrive in an
    empty outbox, when the first open slot is released, when it is closed. The driver sets it.
    """

    wake: Callable[[], None] = _wake_nobody
    #: Bytes pending, those behind an open slot included.
    size: int = field(default=0, init=False)
    #: What may be sent now, in order. For the driver only.
    parts: list[bytes | memoryview] = field(factory=list, init=False)
    #: Why the connection is to end once everything is sent; None while it goes on.
    closing: str | None = field(default=None, init=False)
    #: Called once, and forgotten, when less than `DRAINED` bytes are left.
    drained: Callable[[], None] | None = field(default=None, init=False)
    #: Seconds after which a peer that takes next to nothing of what waits for it is cut.
    patience: float = field(default=PATIENCE, init=False)
    #: The handler has been told that the connection is gone. Set by the driver.
    ended: bool = field(default=False, init=False)
    _tail: list[bytes | memoryview] = field(init=False)
    #: The first is open; those behind it may be released already.
    _slots: deque["Slot"] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._tail = self.parts

    def add(self, data: bytes) -> None:
        """Queue ``data`` behind all that was added before."""
        size = self.size
        self.size = size + len(data)
        self._tail.append(data)
        if not size:
            self.wake()

    def hold(self) -> "Slot":
        """The place of a reply that is to come; what is added from now on comes behind it."""
        slot = Slot(self)
        self.enter(slot)
        return slot

    def enter(self, slot: "Slot") -> None:
        """Have ``slot`` take the place that `hold` would give to a new one."""
        if self._slots is None:
            self._slots = deque()
        self._slots.append(slot)
        self._tail = slot.behind

    @property
    def open_slots(self) -> int:
        """The first open slot and those behind it; 0 when all that was added may be sent."""
        return len(self._slots) if self._slots else 0

    def fill(self, slot: "Slot", data: bytes) -> None:
        """Put ``data`` in the place of ``slot``. For slots only."""
        slot.data = data
        self.size += len(data)
        slots = self._slots
        if not slots or slot is not slots[0]:
            return
        parts = self.parts
        if len(slots) == 1:  # as where every reply is there before the next command
            slots.clear()
            if data:
                parts.append(data)
            if slot.behind:
                parts += slot.behind
            self._tail = parts
            self.wake()
            return
        while slots and (first := slots[0].data) is not None:
            if first:
                parts.append(first)
            behind = slots.popleft().behind
            if behind:
                parts += behind
        if not slots:
            self._tail = parts
        self.wake()

    def close(self, reason: str = "") -> None:
        """Ask for the end of the connection, after everything added so far is sent.

        For whoever is not inside a handler's call and cannot return `Close`: timers, the engine.
        Open slots are waited for, a minute at most; then what is behind them is dropped.
        """
        if self.closing is None:
            self.closing = reason
            self.wake()

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

    def take(self, limit: int = sys.maxsize) -> bytes:
        """Up to ``limit`` bytes of what may be sent now, which are the caller's to send."""
        parts = self.parts
        if len(parts) == 1 and len(parts[0]) <= limit:
            data = bytes(parts[0])
            parts.clear()
        else:
            size = done = 0
            for part in parts:
                size += len(part)
                if size > limit:
                    break
                done += 1
            taken = parts[:done]
            if size > limit:
                last = memoryview(parts[done])
                cut = len(last) - (size - limit)
                taken.append(last[:cut])
                parts[done] = last[cut:]
            del parts[:done]
            data = b"".join(taken)
        self.size -= len(data)
        if self.drained is not None:
            self.tell_drained()
        return data

    def end(self) -> None:
        """Let go of everything: the connection has gone, and nobody is to be told of anything."""
        self.ended = True
        self.wake = _wake_nobody
        self.drained = None
        self._slots = None
        self.parts = self._tail = []
        self.size = 0

    def tell_drained(self) -> None:
        """Call ``drained`` if it is time. For the driver only."""
        tell = self.drained
        if tell is not None and self.size < DRAINED:
            self.drained = None
            tell()


@define(eq=False, repr=False)
class Slot:
    """The place of one reply in an outbox, until `release`. There is one for every publish."""

    outbox: Outbox
    #: The reply; None while it is awaited. For the outbox only, as ``behind`` is.
    data: bytes | None = field(default=None, init=False)
    #: What was added behind this slot and before the next.
    behind: list[bytes | memoryview] = field(factory=list, init=False)

    def release(self, data: bytes) -> None:
        """Let ``data`` take this place; it may be empty. After the connection's end it is dropped.

        Raises:
            RuntimeError: it has been released before.
        """
        if self.data is not None:
            raise RuntimeError("a slot is released once")
        self.outbox.fill(self, data)
