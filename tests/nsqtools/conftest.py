"""Real daemons and real utilities for the tests of the utilities."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.nsqtools.tools import Endpoint, Tool


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[Callable[..., Tool]]:
    """Starts utilities: `tool("nsq_tail", "--flag", stdin=b"")`; `Tool.end` gives the outcome."""
    started: list[Tool] = []

    def start(
        program: str,
        *flags: str,
        stdin: bytes | int = subprocess.DEVNULL,
        limits: Callable[[], None] | None = None,
    ) -> Tool:
        folder = tmp_path / f"tool-{len(started)}"
        folder.mkdir()
        started.append(Tool.start(program, flags, folder, stdin, limits))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    """Makes HTTP endpoints: `endpoint(lambda body: 200)`."""
    made: list[Endpoint] = []

    def make(answer: Callable[[bytes], int] = lambda body: 200) -> Endpoint:
        made.append(Endpoint(answer).open())
        return made[-1]

    yield make
    for one in made:
        one.close()
