"""Real daemons, clusters and terminals, which end with the test whatever it did."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.e2e.peer import Peer
from tests.nsqctl.program import NSQCTL, Pair, Terminal, Up


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


@pytest.fixture
def peer() -> Iterator[Callable[[Daemon], Peer]]:
    """Makes raw V2 connections: `peer(nsqd)`."""
    with contextlib.ExitStack() as open_peers:

        def connect(nsqd: Daemon) -> Peer:
            made = Peer.connect(nsqd.tcp_port)
            open_peers.callback(made.close)
            return made

        yield connect


@pytest.fixture
def pair(daemon: Callable[..., Daemon]) -> Pair:
    """Topic `orders` on two nsqd, with 2 and 3 messages for `kitchen`; `forgotten` on none."""
    lookupd = daemon("nsqlookupd")
    flag = f"--lookupd-tcp-address={lookupd.tcp}"
    nsqds = (daemon("nsqd", flag, "--mem-queue-size=1"), daemon("nsqd", flag))
    made = Pair(lookupd, nsqds)
    for count, nsqd in enumerate(nsqds, 2):
        nsqd.create("orders", "kitchen")
        nsqd.post("/mpub?topic=orders", b"\n".join([b"x"] * count))
    lookupd.post("/topic/create?topic=forgotten")
    wait_until(lambda: [made.depth(n) for n in (0, 1)] == [2, 3], "the messages are in the channel")
    wait_until(lambda: len(made.producers("orders")) == 2, "both are registered")
    return made
