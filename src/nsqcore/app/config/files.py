"""Checks of settings that name what has to be there when a program starts."""

import os
import stat


def existing_file(path: str) -> None:
    """A check: nothing, or a file that this program may read; a pipe is one, too."""
    if not path:
        return
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # a name that cannot be, for one
        raise ValueError(f"cannot be read ({getattr(error, 'strerror', error)})") from None
    if stat.S_ISDIR(mode):
        raise ValueError("must be a file")
    if not os.access(path, os.R_OK):
        raise ValueError("cannot be read (Permission denied)")


def existing_folder(path: str) -> None:
    """A check: nothing, or a directory."""
    if path and not os.path.isdir(path):
        raise ValueError("must be a directory")
