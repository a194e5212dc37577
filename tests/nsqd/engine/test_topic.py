import pytest
from tests.nsqd.broker import publish

from nsqd.engine.errors import Exiting
from nsqd.engine.topic import DRAIN_STEP

SECOND = 1_000_000_000


@pytest.fixture
def topic(broker):
    return broker.create_topic("t")


def bodies(queue):
    """What is in ``queue``, which has nothing left then."""
    return sorted(record[26:] for record in queue.take(1_000_000))


# ------------------------------------------------------------------ fan-out


def test_every_channel_gets_every_message(topic, records):
    channels = [topic.create_channel(name)[0] for name in "abc"]
    topic.put(records(3), size=3)
    assert [bodies(channel.queue) for channel in channels] == [[b"0", b"1", b"2"]] * 3
    assert topic.depth == 0
    assert (topic.message_count, topic.message_bytes) == (3, 3)


def test_channel_made_later_gets_what_comes_later(topic, records):
    first, _ = topic.create_channel("first")
    topic.put(records([b"early"]), size=5)
    second, _ = topic.create_channel("second")
    topic.put(records([b"late"]), size=4)
    assert bodies(first.queue) == [b"early", b"late"]
    assert bodies(second.queue) == [b"late"]


def test_topic_tells_which_channels_have_something_to_deliver(broker, new_client):
    broker.create_channel("t", "a"), broker.create_channel("t", "b")
    clients = [new_client(), new_client()]
    for client, name in zip(clients, "ab", strict=True):
        broker.create_channel("t", name).add(client.consumer)
    publish(broker, "t", [b"x"], now=0)
    broker.dispatch(now=0)
    assert [client.bodies() for client in clients] == [[b"x"], [b"x"]]


def test_large_batch_is_shared_by_channels_without_mixing_them_up(topic, records):
    first, second = topic.create_channel("a")[0], topic.create_channel("b")[0]
    topic.put(records(100), size=0)
    assert len(first.queue.take(70)) == 70
    topic.put(records([b"next"]), size=0)
    assert (first.depth, second.depth) == (31, 101)
    assert first.queue.take(31)[-1][26:] == b"next"


# ------------------------------------------------------------------ waiting


def test_topic_without_channels_keeps_its_messages_for_the_first(topic, records):
    topic.put(records(3), size=3)
    assert (topic.depth, topic.backlog) == (3, False)
    first, made = topic.create_channel("first")
    assert made
    assert topic.backlog
    topic.drain(now=0)
    assert (topic.depth, topic.backlog) == (0, False)
    second, _ = topic.create_channel("second")
    assert bodies(first.queue) == [b"0", b"1", b"2"]
    assert second.depth == 0


def test_paused_topic_keeps_its_messages_until_it_goes_on(topic, records):
    channel, _ = topic.create_channel("c")
    topic.paused = True
    topic.put(records(2), size=2)
    assert (topic.depth, channel.depth, topic.backlog) == (2, 0, False)
    topic.paused = False
    topic.drain(now=0)
    assert (topic.depth, channel.depth) == (0, 2)


def test_shut_topic_keeps_its_messages_until_it_is_opened(topic, records):
    topic.is_open = False
    channel, _ = topic.create_channel("c")
    topic.put(records(2), size=2)
    assert (topic.depth, channel.depth, topic.backlog) == (2, 0, False)
    topic.is_open = True
    assert topic.backlog


def test_new_messages_do_not_overtake_those_that_wait(topic, records):
    topic.put(records([b"first"]), size=5)
    channel, _ = topic.create_channel("c")
    topic.put(records([b"second"]), size=6)
    assert topic.depth == 2
    topic.drain(now=0)
    assert [record[26:] for record in channel.queue.take(10)] == [b"first", b"second"]


def test_long_backlog_is_moved_in_steps(topic, records):
    topic.put(records(DRAIN_STEP + 10), size=0)
    channel, _ = topic.create_channel("c")
    assert topic.drain(now=0)
    assert (topic.depth, channel.depth, topic.backlog) == (10, DRAIN_STEP, True)
    assert topic.drain(now=0)
    assert (topic.depth, channel.depth, topic.backlog) == (0, DRAIN_STEP + 10, False)


def test_backlog_beyond_memory_is_on_disk(new_broker, records):
    topic = new_broker(mem_queue_size=2).create_topic("t")
    topic.put(records(5), size=5)
    assert (topic.depth, topic.backend_depth, topic.on_disk) == (5, 3, 3)
    topic.create_channel("c")
    topic.drain(now=0)
    assert (topic.depth, topic.backend_depth, topic.on_disk) == (0, 0, 3)


# ------------------------------------------------------------------ deferred


def test_deferred_message_is_deferred_on_every_channel(topic, records):
    channels = [topic.create_channel(name)[0] for name in "ab"]
    topic.defer(records([b"x"]), 1, delay=5 * SECOND, now=SECOND)
    assert [channel.deferred_count for channel in channels] == [1, 1]
    assert (topic.depth, topic.message_count, topic.message_bytes) == (0, 1, 1)
    for channel in channels:
        assert not channel.expire(now=6 * SECOND - 1)
        assert channel.expire(now=6 * SECOND)
        assert bodies(channel.queue) == [b"x"]


def test_deferred_message_without_a_channel_waits_and_is_deferred_from_then_on(topic, records):
    topic.defer(records([b"x"]), 1, delay=5 * SECOND, now=0)
    assert topic.depth == 1
    channel, _ = topic.create_channel("c")
    topic.drain(now=100 * SECOND)
    assert (topic.depth, channel.deferred_count, channel.depth) == (0, 1, 0)
    assert not channel.expire(now=105 * SECOND - 1)
    assert channel.expire(now=105 * SECOND)


# ------------------------------------------------------------------ a disk that fails


def test_publish_that_the_disk_refuses_leaves_nothing(new_broker, records, directory):
    topic = new_broker(mem_queue_size=0).create_topic("t")
    directory.rmdir()
    with pytest.raises(OSError, match="No such file"):
        topic.put(records(3), size=3)
    assert (topic.depth, topic.message_count, topic.message_bytes) == (0, 0, 0)
    directory.mkdir()
    topic.put(records(2), size=2)
    assert (topic.depth, topic.message_count) == (2, 2)


def test_backlog_that_cannot_move_stays(new_broker, records, directory):
    broker = new_broker(mem_queue_size=5)
    topic = broker.create_topic("t")
    topic.put(records(5), size=5)
    full, _ = topic.create_channel("full")
    full.put(records(3))
    directory.rmdir()
    with pytest.raises(OSError, match="No such file"):
        topic.drain(now=0)
    assert (topic.depth, full.depth) == (5, 3)
    directory.mkdir()
    topic.drain(now=0)
    assert (topic.depth, full.depth) == (0, 8)


# ------------------------------------------------------------------ the whole


def test_channel_is_made_once(topic):
    channel, made = topic.create_channel("c")
    assert made
    assert topic.create_channel("c") == (channel, False)
    assert (channel.topic, channel.name) == ("t", "c")


def test_emptied_topic_has_no_messages_of_its_own(new_broker, records):
    topic = new_broker(mem_queue_size=2).create_topic("t")
    topic.put(records(5), size=5)
    topic.defer(records(1), 1, delay=5, now=0)
    topic.empty()
    assert (topic.depth, topic.backend_depth) == (0, 0)
    channel, _ = topic.create_channel("c")
    topic.drain(now=0)
    assert (channel.depth, channel.deferred_count) == (0, 0)


def test_emptying_a_topic_leaves_its_channels_alone(topic, records):
    channel, _ = topic.create_channel("c")
    topic.put(records(2), size=2)
    topic.empty()
    assert channel.depth == 2


def test_deleted_topic_takes_nothing_any_more(new_broker, records, directory):
    topic = new_broker(mem_queue_size=0).create_topic("t")
    topic.put(records(3), size=3)
    topic.delete()
    assert (topic.depth, list(directory.iterdir())) == (0, [])
    with pytest.raises(Exiting):
        topic.put(records(1), size=1)
    with pytest.raises(Exiting):
        topic.defer(records(1), 1, delay=5, now=0)
    with pytest.raises(Exiting):
        topic.create_channel("c")


def test_closed_topic_has_everything_on_disk_deferred_messages_too(new_broker, records):
    topic = new_broker().create_topic("t")
    topic.put(records([b"a", b"b"]), size=2)
    topic.defer(records([b"later"]), 5, delay=5, now=0)
    topic.close()
    again = new_broker().create_topic("t")
    assert (again.depth, again.backend_depth) == (3, 3)
    assert bodies(again.queue) == [b"a", b"b", b"later"]


def test_ephemeral_topic_is_never_on_disk(new_broker, records, directory):
    topic = new_broker(mem_queue_size=2).create_topic("t#ephemeral")
    topic.put(records(5), size=5)
    topic.defer(records(1), 1, delay=5, now=0)
    assert (topic.ephemeral, topic.depth, topic.backend_depth) == (True, 3, 0)
    topic.close()
    assert topic.depth == 0
    assert list(directory.iterdir()) == []
