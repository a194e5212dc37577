"""Descriptors that what has crashed, in a test, would have taken with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def closed_at_the_end() -> Iterator[None]:
    """Close what is opened meanwhile, and left open."""
    before = set(os.listdir("/proc/self/fd"))
    try:
        yield
    finally:
        for name in set(os.listdir("/proc/self/fd")) - before:
            with suppress(OSError):  # the one that listed them
                os.close(int(name))
