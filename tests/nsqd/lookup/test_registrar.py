import logging
import sys
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from tests.fakes.fake_lookupd import FakeLookupd
from tests.nsqd.broker import open_broker

from nsqd.engine.broker import Broker
from nsqd.lifecycle.changes import Changes
from nsqd.lookup.registrar import LookupRegistrar
from nsqd.lookup.topic_channels import MAX_QUESTIONS, TopicChannels
from nsqd.storage.diskqueue.store import DiskStore

IDENTITY = {
    "broadcast_address": "me",
    "hostname": "myhost",
    "tcp_port": 4150,
    "http_port": 4151,
    "version": "1.3.0",
    "topology_zone": "z",
    "topology_region": "r",
}


def topic(name: str, *channels: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, channels={c: SimpleNamespace(name=c) for c in channels})


class Network:
    """Connects to fakes by address."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.hosts: dict[tuple[str, int], FakeLookupd] = {}
        self.names: dict[str, list[tuple[str, int]]] = {}
        self.attempts = 0

    def add(self, host: str, port: int = 4160, name: str | None = None) -> FakeLookupd:
        fake = self.hosts[host, port] = FakeLookupd(name=name or host)
        return fake

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.attempts += 1
        fake = self.hosts.get((host, port))
        if fake is None or fake.refuse:
            raise ConnectionRefusedError("connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(fake.serve_nsqd, theirs)
        return ours

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        if host not in self.names:
            raise OSError("Name or service not known")
        return self.names[host]


class FakeSource:
    """Answers what channels there are."""

    def __init__(self) -> None:
        self.channels: list[str] = []
        self.failures: list[str] = []
        self.asked: list[tuple[str, list[str]]] = []
        self.closed = False
        self.takes = 0.0
        self.asking = self.most_at_once = 0

    async def ask(self, topic: str, lookupds: list[str]) -> tuple[list[str], list[str]]:
        self.asking += 1
        self.most_at_once = max(self.most_at_once, self.asking)
        await trio.sleep(self.takes)
        self.asking -= 1
        self.asked.append((topic, lookupds))
        return self.channels, self.failures

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


@pytest.fixture
def network(nursery):
    return Network(nursery)


@pytest.fixture
def source():
    return FakeSource()


@pytest.fixture
def topics():
    return {}


@pytest.fixture
def registrar(network, source, topics, nursery):
    def start(*addresses: str) -> LookupRegistrar:
        registrar = LookupRegistrar(
            lambda local: IDENTITY,
            topics,
            addresses,
            connect=network.connect,
            resolve=network.resolve,
            open_source=lambda *_: source,
        )
        nursery.start_soon(registrar.run)
        return registrar

    return start


async def settle() -> None:
    """Virtual time enough for any exchange, not for a ping or a second try."""
    await trio.sleep(0.1)


# ---------------------------------------------------------------- registration


async def test_nsqd_tells_who_it_is_and_registers_all_it_has(
    autojump_clock, network, registrar, topics
):
    lookupd = network.add("1.1.1.1")
    topics.update(bare=topic("bare"), full=topic("full", "a", "b"))
    found = registrar("1.1.1.1:4160")
    await settle()

    assert lookupd.identities == [IDENTITY]
    assert lookupd.registered == {("bare", ""), ("full", "a"), ("full", "b")}
    assert [(s.address, s.state, s.error) for s in found.states()] == [
        ("1.1.1.1:4160", "connected", "")
    ]


async def test_what_comes_and_goes_is_told_to_every_nsqlookupd(autojump_clock, network, registrar):
    lookupds = [network.add("1.1.1.1"), network.add("2.2.2.2")]
    found = registrar("1.1.1.1:4160", "2.2.2.2:4160")
    await settle()
    one = topic("t", "c", "tmp#ephemeral")
    found.changed("create", one, None)
    for channel in one.channels.values():
        found.changed("create", one, channel)
    found.changed("pause", one, None)
    found.changed("delete", one, one.channels["tmp#ephemeral"])
    await settle()

    assert [fake.registered for fake in lookupds] == [{("t", ""), ("t", "c")}] * 2


@pytest.mark.slow
async def test_thousands_of_topics_are_registered_in_one_go(
    autojump_clock, network, registrar, topics
):
    lookupd = network.add("1.1.1.1")
    topics.update({f"t{n}": topic(f"t{n}", "c") for n in range(2000)})
    registrar("1.1.1.1:4160")
    before = trio.current_time()
    with trio.fail_after(60):
        while len(lookupd.registered) < 2000:
            await trio.testing.wait_all_tasks_blocked()

    assert trio.current_time() == before  # not one round trip each


async def test_connection_is_kept_alive_even_while_there_is_news(
    autojump_clock, network, registrar
):
    lookupd = network.add("1.1.1.1")
    found = registrar("1.1.1.1:4160")
    for n in range(31):
        await trio.sleep(1)
        found.changed("create", topic(f"t{n}"), None)

    assert lookupd.pings == 2
    assert len(lookupd.identities) == 1


# ---------------------------------------------------------------- trouble


async def test_restarted_nsqlookupd_is_told_everything_anew(
    autojump_clock, network, registrar, topics
):
    lookupd = network.add("1.1.1.1")
    topics["t"] = topic("t", "c")
    registrar("1.1.1.1:4160")
    await trio.sleep(20)
    lookupd.refuse = True
    await lookupd.forget_all()
    await trio.sleep(60)
    assert lookupd.registered == set()
    topics["later"] = topic("later")
    lookupd.refuse = False
    await trio.sleep(16)

    assert lookupd.registered == {("t", "c"), ("later", "")}


async def test_dead_nsqlookupd_does_not_keep_others_from_being_told(
    autojump_clock, network, registrar, topics
):
    lookupd = network.add("2.2.2.2")
    topics["t"] = topic("t")
    found = registrar("1.1.1.1:4160", "2.2.2.2:4160")
    await settle()

    assert lookupd.registered == {("t", "")}
    assert [(s.state, s.error) for s in found.states()] == [
        ("waiting", "connection refused"),
        ("connected", ""),
    ]


async def test_mute_nsqlookupd_is_given_up_and_tried_again(
    autojump_clock, network, registrar, topics
):
    lookupd = network.add("1.1.1.1")
    found = registrar("1.1.1.1:4160")
    await settle()
    lookupd.mute = True
    found.changed("create", topic("t"), None)
    await trio.sleep(11)
    assert found.states()[0].error == "no answer in time"

    lookupd.mute = False
    topics["t"] = topic("t")
    await trio.sleep(30)
    assert found.states()[0].state == "connected"
    assert lookupd.registered == {("t", "")}


async def test_dead_nsqlookupd_is_tried_ever_more_rarely_and_logged_once(
    autojump_clock, network, registrar, caplog
):
    registrar("1.1.1.1:4160")
    await trio.sleep(600)

    assert 40 < network.attempts < 100
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


# Seconds in which one that is away is tried more often than a float can be doubled.
HOURS = 5 * 3600


@pytest.mark.slow
async def test_an_nsqlookupd_that_is_away_for_hours_does_not_end_nsqd(
    autojump_clock, network, registrar, topics
):
    topics["t"] = topic("t")
    found = registrar("1.1.1.1:4160")
    await trio.sleep(HOURS)
    assert network.attempts > sys.float_info.max_exp
    assert found.states()[0].state == "waiting"

    lookupd = network.add("1.1.1.1")
    await trio.sleep(20)
    assert lookupd.registered == {("t", "")}


@pytest.mark.slow
async def test_a_name_that_does_not_resolve_for_hours_is_tried_until_it_does(
    autojump_clock, network, registrar, topics
):
    topics["t"] = topic("t")
    registrar("lookup:4160")
    await trio.sleep(HOURS)

    lookupd = network.add("1.1.1.1")
    network.names["lookup"] = [("1.1.1.1", 4160)]
    await trio.sleep(20)
    assert lookupd.registered == {("t", "")}


@pytest.mark.slow
async def test_an_nsqlookupd_that_is_mute_for_hours_is_told_everything_in_the_end(
    autojump_clock, network, registrar, topics
):
    topics["t"] = topic("t")
    lookupd = network.add("1.1.1.1")
    lookupd.mute = True
    registrar("1.1.1.1:4160")
    await trio.sleep(HOURS)

    lookupd.mute = False
    await trio.sleep(60)
    assert lookupd.registered == {("t", "")}


@pytest.mark.parametrize(
    "error",
    [OverflowError("x"), RuntimeError("can't start new thread"), UnicodeError("x"), KeyError()],
)
async def test_no_failure_of_one_registration_ends_the_others(
    autojump_clock, network, registrar, error, caplog
):
    other = network.add("2.2.2.2")
    dial = network.connect

    async def connect(host: str, port: int) -> trio.abc.Stream:
        if host == "1.1.1.1" and network.attempts < 5:
            network.attempts += 1
            raise error
        return await dial(host, port)

    network.connect = connect
    first = network.add("1.1.1.1")
    registrar("1.1.1.1:4160", "2.2.2.2:4160")
    await trio.sleep(120)

    assert len(first.connections) == len(other.connections) == 1
    assert "1.1.1.1:4160" in caplog.text


async def test_refusing_nsqlookupd_is_not_flooded(autojump_clock, network, registrar):
    lookupd = network.add("1.1.1.1")
    lookupd.error = b"E_INVALID go away"
    found = registrar("1.1.1.1:4160")
    await trio.sleep(600)

    assert network.attempts < 100
    assert found.states()[0].error == "E_INVALID go away"


async def test_flapping_nsqlookupd_does_not_disturb_the_others(
    autojump_clock, network, registrar, topics
):
    flapping, *steady = (network.add(f"10.0.0.{n}") for n in range(3))
    topics["t"] = topic("t", "c")
    found = registrar("10.0.0.0:4160", "10.0.0.1:4160", "10.0.0.2:4160")
    for number in range(40):
        await trio.sleep(3)
        flapping.refuse = bool(number % 2)
        await flapping.forget_all()
        found.changed("create", topic(f"t{number}"), None)
    await settle()

    for fake in steady:
        assert len(fake.identities) == 1
        assert len(fake.registered) == 41
    assert len(flapping.identities) > 2  # the pauses are drawn by lot


@pytest.mark.parametrize("address", ["nonsense", "host:port", "host:0", "1.1.1.1", "nowhere:4160"])
async def test_address_that_leads_nowhere_is_reported_and_harms_nobody(
    autojump_clock, address, network, registrar, caplog
):
    lookupd = network.add("1.1.1.1")
    found = registrar(address, "1.1.1.1:4160")
    await trio.sleep(60)

    assert [state.state for state in found.states()] == ["waiting", "connected"]
    assert found.states()[0].error
    assert lookupd.identities
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


# ---------------------------------------------------------------- addresses


async def test_addresses_can_be_exchanged_at_run_time(autojump_clock, network, registrar, topics):
    first, second = network.add("1.1.1.1"), network.add("2.2.2.2")
    topics["t"] = topic("t", "c")
    found = registrar("1.1.1.1:4160")
    await settle()
    found.set_addresses(["2.2.2.2:4160", "2.2.2.2:4160"])
    await settle()

    assert first.connections == []
    assert second.registered == {("t", "c")}
    assert len(found.states()) == 1
    found.set_addresses([])
    await settle()
    assert second.connections == []
    assert found.states() == []


async def test_name_of_many_addresses_stands_for_all_of_them(
    autojump_clock, network, registrar, topics
):
    fakes = [network.add(f"10.0.0.{n}") for n in range(3)]
    network.names["lookupd"] = [("10.0.0.0", 4160), ("10.0.0.1", 4160)]
    topics["t"] = topic("t")
    found = registrar("lookupd:4160")
    await settle()
    assert [bool(fake.connections) for fake in fakes] == [True, True, False]

    network.names["lookupd"] = [("10.0.0.1", 4160), ("10.0.0.2", 4160)]
    await trio.sleep(31)
    assert [bool(fake.connections) for fake in fakes] == [False, True, True]
    assert fakes[2].registered == {("t", "")}
    assert len(fakes[1].identities) == 1
    assert sorted(s.address for s in found.states()) == ["10.0.0.1:4160", "10.0.0.2:4160"]


async def test_name_that_no_longer_resolves_keeps_its_connections(
    autojump_clock, network, registrar
):
    lookupd = network.add("lookupd")
    network.names["lookupd"] = [("lookupd", 4160)]
    registrar("lookupd:4160")
    await settle()
    del network.names["lookupd"]
    await trio.sleep(300)

    assert len(lookupd.identities) == 1
    assert lookupd.connections


async def test_nsqlookupd_with_two_addresses_is_told_once(autojump_clock, network, registrar):
    lookupd = network.add("10.0.0.1", name="same")
    network.hosts["10.0.0.2", 4160] = lookupd
    network.names["lookupd"] = [("10.0.0.1", 4160), ("10.0.0.2", 4160)]
    found = registrar("lookupd:4160")
    await settle()

    assert len(lookupd.connections) == 1
    assert sorted(s.state for s in found.states()) == ["connected", "waiting"]


# ---------------------------------------------------------------- channels of a new topic


async def test_new_topic_gets_the_durable_channels_others_have(
    autojump_clock, network, registrar, source
):
    network.add("1.1.1.1", name="lk1")
    source.channels = ["a", "b", "tmp#ephemeral", "bad name"]
    found = registrar("1.1.1.1:4160", "2.2.2.2:4160")

    assert await found.existing_channels("t") == ["a", "b"]
    assert source.asked == [("t", ["lk1:4161"])]


async def test_failing_questions_are_logged_and_tell_nothing(
    autojump_clock, network, registrar, source, caplog
):
    network.add("1.1.1.1")
    source.failures = ["lk1:4161 is silent"]
    found = registrar("1.1.1.1:4160")
    await settle()

    assert await found.existing_channels("t") is None
    assert "pre-create for topic t - lk1:4161 is silent" in caplog.text


async def test_new_topic_does_not_wait_for_dead_nsqlookupd(
    autojump_clock, network, registrar, source, caplog
):
    found = registrar("1.1.1.1:4160")
    before = trio.current_time()

    assert await found.existing_channels("t") == []
    assert trio.current_time() - before <= 1
    assert source.asked == []
    assert "no available nsqlookupd to query" in caplog.text


async def test_without_nsqlookupd_nobody_is_asked(autojump_clock, registrar, source, caplog):
    found = registrar()

    assert await found.existing_channels("t") == []
    assert not caplog.records


@pytest.fixture
async def open_topics(network, registrar, source, nursery, tmp_path):
    """Makes many topics at once, beside an nsqlookupd that takes two seconds for each answer."""

    async def make(number: int) -> tuple[Broker, float]:
        network.add("1.1.1.1")
        found = registrar("1.1.1.1:4160")
        await settle()
        await found.existing_channels("first")  # a thread opens the source, in which time jumps
        source.takes, source.most_at_once = 2.0, 0
        broker = open_broker(DiskStore(str(tmp_path), warn=print))
        broker.hold_new_topics = True
        topic_channels = TopicChannels(broker, found, lambda: None)
        broker.on_change(Changes(found, topic_channels).changed)
        nursery.start_soon(topic_channels.run)
        await settle()
        before = trio.current_time()
        for topic in [broker.create_topic(f"t{index}") for index in range(number)]:
            await topic_channels.wait(topic)
            assert topic.is_open
        return broker, trio.current_time() - before

    return make


@pytest.mark.slow
async def test_a_stuck_nsqlookupd_holds_many_new_topics_up_for_one_timeout(
    autojump_clock, open_topics, source
):
    source.failures = ["lk:4161 is silent"]
    _, took = await open_topics(10 * MAX_QUESTIONS)

    assert took == pytest.approx(2.0)
    assert source.most_at_once == MAX_QUESTIONS


@pytest.mark.slow
async def test_a_slow_nsqlookupd_tells_every_new_topic_its_channels(
    autojump_clock, open_topics, source
):
    source.channels = ["c"]
    broker, _ = await open_topics(3 * MAX_QUESTIONS)

    assert {len(topic.channels) for topic in broker.topics.values()} == {1}
    assert source.most_at_once == MAX_QUESTIONS


async def test_its_questions_are_closed_with_it(autojump_clock, network, source):
    network.add("1.1.1.1")
    async with trio.open_nursery() as own:
        found = LookupRegistrar(
            lambda local: IDENTITY,
            {},
            ("1.1.1.1:4160",),
            connect=network.connect,
            resolve=network.resolve,
            open_source=lambda *_: source,
        )
        own.start_soon(found.run)
        await found.existing_channels("t")
        own.cancel_scope.cancel()

    assert source.closed
