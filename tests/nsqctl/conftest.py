"""Real daemons, clusters and terminals, which end with the test whatever it did."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon, daemons, wait_until
from tests.nsqctl.program import Pair, Terminal, Up

Make = Callable[..., Daemon]


def lookupd_knows(lookupd: Daemon, topic: str, channel: str) -> int:
    """How many nsqds have registered the channel."""
    return len(lookupd.get("/debug").get(f"channel:{topic}:{channel}", ()))


def make_pair(make: Make) -> Pair:
    """Topic `orders` on two nsqd, with 2 and 3 messages for `kitchen`; `forgotten` on none."""
    lookupd = make("nsqlookupd")
    flag = f"--lookupd-tcp-address={lookupd.tcp}"
    made = Pair(lookupd, (make("nsqd", flag, "--mem-queue-size=1"), make("nsqd", flag)))
    for count, nsqd in enumerate(made.nsqds, 2):
        nsqd.create("orders", "kitchen")
        nsqd.post("/mpub?topic=orders", b"\n".join([b"x"] * count))
    lookupd.post("/topic/create?topic=forgotten")
    wait_until(lambda: [made.depth(n) for n in (0, 1)] == [2, 3], "the messages are in the channel")
    wait_until(lambda: lookupd_knows(lookupd, "orders", "kitchen") == 2, "both are registered")
    return made


@pytest.fixture
def pair(daemon: Make) -> Pair:
    """A pair of nsqds, for tests that change it."""
    return make_pair(daemon)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair of nsqds for all tests of a module that only look."""
    with daemons(tmp_path_factory.mktemp("steady")) as make:
        yield make_pair(make)


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
        made.append(Terminal(["nsqctl", *arguments], rows, columns).start())
        return made[-1]

    yield start
    for one in made:
        one.clean_up()
