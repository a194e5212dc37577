"""Replacing a small file whole: its new content is written beside it and renamed over it.

That outlives a loss of power once the directory is synced, too.
"""

import errno
from contextlib import suppress

from nsqd.storage.files.filesystem import MODE, READ, REWRITE, SYSTEM, FileSystem

# Bytes copied at once.
_BLOCK = 1 << 20


def write_temporary(
    path: str, content: bytes, *, suffix: str, sync: bool, fs: FileSystem = SYSTEM
) -> str:
    """The path of a temporary file with ``content``, to be renamed to ``path``.

    Two writers at once need different suffixes. Raises OSError, and leaves nothing then.
    """
    temporary = f"{path}.{suffix}.tmp"
    fd = fs.open(temporary, REWRITE, MODE)
    try:
        fs.write_all(fd, content)
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
        sync_names(path, fs)


def sync_names(path: str, fs: FileSystem = SYSTEM) -> None:
    """`sync_directory` for who has promised it. Raises OSError, but for file systems that cannot
    sync a directory and need not."""
    fd = fs.open(path, READ)
    try:
        fs.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        fs.close(fd)


def rewrite(path: str, fs: FileSystem = SYSTEM) -> None:
    """Have a new, synced file in place of ``path``, with what can be read of it.

    For a file whose sync failed: a second sync of it may succeed without the data. One that is gone
    stays gone. Raises OSError; the file is as it was then.
    """
    try:
        source = fs.open(path, READ)
    except FileNotFoundError:
        return
    temporary = f"{path}.again.tmp"
    try:
        target = fs.open(temporary, REWRITE, MODE)
        try:
            position = 0
            while data := fs.pread(source, _BLOCK, position):
                fs.write_all(target, data)
                position += len(data)
            fs.fsync(target)
        finally:
            fs.close(target)
        if fs.exists(path):
            fs.replace(temporary, path)
        else:
            fs.unlink(temporary)
    except OSError:
        with suppress(OSError):
            fs.unlink(temporary)
        raise
    finally:
        fs.close(source)
