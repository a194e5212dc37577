"""Moving a finished file to where it belongs, without ever overwriting one that is there.

On one file system a hard link and the removal of the old name do it; both names never lead to
different contents, whenever the machine stops. Where links do not reach, to another file system,
the file is copied under a hidden name first, which is removed whatever happens.
"""

import errno
import os
import shutil

# The file systems are different, or do not know hard links.
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK})


def move_exclusively(source: str, target: str) -> None:
    """Move a file; when this returns, the new name is on disk.

    Raises:
        FileExistsError: ``target`` is there already; nothing was changed.
        OSError: it cannot be done; ``source`` is as it was.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy_exclusively(source, target)
    sync_directory(target)
    os.unlink(source)


def _copy_exclusively(source: str, target: str) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    folder, name = os.path.split(target)
    hidden = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        with open(source, "rb") as old, open(hidden, "xb") as new:
            shutil.copyfileobj(old, new, 1024 * 1024)
            new.flush()
            os.fsync(new.fileno())
        try:
            os.link(hidden, target)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _claim(target)
            os.replace(hidden, target)
    finally:
        if os.path.lexists(hidden):
            os.unlink(hidden)


def _claim(target: str) -> None:
    """Make an empty file that nobody else can make; the copy takes its place."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def sync_directory(path: str) -> None:
    """Bring the name ``path`` to disk, where the file system can be asked to."""
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(descriptor)
