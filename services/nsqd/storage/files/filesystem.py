"""The one place where queues touch the file system.

Tests give a `DiskStore` another `FileSystem`: one that fails, counts, or remembers what a loss of
power would leave. The methods are those of `os`, with the same arguments and exceptions.
"""

import os
from collections.abc import Iterator

READ = os.O_RDONLY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
REWRITE = WRITE | os.O_TRUNC
MODE = 0o600


class FileSystem:
    """The calls that queues make; a subclass replaces some of them."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    read = staticmethod(os.read)
    pread = staticmethod(os.pread)
    write = staticmethod(os.write)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    truncate = staticmethod(os.truncate)
    replace = staticmethod(os.replace)
    unlink = staticmethod(os.unlink)
    fsync = staticmethod(os.fsync)
    sync = staticmethod(os.sync)
    exists = staticmethod(os.path.exists)

    def size(self, file: str | int) -> int:
        """How long a file is, by path or descriptor."""
        return os.stat(file).st_size

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Write ``data`` to the end, however little the system takes at once. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(descriptor, rest) :]

    def entries(self, directory: str) -> Iterator[tuple[str, int]]:
        """The names in ``directory`` and when each was last written, in wall-clock ns."""
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    yield entry.name, entry.stat(follow_symlinks=False).st_mtime_ns
                except FileNotFoundError:
                    continue

    def names(self, directory: str) -> list[str]:
        """The names in ``directory``."""
        return os.listdir(directory)


SYSTEM = FileSystem()
