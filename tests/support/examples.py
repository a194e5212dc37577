"""How much tests look at: little in `make test`, more in `make explore`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import settings

# Where files are in memory, if this machine has such a place: an example that makes and removes a
# few takes a quarter of the time there.
MEMORY = Path("/dev/shm")


def examples(count: int) -> int:
    """``count`` in `make test`, and in `make explore` as many more as it has of all others."""
    assert settings.default is not None
    return max(1, count * settings.default.max_examples // 100)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one example."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)
