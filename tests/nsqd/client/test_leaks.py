"""What stays of a connection, or of a command that was refused: nothing, with the collector off."""

import gc
import shutil
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tests.nsqd.broker import publish
from tests.nsqd.client.conftest import Talk, body, grant, identify, mpub

from nsqcore.net.outbox import Outbox
from nsqcore.wire.identify import Limits
from nsqcore.wire.parser import CommandParser
from nsqd.client.client import Client
from nsqd.client.permissions import BadPermissions
from nsqd.client.session import Session
from nsqd.engine.delivery.consumer import Consumer

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


def test_a_consumer_that_is_cut_while_it_lags_leaves_nothing(make_world):
    world = make_world()

    def cut() -> None:
        talk = world.connect(b"SUB t c#ephemeral\n", b"RDY 100\n")
        publish(world.broker, "t", [bytes(90_000) for _ in range(30)], world.now)
        world.end_tick()
        assert talk.client.outbox.size > BIG
        hang_up(talk)

    assert growth(cut) < BIG // 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "verdict", [BadPermissions("403"), grant(permissions=())], ids=["no", "none"]
)
async def test_a_refused_auth_keeps_nothing(make_world, verdict):
    world = make_world(limits=Limits(auth_required=True))

    async def refused() -> None:
        world.verdicts = [verdict]
        talk = world.connect()
        talk.send(b"AUTH\n" + body(bytes(1000)))
        await talk.go_on()
        hang_up(talk)
        world.asked.clear()

    await refused()
    gc.collect()
    before = {kind: count(kind) for kind in (Client, Session, CommandParser)}
    for _ in range(5):
        await refused()
    assert {kind: count(kind) for kind in before} == before


def count(kind: type) -> int:
    """How many objects of a type are alive."""
    return sum(type(each) is kind for each in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("state", ["fresh", "subscribed", "holding", "publishing", "deferred"])
def test_a_session_that_has_ended_is_gone_with_all_its_parts(make_world, state):
    world = make_world()
    kinds = (Client, Session, CommandParser, Consumer, Outbox)
    before = [count(kind) for kind in kinds]
    talk = world.connect()
    if state != "fresh":
        talk.send(b"SUB t c\nRDY 5\n")
    if state in ("holding", "deferred"):
        publish(world.broker, "t", [b"x"] * 9, world.now)
        world.end_tick()
    if state == "deferred":
        talk.send(b"REQ %b 1000\n" % next(iter(talk.client.consumer.in_flight)))
    if state == "publishing":
        talk.session.received(b"PUB t\n" + body(b"x"))
    hang_up(talk)
    world.end_tick()
    del talk
    assert [count(kind) for kind in kinds] == before
