"""The calls to the file system that durable storage makes, in one place that a test can replace.

Every call may raise OSError. Descriptors are the operating system's.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

ZEROS = bytes(1 << 20)

# fallocate(2), which has room made without changing a file's size (Linux).
_KEEP_SIZE = 1
_fallocate: Any = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

# A write through to the device, where the system has it (Linux); elsewhere a sync follows.
_DSYNC: int = getattr(os, "RWF_DSYNC", 0)


class Disk(Protocol):
    """A file system."""

    def open(self, path: str, *, create: bool = False) -> int:
        """A descriptor to read and write ``path``. Raises FileNotFoundError."""

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        """Up to ``size`` bytes from ``position`` on; fewer only at the end of the file."""

    def write(
        self, descriptor: int, parts: Sequence[bytes], position: int, *, sync: bool = False
    ) -> None:
        """Write all ``parts`` one behind the other, and through to the device if ``sync``."""

    def sync(self, descriptor: int) -> None:
        """Have the file's content on the device."""

    def reserve(self, descriptor: int, position: int, size: int) -> None:
        """Have room for ``size`` bytes from ``position`` on, without changing the file's size."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file, or extend it by zeros."""

    def size(self, path: str) -> int | None:
        """Of the file in bytes; None if there is none."""

    def replace(self, path: str, content: bytes, *, sync: bool) -> None:
        """Give ``path`` a new content in one step; on the device if ``sync``."""

    def rename(self, path: str, target: str) -> None:
        """Give a file or directory another name."""

    def unlink(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""

    def make_directory(self, path: str) -> None:
        """Make a directory; one that is there is no error."""

    def remove_directory(self, path: str) -> None:
        """Remove a directory with all files in it; one that is not there is no error."""

    def names(self, path: str) -> list[str]:
        """The names in a directory, in order; none if there is no directory."""

    def sync_directory(self, path: str) -> None:
        """Have on the device which names there are in a directory."""


class OsDisk:
    """The file system of the operating system (`Disk`)."""

    def open(self, path: str, *, create: bool = False) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return os.open(path, flags, 0o600)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        data = os.pread(descriptor, size, position)
        while 0 < len(data) < size:
            more = os.pread(descriptor, size - len(data), position + len(data))
            if not more:
                break
            data += more
        return data

    def write(
        self, descriptor: int, parts: Sequence[bytes], position: int, *, sync: bool = False
    ) -> None:
        total = sum(map(len, parts))
        written = os.pwritev(descriptor, parts, position, _DSYNC if sync else 0)
        if written < total:
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                count = os.pwritev(descriptor, [rest], position + total - len(rest))
                rest = rest[count:]
            if sync:
                self.sync(descriptor)
        elif sync and not _DSYNC:
            self.sync(descriptor)

    def sync(self, descriptor: int) -> None:
        if sys.platform == "darwin":
            # fsync alone leaves the data in the drive's cache there (fcntl(2), F_FULLFSYNC)
            import fcntl

            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(descriptor)

    def reserve(self, descriptor: int, position: int, size: int) -> None:
        # os.posix_fallocate would make the file longer: what is not written yet looks like damage
        if _fallocate is not None and _fallocate(descriptor, _KEEP_SIZE, position, size) < 0:
            code = ctypes.get_errno()
            if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise OSError(code, os.strerror(code))

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def size(self, path: str) -> int | None:
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    def replace(self, path: str, content: bytes, *, sync: bool) -> None:
        temporary = path + ".tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if sync:
                self.sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        if sync:
            self.sync_directory(os.path.dirname(path))

    def rename(self, path: str, target: str) -> None:
        os.rename(path, target)

    def unlink(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return

    def make_directory(self, path: str) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)

    def remove_directory(self, path: str) -> None:
        for name in self.names(path):
            self.unlink(os.path.join(path, name))
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def sync_directory(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
