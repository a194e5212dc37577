"""What stays of a connection, or of a command that was refused: nothing, with the collector off."""

import gc
import shutil
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tests.nsqd.client.conftest import Talk, body, identify, mpub

BIG = 1 << 20
PUBS = {
    "PUB": lambda: b"PUB t\n" + body(bytes(BIG)),
    "MPUB": lambda: mpub("t", *[bytes(BIG // 4)] * 4),
    "many": lambda: mpub("t", *[bytes(BIG // 100)] * 100),
    "DPUB": lambda: b"DPUB t 1000\n" + body(bytes(BIG)),
}


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def hang_up(talk: Talk) -> None:
    """End the connection; the world of the tests forgets it, too."""
    talk.hang_up()
    talk.world.talks.clear()
    talk.world.ended.clear()


def growth(act: Callable[[], object], times: int = 8) -> int:
    """By how many bytes memory has grown after ``act`` was done so often."""
    act()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(times):
        act()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


@pytest.mark.parametrize("name", ["PUB", "MPUB", "many"])
def test_a_publish_that_the_disk_refuses_keeps_nothing(make_world, name):
    world = make_world(engine={"mem_queue_size": 0})
    shutil.rmtree(world.directory)

    def refused() -> None:
        talk = world.connect()
        answers = talk.send(PUBS[name]())
        assert "No such file" in answers[-1]
        hang_up(talk)

    assert growth(refused) < BIG


@pytest.mark.parametrize("name", ["PUB", "MPUB", "many", "DPUB"])
def test_a_publish_that_draining_refuses_keeps_nothing(make_world, name):
    world = make_world()
    world.broker.draining = True

    def refused() -> None:
        talk = world.connect()
        assert "draining" in talk.send(PUBS[name]())[-1]
        hang_up(talk)

    assert growth(refused) < BIG


@pytest.mark.parametrize(
    "bad",
    [
        b"NONSENSE\n" + bytes(BIG),
        b"PUB $\n" + body(bytes(BIG)),
        mpub("t", bytes(BIG), b""),  # refused at its last message
        b"FIN short\n" + bytes(BIG),
        bytes(BIG),  # a line without end
        identify(heartbeat_interval=1) + bytes(BIG),
    ],
    ids=["command", "topic", "mpub", "id", "line", "identify"],
)
def test_a_bad_command_keeps_nothing_of_what_came_with_it(make_world, bad):
    world = make_world(settings={"max_body_size": 8 * BIG})

    def refused() -> None:
        talk = world.connect()
        talk.send(bytes(bytearray(bad)))
        hang_up(talk)

    assert growth(refused) < BIG // 2


@pytest.mark.parametrize("end", [b"", None], ids=["end of stream", "reset"])
@pytest.mark.parametrize("name", ["PUB", "MPUB", "many", "DPUB"])
def test_a_publish_that_is_cut_off_keeps_nothing(make_world, name, end):
    world = make_world()

    def cut_off() -> None:
        talk = world.connect()
        data = PUBS[name]()
        talk.send(data[: len(data) // 2])
        talk.send(data[len(data) // 2 : -10])
        if end is not None:
            talk.effect = None
            talk.send(end)
        hang_up(talk)

    assert growth(cut_off) < BIG // 2
