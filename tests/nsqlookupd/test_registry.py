"""Who has which topics and channels."""

import random
import tracemalloc

import pytest

from nsqcore.wire.lookup import Peer
from nsqlookupd.registry import Producer, Registry

SECOND = 1_000_000_000


@pytest.fixture
def registry():
    return Registry(300 * SECOND, 45 * SECOND)


def producer(number=1, *, registry=None, seen=0):
    made = Producer(f"10.0.0.{number}:{number}", Peer(f"host{number}", 1, number, "1.3.0"), seen)
    if registry is not None:
        registry.add(made)
    return made


def found(registry, topic, now=0):
    return list(registry.active_producers(registry.topics[topic], now=now))


def test_registering_a_channel_registers_its_topic(registry):
    one = producer(registry=registry)
    assert registry.register(one, "t", "c")
    assert found(registry, "t") == [one]
    assert list(registry.topics["t"].channels) == ["c"]


def test_registering_again_is_no_news(registry):
    one = producer(registry=registry)
    assert registry.register(one, "t")
    assert registry.register(one, "t", "c")
    assert not registry.register(one, "t", "c")
    assert found(registry, "t") == [one]


def test_unregistering_a_channel_leaves_the_topic_and_both_names(registry):
    one = producer(registry=registry)
    registry.register(one, "t", "c")
    assert registry.unregister(one, "t", "c")
    assert not registry.unregister(one, "t", "c")
    assert found(registry, "t") == [one]
    assert registry.topics["t"].channels == {"c": []}


def test_unregistering_a_topic_leaves_its_channels_too(registry):
    one, two = producer(1, registry=registry), producer(2, registry=registry)
    for each in (one, two):
        registry.register(each, "t", "c")
    assert registry.unregister(one, "t")
    assert found(registry, "t") == [two]
    assert registry.topics["t"].channels == {"c": [two]}


def test_unregistering_what_nobody_knows_is_no_news(registry):
    one = producer(registry=registry)
    assert not registry.unregister(one, "t")
    assert not registry.unregister(one, "t", "c")
    registry.create("t")
    assert not registry.unregister(one, "t", "c")


def test_an_ephemeral_name_goes_with_its_last_producer(registry):
    one, two = producer(1, registry=registry), producer(2, registry=registry)
    for each in (one, two):
        registry.register(each, "t", "c#ephemeral")
        registry.register(each, "e#ephemeral", "c")
    registry.unregister(one, "t", "c#ephemeral")
    registry.unregister(one, "e#ephemeral")
    assert set(registry.topics) == {"t", "e#ephemeral"}
    assert set(registry.topics["t"].channels) == {"c#ephemeral"}
    registry.unregister(two, "t", "c#ephemeral")
    registry.unregister(two, "e#ephemeral")
    assert set(registry.topics) == {"t"}
    assert not registry.topics["t"].channels


def test_a_producer_that_is_gone_leaves_only_names(registry):
    one, two = producer(1, registry=registry), producer(2, registry=registry)
    for each in (one, two):
        registry.register(each, "t", "c")
    registry.remove(one)
    assert list(registry.producers) == [two]
    assert found(registry, "t") == [two]
    registry.remove(two)
    assert registry.topics["t"].channels == {"c": []}
    registry.remove(two)


def test_a_deleted_topic_comes_back_with_the_next_registration(registry):
    one = producer(registry=registry)
    registry.register(one, "t", "c")
    assert registry.delete_topic("t")
    assert not registry.delete_topic("t")
    assert not one.topics
    registry.register(one, "t", "d")
    assert found(registry, "t") == [one]
    assert list(registry.topics["t"].channels) == ["d"]


def test_a_deleted_channel_is_gone_from_its_topic_alone(registry):
    one = producer(registry=registry)
    registry.register(one, "t", "c")
    assert registry.delete_channel("t", "c")
    assert not registry.delete_channel("t", "c")
    assert not registry.delete_channel("u", "c")
    assert found(registry, "t") == [one]
    registry.remove(one)


def test_a_created_topic_has_no_producers(registry):
    registry.create("t", "c")
    assert registry.create("t") is registry.topics["t"]
    assert found(registry, "t") == []


def test_a_silent_producer_is_hidden_until_it_pings(registry):
    one = producer(registry=registry, seen=10)
    registry.register(one, "t")
    assert found(registry, "t", now=10 + 300 * SECOND) == [one]
    assert found(registry, "t", now=11 + 300 * SECOND) == []
    assert not registry.is_active(one, now=11 + 300 * SECOND)
    one.seen = 11 + 300 * SECOND
    assert found(registry, "t", now=11 + 300 * SECOND) == [one]


def test_a_tombstone_hides_a_producer_from_one_topic_for_its_lifetime(registry):
    one, two = producer(1, registry=registry), producer(2, registry=registry)
    for each in (one, two):
        registry.register(each, "t")
        registry.register(each, "u")
    assert registry.tombstone("t", "host1:1", now=0) == 1
    assert registry.tombstone("nowhere", "host1:1", now=0) == 0
    assert found(registry, "t") == [two]
    assert found(registry, "u") == [one, two]
    assert found(registry, "t", now=45 * SECOND) == [one, two]


def test_a_tombstone_is_lifted_by_unregistering_not_by_registering(registry):
    one = producer(registry=registry)
    registry.register(one, "t")
    registry.tombstone("t", "host1:1", now=0)
    registry.register(one, "t")
    assert found(registry, "t") == []
    registry.unregister(one, "t")
    registry.register(one, "t")
    assert found(registry, "t") == [one]


@pytest.mark.slow
def test_both_indexes_tell_the_same_whatever_happens(registry):
    """Random changes against a plain set of facts."""
    random.seed(7)
    facts = set()
    producers = [producer(n, registry=registry) for n in range(4)]
    for _ in range(3000):
        who = random.choice(producers)
        topic, channel = random.choice("tuv"), random.choice(["", "c", "d"])
        what = random.randrange(6)
        if what < 3:
            registry.register(who, topic, channel)
            facts |= {(who, topic, ""), (who, topic, channel)}
        elif what == 3:
            registry.unregister(who, topic, channel)
            facts = {
                (p, t, c)
                for p, t, c in facts
                if not (p is who and t == topic and channel in ("", c))
            }
        elif what == 4:
            registry.remove(who)
            registry.add(who)
            facts = {fact for fact in facts if fact[0] is not who}
        else:
            registry.delete_topic(topic)
            facts = {fact for fact in facts if fact[1] != topic}
        known = {(p, t.name, "") for t in registry.topics.values() for p in t.producers}
        known |= {
            (p, t.name, c)
            for t in registry.topics.values()
            for c, found in t.channels.items()
            for p in found
        }
        assert known == facts
        assert {(p, t.name) for p in producers for t in p.topics} == {f[:2] for f in facts}


@pytest.mark.slow
def test_one_more_producer_of_many_topics_costs_little_memory(registry):
    """A hundredth of 20 000 topics with 2 channels and 50 producers: 1 MB for each 200 topics."""
    tracemalloc.start()
    try:
        for number in range(50):
            one = producer(number, registry=registry)
            for topic in range(200):
                registry.register(one, f"t{topic}", "a")
                registry.register(one, f"t{topic}", "b")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 1_500_000


def test_topics_that_no_nsqd_has_are_forgotten_after_their_time():
    registry = Registry(300, 45, topic_lifetime=100)
    nsqd = producer(registry=registry)
    registry.register(nsqd, "alive", "c")
    registry.register(nsqd, "left", "c")
    registry.create("bare", "c")
    assert registry.forget_idle_topics(now=1000) == []
    registry.unregister(nsqd, "left")
    assert registry.forget_idle_topics(now=1050) == []
    assert registry.forget_idle_topics(now=1100) == ["bare"]
    registry.register(nsqd, "left", "c")  # it is back in time
    assert registry.forget_idle_topics(now=1150) == []
    registry.remove(nsqd)
    assert registry.forget_idle_topics(now=1200) == []
    assert sorted(registry.forget_idle_topics(now=1300)) == ["alive", "left"]
    assert not registry.topics
