"""Moving a finished file to where it belongs, without ever overwriting one that is there.

On one file system a hard link and the removal of the old name do it; both names never lead to
different contents, whenever the machine stops. Where links do not reach, to another file system,
the file is copied first: without a name, so that a process that is killed leaves nothing behind, or
under a hidden one where the file system knows no files without.
"""

import contextlib
import errno
import os
import shutil
from typing import BinaryIO

# The file systems are different, or do not know hard links.
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK})

# Where Linux shows the files that this process has open.
_DESCRIPTORS = "/proc/self/fd"


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
    unnamed = _open_unnamed(os.path.dirname(target) or ".")
    if unnamed is None:
        _copy_by_hidden_name(source, target)
        return
    with open(unnamed, "wb") as new:
        _copy(source, new, target)
        _give_name(unnamed, target)


def _open_unnamed(folder: str) -> int | None:
    """A new file in ``folder`` that has no name yet, where the system has such files."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir(_DESCRIPTORS):
        return None
    try:
        return os.open(folder, flag | os.O_WRONLY, 0o666)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        return None


def _give_name(unnamed: int, target: str) -> None:
    # Only with a directory does Python have links followed, from the descriptor to the file.
    descriptors = os.open(_DESCRIPTORS, os.O_RDONLY)
    try:
        os.link(str(unnamed), target, src_dir_fd=descriptors)
    finally:
        os.close(descriptors)


def _copy(source: str, new: BinaryIO, target: str) -> None:
    try:
        with open(source, "rb") as old:
            shutil.copyfileobj(old, new, 1024 * 1024)
        new.flush()
        os.fsync(new.fileno())
    except OSError as error:
        error.filename = error.filename or target
        raise


def _copy_by_hidden_name(source: str, target: str) -> None:
    folder, name = os.path.split(target)
    hidden = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        with open(hidden, "xb") as new:
            _copy(source, new, target)
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


def make_folder_of(path: str) -> None:
    """Make the directory of ``path`` and those above it, for the user and the group alone."""
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        make_folder_of(folder)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o770)


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
