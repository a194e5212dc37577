"""Real daemons for the tests of the client."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons: `daemon("nsqd", "--flag")` is started and ready."""
    made: list[Daemon] = []

    def make(program: str, *flags: str) -> Daemon:
        made.append(Daemon(program, tmp_path / f"{program}-{len(made)}", list(flags)))
        made[-1].folder.mkdir()
        return made[-1].start()

    yield make
    for one in made:
        one.clean_up()
