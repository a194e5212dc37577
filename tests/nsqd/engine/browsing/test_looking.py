"""Looking changes nothing: an nsqd that is looked at all the time does as one that never is."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nsqd.broker import open_broker

from nsqd.engine.browsing.looking import Page, look_deferred, look_in_flight, look_queued
from nsqd.engine.browsing.searching import find, find_waiting
from nsqd.engine.channel import Channel
from nsqd.engine.delivery.consumer import Consumer
from nsqd.engine.stats import ChannelStats, TopicStats
from nsqd.storage.diskqueue.store import DiskStore

SECOND = 1_000_000_000
MEMORY = 3


@define(eq=False)
class Reader:
    """A client that keeps what it gets."""

    got: list[bytes] = Factory(list)

    def send(self, records: list[bytes]) -> None:
        self.got += records

    def unread(self) -> int:
        return 0

    def when_drained(self, call: Any) -> None:
        pass

    def channel_deleted(self) -> None:
        pass


@define(eq=False, slots=False)
class Life:
    """An nsqd in ``directory``, and what happens to it."""

    directory: str
    looks: bool
    now: int = 0
    readers: list[Reader] = Factory(lambda: [Reader(), Reader()])
    told: list[str | None] = Factory(list)

    def __attrs_post_init__(self) -> None:
        store = DiskStore(self.directory, max_bytes_per_file=500, warn=self.warn)
        self.broker = open_broker(store, mem_queue_size=MEMORY)
        self.channel = self.broker.create_channel("t", "c")
        self.consumers = [Consumer(reader, 5 * SECOND, 60 * SECOND) for reader in self.readers]
        for consumer in self.consumers:
            self.channel.add(consumer)

    def warn(self, message: str) -> None:
        raise AssertionError(message)

    def act(self, step: tuple[str, int]) -> None:
        kind, number = step
        consumer = self.consumers[number % 2]
        if kind == "publish":
            bodies = [b"body %d" % at for at in range(number)]
            self.broker.publish("t", bodies, self.now, self.told.append)
        elif kind == "defer":
            self.broker.publish("t", [b"late"], self.now, self.told.append, delay=number * SECOND)
        elif kind == "ready":
            consumer.ready = number
            self.broker.mark_ready(self.channel)
        elif kind == "finish":
            self.channel.finish(consumer, list(consumer.in_flight)[:number], self.now)
            self.broker.mark_ready(self.channel)
        elif kind == "requeue" and consumer.in_flight:
            delay = (number % 3) * SECOND
            self.channel.requeue(consumer, [next(iter(consumer.in_flight))], delay, self.now)
            self.broker.mark_ready(self.channel)
        elif kind == "wait":
            self.now += number * SECOND
            self.broker.expire(self.now)
        elif kind == "pause":
            self.broker.pause_topic(self.broker.topics["t"], paused=bool(number % 2))
        self.broker.dispatch(self.now)
        if self.looks:
            look_at_all(self.channel, self.broker.topics["t"], number)

    def all(self) -> Any:
        """Whatever can be told of it from outside."""
        topic = self.broker.topics["t"]
        counts = [vars_of(ChannelStats.of(self.channel, 0)), vars_of(TopicStats.of(topic, 0))]
        files = {path.name: path.read_bytes() for path in sorted(Path(self.directory).iterdir())}
        return counts, [reader.got for reader in self.readers], self.told, files


def vars_of(stats: Any) -> dict[str, Any]:
    return {name: getattr(stats, name) for name in stats.__slots__ if not name.startswith("__")}


def look_at_all(channel: Channel, topic: Any, limit: int) -> dict[str, list[bytes]]:
    """Every page of everything, and a search of what is not there; what was seen, by state."""
    sources = {
        "queued": lambda page: look_queued(page, channel.queue.look),
        "waiting": lambda page: look_queued(page, topic.look),
        "deferred": lambda page: look_deferred(page, channel.queue.look_deferred(), 0),
        "in_flight": lambda page: look_in_flight(page, channel, 0),
    }
    seen: dict[str, list[bytes]] = {name: [] for name in sources}
    for name, source in sources.items():
        place: Any = ()
        while place is not None:
            page = Page(place, max(limit, 1), lambda sight: True)
            page.add = lambda sight, name=name: seen[name].append(sight.record) or True
            for _ in source(page):
                pass
            place = page.next
    for search in (find(channel, {b"x" * 16}, lambda *_: None),
                   find_waiting(topic, {b"x" * 16}, lambda *_: None)):  # fmt: skip
        for _ in search:
            pass
    return seen


kinds = st.sampled_from(["publish", "defer", "ready", "finish", "requeue", "wait", "pause"])
steps = st.lists(st.tuples(kinds, st.integers(0, 12)), max_size=40)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(steps)
def test_looking_changes_nothing(given_steps):
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        watched, alone = Life(one, looks=True), Life(other, looks=False)
        for step in given_steps:
            watched.act(step)
            alone.act(step)
            assert watched.all() == alone.all()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(steps)
def test_everything_is_seen_once(given_steps):
    with TemporaryDirectory() as directory:
        life = Life(directory, looks=False)
        for step in given_steps:
            life.act(step)
        channel, topic = life.channel, life.broker.topics["t"]
        seen = look_at_all(channel, topic, 2)
        assert len(seen["queued"]) == channel.depth
        assert len(seen["deferred"]) == channel.deferred_count
        assert len(seen["waiting"]) == topic.depth - topic.deferred_count
        assert sorted(seen["in_flight"]) == sorted(
            record for consumer in life.consumers for record in consumer.in_flight.values()
        )
        ids = [record[10:26] for records in seen.values() for record in records]
        assert len(ids) == len(set(ids))
