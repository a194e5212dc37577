"""Whether the disk takes messages, as /ping, /stats and the probes tell it."""

from collections.abc import Callable

from nsqcore.classes import define

FAILED = "the disk failed"  # where an error says nothing


@define(eq=False, repr=False)
class Health:
    """``queues`` and ``journal`` are what the last write failed with, to the files of queues and to
    the journal of durable topics; empty once that works again. That one works says nothing of the
    other.

    They are texts: an exception would keep its traceback, and with it all that was to be written.
    ``failures`` counts the writes that failed. ``low`` says how little is free, while that is less
    than an operator wants: publishes are refused then.
    """

    queues: str = ""
    journal: str = ""
    low: str = ""
    failures: int = 0
    unsynced: bool = False  # it was a sync that failed: that a write succeeds proves nothing
    _room: int = 0
    _look: Callable[[], None] | None = None

    @property
    def error(self) -> str:
        """What the disk fails with; empty where all works."""
        return self.queues or self.journal

    @property
    def text(self) -> str:
        """``OK``, or what is wrong, in the words of the original."""
        return f"NOK - {self.error}" if self.error else "OK"

    def look_after(self, room: int, look: Callable[[], None]) -> None:
        """Call ``look``, once, when ``room`` more bytes are published."""
        self._room, self._look = room, look

    def published(self, size: int) -> None:
        """Take note that ``size`` bytes are on their way to the disk."""
        self._room -= size
        if self._room < 0 and self._look is not None:
            look, self._look = self._look, None
            look()

    def failed(self, error: object, *, sync: bool = False) -> None:
        """Take note that the disk refused a write, or a ``sync``, of a queue."""
        self.unsynced = self.unsynced or sync
        self.queues = str(error) or FAILED
        self.failures += 1

    def recovered(self, *, synced: bool = False) -> None:
        """Take note that the disk takes messages, and has ``synced`` all that it failed to."""
        if synced or not self.unsynced:
            self.queues, self.unsynced = "", False

    def journal_is(self, error: object | None) -> None:
        """Take note of how the last write to the journal went: None, or why it failed."""
        self.journal = "" if error is None else str(error) or FAILED
        self.failures += error is not None
