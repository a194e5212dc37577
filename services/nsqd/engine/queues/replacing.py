"""Replacing a small file whole: its new content is written beside it and renamed over it."""

import os
from contextlib import suppress


def prepare(path: str, content: bytes, *, suffix: str, sync: bool) -> str:
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
