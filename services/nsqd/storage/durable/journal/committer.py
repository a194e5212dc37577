"""The thread that writes the journal through to the device, and reports.

One thread for all commits, one commit at a time. It reports by a descriptor that becomes readable
(an eventfd on Linux), so that the loop's own epoll set wakes up: other ways to wake a loop cost
more than the commit itself on a fast disk.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from nsqcore.classes import define, field, frozen
from nsqd.storage.durable.journal.journal import Write
from nsqd.storage.files.durable_disk import Disk


@frozen
class Finished:
    """A write that was performed, or failed with ``error``."""

    write: Write
    error: OSError | None


def perform(disk: Disk, write: Write) -> OSError | None:
    """Do ``write``; returns why it failed."""
    try:
        if write.parts:
            # what was written before without a sync is in the same file: one sync does for both
            through = write.sync and not write.file.unsynced
            disk.write(write.file.descriptor, write.parts, write.position, sync=through)
            if write.sync and not through:
                disk.sync(write.file.descriptor)
        elif write.sync:
            disk.sync(write.file.descriptor)
    except OSError as error:
        return error.with_traceback(None)
    return None


@define(eq=False, repr=False)
class Committer:
    """Performs writes in a thread of its own. ``descriptor`` is readable when one is finished.

    Raises RuntimeError from `start` where there is no thread to be had.
    """

    disk: Disk
    descriptor: int = field(default=-1, init=False)
    _signal: int = field(default=-1, init=False)
    _orders: "SimpleQueue[Write | None]" = field(factory=SimpleQueue, init=False)
    _results: "SimpleQueue[Finished]" = field(factory=SimpleQueue, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.descriptor = self._signal = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.descriptor, self._signal = os.pipe()
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._signal, False)

    def start(self) -> None:
        """Start the thread. It ends with `stop`, or with the process."""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Have ``write`` performed."""
        self._orders.put(write)

    def collect(self) -> list[Finished]:
        """What was finished since the last call."""
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            return []
        finished = []
        while not self._results.empty():
            finished.append(self._results.get())
        return finished

    def wait(self) -> Finished:
        """The next finished write, however long it takes. For the end of the process."""
        return self._results.get()

    def stop(self) -> None:
        """End the thread, once it has done what it was given."""
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()
            self._thread = None
        for descriptor in {self.descriptor, self._signal} - {-1}:
            os.close(descriptor)
        self.descriptor = self._signal = -1

    def _run(self) -> None:
        signal: Callable[[], object]
        if hasattr(os, "eventfd_write"):
            signal = lambda: os.eventfd_write(self._signal, 1)  # noqa: E731
        else:
            signal = lambda: os.write(self._signal, b"\0")  # noqa: E731
        while (write := self._orders.get()) is not None:
            self._results.put(Finished(write, perform(self.disk, write)))
            signal()
