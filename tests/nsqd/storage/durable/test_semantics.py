"""What topics and channels do is the same on a log, and outlives a kill: empty, pause, delete,
sampling, ephemeral ones, and what is published before there is a channel."""

import pytest
from tests.nsqd.engine.conftest import new_client
from tests.nsqd.storage.durable.test_moves import bodies, publish, start, tick

SECOND = 1_000_000_000


def drain(broker, client) -> list[bytes]:
    """What the client gets, which it finishes."""
    found = []
    for _ in range(20):
        broker.dispatch(0)
        records = list(client.consumer.in_flight.items())
        found += [record[26:] for _, record in records]
        client.channel.finish(client.consumer, [id for id, _ in records], 0)
    tick(broker)
    return found


def pause(broker, *, paused: bool) -> None:
    broker.pause_channel(broker.create_topic("t"), broker.create_channel("t", "c"), paused=paused)
    tick(broker)


@pytest.mark.parametrize("killed", [False, True])
def test_the_first_channel_gets_what_was_published_before_and_the_second_does_not(tmp_path, killed):
    broker = start(tmp_path)
    broker.create_topic("t")
    publish(broker, "t", b"1", b"2")
    assert broker.topics["t"].depth == 2
    if killed:
        broker = start(tmp_path)
        assert broker.topics["t"].depth == 2
    broker.create_channel("t", "first")
    broker.create_channel("t", "second")
    publish(broker, "t", b"3")
    assert bodies(broker, "t", "first") == [b"1", b"2", b"3"]
    assert bodies(broker, "t", "second") == [b"3"]


@pytest.mark.parametrize("killed", [False, True])
def test_an_emptied_channel_has_nothing_and_the_others_all(tmp_path, killed):
    broker = start(tmp_path)
    for name in ("c", "d"):
        broker.create_channel("t", name)
    publish(broker, "t", b"1", b"2")
    client = new_client(ready=1).join(broker)
    broker.dispatch(0)
    assert len(client.consumer.in_flight) == 1
    broker.topics["t"].channels["c"].empty()
    publish(broker, "t", b"3")
    if killed:
        broker = start(tmp_path)
        assert bodies(broker, "t", "c") == [b"3"]
    assert bodies(broker, "t", "d") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("killed", [False, True])
def test_an_emptied_topic_has_nothing_for_its_first_channel(tmp_path, killed):
    broker = start(tmp_path)
    broker.create_topic("t")
    publish(broker, "t", b"1", b"2")
    broker.topics["t"].empty()
    publish(broker, "t", b"3")
    if killed:
        broker = start(tmp_path)
    assert broker.topics["t"].depth == 1
    broker.create_channel("t", "c")
    assert bodies(broker, "t", "c") == [b"3"]


@pytest.mark.parametrize("deleted", ["topic", "channel"])
def test_what_is_deleted_stays_so_and_begins_empty_when_it_is_made_again(tmp_path, deleted):
    broker = start(tmp_path)
    for name in ("c", "d"):
        broker.create_channel("t", name)
    publish(broker, "t", b"1")
    topic = broker.topics["t"]
    if deleted == "topic":
        broker.delete_topic(topic)
    else:
        broker.delete_channel(topic, topic.channels["c"])
    tick(broker)
    broker = start(tmp_path)
    if deleted == "topic":
        assert "t" not in broker.topics
    else:
        assert list(broker.topics["t"].channels) == ["d"]
    assert bodies(broker, "t", "c") == []
    assert bodies(broker, "t", "d") == ([] if deleted == "topic" else [b"1"])


@pytest.mark.parametrize("killed", [False, True])
def test_a_paused_channel_delivers_nothing_and_keeps_all(tmp_path, killed):
    broker = start(tmp_path)
    pause(broker, paused=True)
    publish(broker, "t", b"1")
    if killed:
        broker = start(tmp_path)
        (found,) = broker.storage.store.topics["t"].state.channels
        assert found.paused
        pause(broker, paused=True)  # as `restore` does
    client = new_client(ready=5).join(broker)
    assert drain(broker, client) == []
    pause(broker, paused=False)
    assert drain(broker, client) == [b"1"]


def test_a_consumer_that_samples_lets_go_of_the_rest_for_good(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    publish(broker, "t", *[b"%d" % number for number in range(400)])
    client = new_client(ready=400, sample_rate=50).join(broker)
    found = drain(broker, client)
    assert 50 < len(found) < 350
    assert bodies(start(tmp_path), "t", "c") == []


def test_ephemeral_topics_are_in_memory_and_ephemeral_channels_hold_no_file_back(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("e#ephemeral", "c")
    publish(broker, "e#ephemeral", b"1")
    assert not broker.topics["e#ephemeral"].durable
    broker.create_channel("t", "c#ephemeral")
    publish(broker, "t", b"2")
    log = broker.storage.store.topics["t"]
    assert log.queues == {}
    assert bodies(broker, "t", "c#ephemeral") == [b"2"]
    again = start(tmp_path)
    assert "e#ephemeral" not in again.topics
    assert list(again.topics["t"].channels) == []


def test_after_a_kill_no_id_is_given_out_again_though_the_clock_was_set_back(tmp_path):
    """Ids of a burst, or of a clock that was set back, are ahead of the clock."""
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    publish(broker, "t", *[b"%d" % number for number in range(9000)])
    publish(broker, "t", b"last")
    given = seen_ids(broker)
    broker = start(tmp_path)  # killed, and no later by the clock
    publish(broker, "t", *[b"%d" % number for number in range(9000)])
    found = seen_ids(broker)
    assert len(set(found)) == len(found) == 2 * 9000 + 1
    assert max(given) < min(set(found) - set(given))


def seen_ids(broker) -> list[bytes]:
    """The ids of what is queued, by looking."""
    ids: list[bytes] = []
    place: tuple[int, ...] | None = ()
    while place is not None:
        seen = broker.topics["t"].channels["c"].queue.look(place, 1000)
        ids += [record[10:26] for record in seen.records]
        place = seen.next
    return ids


@pytest.mark.parametrize("durable", [False, True])
def test_a_channel_counts_what_waited_in_the_topic_for_it(tmp_path, durable):
    broker = start(tmp_path, durability="always" if durable else "none")
    topic = broker.create_topic("t")
    publish(broker, "t", b"1", b"2")
    first = broker.create_channel("t", "first")
    broker.dispatch(0)
    assert first.message_count == 2
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", b"3")
    broker.pause_topic(topic, paused=False)
    broker.dispatch(0)
    second = broker.create_channel("t", "second")
    publish(broker, "t", b"4")
    assert (first.message_count, second.message_count, topic.message_count) == (4, 1, 4)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_a_paused_topic_that_is_emptied_gives_its_channels_nothing(tmp_path, killed, behind):
    broker = start(tmp_path)
    topic = broker.create_topic("t")
    broker.create_channel("t", "c")
    if behind:
        publish(broker, "t", b"1")
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", b"2", b"3")
    topic.empty()
    publish(broker, "t", b"4")
    if killed:
        broker = start(tmp_path)
        topic = broker.topics["t"]
    assert topic.depth == 1
    broker.pause_topic(topic, paused=False)
    assert topic.channels["c"].depth == (2 if behind else 1)
    assert bodies(broker, "t", "c") == ([b"1", b"4"] if behind else [b"4"])
