"""Seeds of tests that draw random lives: the same in `make test`, new ones in `make explore`."""

import os


def seeds(count: int, step: int = 1) -> range:
    """The seeds of ``count`` tests, each of which draws ``step`` lives of its own from there."""
    first = int(os.environ.get("NSQ_TEST_SEED", "0"))
    return range(first, first + count * step, step)
