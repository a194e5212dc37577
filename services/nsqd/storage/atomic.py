"""Replacing a small file whole: its new content is written beside it and renamed over it.

That outlives a loss of power once the directory is synced, too.
"""

from contextlib import suppress

from nsqd.storage.filesystem import MODE, READ, REWRITE, SYSTEM, FileSystem


def write_temporary(
    path: str, content: bytes, *, suffix: str, sync: bool, fs: FileSystem = SYSTEM
) -> str:
    """The path of a temporary file with ``content``, to be renamed to ``path``.

    Two writers at once need different suffixes. Raises OSError, and leaves nothing then.
    """
    temporary = f"{path}.{suffix}.tmp"
    fd = fs.open(temporary, REWRITE, MODE)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[fs.write(fd, rest) :]
        if sync:
            fs.fsync(fd)
    except OSError:
        with suppress(OSError):
            fs.unlink(temporary)
        raise
    finally:
        fs.close(fd)
    return temporary


def sync_directory(path: str, fs: FileSystem = SYSTEM) -> None:
    """Have on the disk which files there are in ``path``. A failure is not told."""
    with suppress(OSError):
        fd = fs.open(path, READ)
        try:
            fs.fsync(fd)
        finally:
            fs.close(fd)
