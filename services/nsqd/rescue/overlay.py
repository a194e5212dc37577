"""A file system that is only read: what is written to it stays in memory.

Recovery writes what the journal has and a log lacks; behind this disk it can, and the files
stay as they are. Blocks that the device does not return are read as zeros and told of, so that
everything else is found.
"""

import errno
import os
from collections.abc import Sequence

from nsqcore.classes import Factory, define, field

BLOCK = 4096


def read_tolerantly(descriptor: int, size: int, position: int) -> tuple[bytes, list[int]]:
    """Up to ``size`` bytes from ``position`` on, and where blocks begin that can't be read."""
    try:
        return os.pread(descriptor, size, position), []
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    parts: list[bytes] = []
    unreadable: list[int] = []
    end = min(position + size, os.fstat(descriptor).st_size)
    while position < end:
        step = min(BLOCK - position % BLOCK, end - position)
        try:
            parts.append(os.pread(descriptor, step, position))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            parts.append(bytes(step))
            unreadable.append(position)
        position += step
    return b"".join(parts), unreadable


@define(eq=False, repr=False)
class _File:
    """What a file has become: its size, and what was written where."""

    size: int
    patches: list[tuple[int, bytearray]] = Factory(list)


@define(eq=False, repr=False)
class ReadOnlyDisk:
    """The file system of the operating system, which stays as it is (`durable.disk.Disk`).

    ``unreadable`` tells, a line each, what the device did not return.
    """

    unreadable: list[str] = Factory(list)
    _files: dict[str, _File] = field(factory=dict, init=False)
    _open: dict[int, str] = field(factory=dict, init=False)

    def open(self, path: str, *, create: bool = False) -> int:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not create and path not in self._files:
                raise
            descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._open[descriptor] = path
        if path not in self._files:
            self._files[path] = _File(os.fstat(descriptor).st_size)
        return descriptor

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]
        os.close(descriptor)

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        path = self._open[descriptor]
        file = self._files[path]
        size = min(size, file.size - position)
        if size <= 0:
            return b""
        found, unreadable = read_tolerantly(descriptor, size, position)
        for at in unreadable:
            line = f"{path}: the device does not return the block at {at}"
            if line not in self.unreadable:
                self.unreadable.append(line)
        if not file.patches and len(found) == size:
            return found
        data = bytearray(found.ljust(size, b"\0"))
        for at, patch in file.patches:
            first, last = max(at, position), min(at + len(patch), position + size)
            if first < last:
                data[first - position : last - position] = patch[first - at : last - at]
        return bytes(data)

    def write(
        self, descriptor: int, parts: Sequence[bytes], position: int, *, sync: bool = False
    ) -> None:
        data = b"".join(parts)
        file = self._files[self._open[descriptor]]
        if self.read(descriptor, len(data), position) == data:
            return
        last = file.patches[-1] if file.patches else None
        if last is not None and last[0] + len(last[1]) == position:
            last[1].extend(data)
        else:
            file.patches.append((position, bytearray(data)))
        file.size = max(file.size, position + len(data))

    def sync(self, descriptor: int) -> None:
        """Nothing: nothing is written."""

    def reserve(self, descriptor: int, position: int, size: int) -> None:
        """Nothing: there is room."""

    def truncate(self, descriptor: int, size: int) -> None:
        if size:
            raise self._refusal("cut", self._open[descriptor])
        file = self._files[self._open[descriptor]]
        file.patches = [(0, bytearray(file.size))]  # zeros are no batch
        file.size = 0

    def size(self, path: str) -> int | None:
        if path in self._files:
            return self._files[path].size
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    def replace(self, path: str, content: bytes, *, sync: bool) -> None:
        raise self._refusal("replace", path)

    def rename(self, path: str, target: str) -> None:
        raise self._refusal("rename", path)

    def unlink(self, path: str) -> None:
        raise self._refusal("remove", path)

    def make_directory(self, path: str) -> None:
        """Nothing: files in it are kept in memory."""

    def remove_directory(self, path: str) -> None:
        raise self._refusal("remove", path)

    def names(self, path: str) -> list[str]:
        try:
            there = set(os.listdir(path))
        except FileNotFoundError:
            there = set()
        made = {os.path.basename(each) for each in self._files if os.path.dirname(each) == path}
        return sorted(there | made)

    def sync_directory(self, path: str) -> None:
        """Nothing: nothing is written."""

    def _refusal(self, what: str, path: str) -> OSError:
        return OSError(errno.EROFS, f"this only reads, and was to {what}", path)
