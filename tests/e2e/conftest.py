"""Fixtures that start real processes and end them, whatever the test did."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon
from tests.e2e.peer import Peer


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons: `daemon("nsqd", "--flag")` is started and ready."""
    made: list[Daemon] = []

    def make(program: str, *flags: str, limits: Callable[[], None] | None = None) -> Daemon:
        made.append(
            Daemon(program, tmp_path / f"{program}-{len(made)}", list(flags), limits=limits)
        )
        made[-1].folder.mkdir()
        return made[-1].start()

    yield make
    for one in made:
        one.clean_up()


@pytest.fixture
def peer() -> Iterator[Callable[[Daemon], Peer]]:
    """Makes raw V2 connections: `peer(nsqd)`."""
    with contextlib.ExitStack() as open_peers:

        def connect(nsqd: Daemon) -> Peer:
            made = Peer.connect(nsqd.tcp_port)
            open_peers.callback(made.close)
            return made

        yield connect
