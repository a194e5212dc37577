"""Replacing a small file whole: its new content is written beside it and renamed over it.

That outlives a loss of power once the directory is synced, too.
"""

import os
from contextlib import suppress


def write_temporary(path: str, content: bytes, *, suffix: str, sync: bool) -> str:
    """The path of a temporary file with ``content``, to be renamed to ``path``.

    Two writers at once need different suffixes. Raises OSError, and leaves nothing then.
    """
    temporary = f"{path}.{suffix}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if sync:
            os.fsync(fd)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    return temporary


def sync_directory(path: str) -> None:
    """Have on the disk which files there are in ``path``. A failure is not told."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
