"""Real daemons, clusters and terminals, which end with the test whatever it did."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon
from tests.nsqctl.program import NSQCTL, Terminal, Up


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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Up]:
    """An `nsqctl up` that is not started yet."""
    made = Up(tmp_path / "up")
    yield made
    made.clean_up()


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts nsqctl in a terminal: `terminal("top", rows=10)`."""
    made: list[Terminal] = []

    def start(*arguments: str, rows: int = 24, columns: int = 120) -> Terminal:
        made.append(Terminal([NSQCTL, *arguments], rows, columns).start())
        return made[-1]

    yield start
    for one in made:
        one.clean_up()
