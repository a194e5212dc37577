"""A lock that keeps two daemons off one data directory.

It is `flock(2)` on the directory itself, as in the original, so that either program respects the
other's lock. The kernel drops it when the process ends, however it ends.
"""

import fcntl
import os
from types import TracebackType

from nsqcore.classes import define


class DirectoryLocked(OSError):
    """The directory cannot be had for one process alone; the text says which and why."""


@define
class DirectoryLock:
    """A directory held by this process until `release`, or the end of a ``with`` block."""

    path: str
    _descriptor: int = -1

    def release(self) -> None:
        """Let others have the directory. Safe to call again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def lock_directory(path: str) -> DirectoryLock:
    """The lock of the directory ``path`` (the working directory if empty), held.

    Raises:
        DirectoryLocked: there is no such directory, or another process has it.
    """
    where = path or os.getcwd()
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DirectoryLocked(f"cannot open directory {where} - {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DirectoryLocked(
            f"cannot flock directory {where} - {error.strerror}"
            " (possibly in use by another instance of nsqd)"
        ) from error
    return DirectoryLock(where, descriptor)
