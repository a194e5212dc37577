"""One nsqd for all tests of a module; utilities in threads, and as processes where that matters."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon, daemons
from tests.nsqtools.tools import Endpoint, Tool, ToolProcess, kept_logging


@pytest.fixture(scope="module")
def shared_nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An nsqd with default settings, for all tests of a module."""
    with daemons(tmp_path_factory.mktemp("shared")) as make:
        yield make("nsqd")


@pytest.fixture
def nsqd(shared_nsqd: Daemon) -> Iterator[Daemon]:
    """The module's nsqd, without any topic."""
    yield shared_nsqd
    for topic in shared_nsqd.get("/stats?format=json&include_clients=false")["topics"]:
        shared_nsqd.post(f"/topic/delete?topic={topic['topic_name'].replace('#', '%23')}")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Tool]]:
    """Runs utilities in threads: `tool("nsq_tail", "--flag", stdin=b"")`."""
    started: list[Tool] = []
    monkeypatch.chdir(tmp_path)

    def start(program: str, *flags: str, stdin: bytes | int = b"", stdout: int = -1) -> Tool:
        folder = tmp_path / f"tool-{len(started)}"
        folder.mkdir()
        started.append(Tool.start(program, flags, folder, stdin, stdout))
        return started[-1]

    with kept_logging(), contextlib.ExitStack() as stack:
        yield start
        for one in started:
            stack.callback(one.clean_up)


@pytest.fixture
def tool_process(tmp_path: Path) -> Iterator[Callable[..., ToolProcess]]:
    """Starts utilities as processes: `tool_process("nsq_tail", "--flag", stdin=b"")`."""
    started: list[ToolProcess] = []

    def start(
        program: str,
        *flags: str,
        stdin: bytes | int = b"",
        stdout: int = -1,
        limits: Callable[[], None] | None = None,
    ) -> ToolProcess:
        folder = tmp_path / f"process-{len(started)}"
        folder.mkdir()
        started.append(ToolProcess.start(program, flags, folder, stdin, limits, stdout))
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
