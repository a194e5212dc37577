import pytest
from tests.nsqd.broker import publish

from nsqcore.metrics.quantile import LatencyWindow
from nsqd.engine.delivery.consumer import MAX_UNREAD

SECOND = 1_000_000_000


def dispatch_all(broker, now=0):
    while broker.dispatch(now):
        pass


@pytest.fixture
def changes(broker):
    """What listeners of the broker were told."""
    told = []
    broker.on_change(
        lambda kind, topic, channel: told.append((kind, topic.name, channel and channel.name))
    )
    return told


# ------------------------------------------------------------------ publish and dispatch


def test_published_messages_reach_the_consumers_with_the_next_dispatch(broker, new_client):
    client = new_client(ready=5).join(broker)
    publish(broker, "t", [b"a", b"b"], now=0)
    assert client.bodies() == []
    broker.dispatch(now=0)
    assert client.bodies() == [b"a", b"b"]


def test_messages_carry_wall_clock_attempt_and_rising_ids_of_the_node(new_broker, new_client):
    broker = new_broker(node_id=777)
    broker.wall_offset = 1_700_000_000 * SECOND
    client = new_client(ready=5).join(broker)
    publish(broker, "t", [b"a", b"b"], now=5)
    publish(broker, "t", [b"c"], 6, delay=0)
    broker.dispatch(now=6)
    messages = client.messages()
    assert [message.timestamp - broker.wall_offset for message in messages] == [5, 5, 6]
    assert [message.attempts for message in messages] == [1, 1, 1]
    ids = [message.id for message in messages]
    assert ids == sorted(set(ids))
    assert {int(id, 16) >> 12 & 0x3FF for id in ids} == {777}


def test_publishing_counts_messages_and_bytes_of_bodies(broker):
    topic = publish(broker, "t", [b"ab", b"c"], now=0)
    publish(broker, "t", [b"defg"], 0, delay=5)
    assert (topic.message_count, topic.message_bytes, topic.depth) == (3, 7, 3)


def test_messages_of_a_topic_without_channels_wait_for_the_first(broker, new_client):
    publish(broker, "t", [b"a"], now=0)
    assert not broker.dispatch(now=0)
    client = new_client().join(broker)
    broker.dispatch(now=0)
    assert client.bodies() == [b"a"]


def test_long_backlog_is_moved_by_several_steps(broker, new_client):
    publish(broker, "t", [b"x"] * 12_000, now=0)
    client = new_client(ready=2500).join(broker)
    assert broker.dispatch(now=0)
    assert len(client.bodies()) == 2500
    assert broker.dispatch(now=0)
    assert not broker.dispatch(now=0)
    assert broker.topics["t"].depth == 0


def test_dispatch_with_nothing_to_do_does_nothing(broker):
    assert not broker.dispatch(now=0)


def test_room_made_by_a_finish_is_used_by_the_next_dispatch(broker, new_client):
    client = new_client(ready=1).join(broker)
    channel = broker.create_channel("t", "c")
    publish(broker, "t", [b"a", b"b"], now=0)
    broker.dispatch(now=0)
    channel.finish(client.consumer, client.ids(), wall=0)
    broker.mark_ready(channel)
    broker.dispatch(now=0)
    assert client.bodies() == [b"b"]


def test_slow_reader_gets_the_rest_once_it_has_read(broker, new_client):
    client = new_client(ready=5).join(broker)
    client.unread_bytes = MAX_UNREAD
    publish(broker, "t", [b"a"], now=0)
    broker.dispatch(now=0)
    assert client.bodies() == []
    client.unread_bytes = 0
    client.when_read()
    broker.dispatch(now=0)
    assert client.bodies() == [b"a"]


def test_client_that_reads_is_not_waited_for(broker, new_client):
    client = new_client(ready=1).join(broker)
    publish(broker, "t", [b"a", b"b"], now=0)
    broker.dispatch(now=0)
    assert client.when_read is None


# ------------------------------------------------------------------ time


def test_quiet_holder_loses_its_message_to_another(broker, new_client):
    quiet = new_client(ready=1, msg_timeout=10).join(broker)
    publish(broker, "t", [b"a"], now=0)
    broker.dispatch(now=0)
    quiet.consumer.ready = 0
    other = new_client(ready=1).join(broker)
    assert broker.deadlines.next == 10 * SECOND
    broker.expire(now=10 * SECOND)
    broker.dispatch(now=10 * SECOND)
    assert [(message.body, message.attempts) for message in other.messages()] == [(b"a", 2)]


def test_deferred_message_comes_when_it_is_due(broker, new_client):
    client = new_client().join(broker)
    publish(broker, "t", [b"later"], SECOND, delay=5 * SECOND)
    broker.expire(now=6 * SECOND - 1)
    broker.dispatch(now=6 * SECOND - 1)
    assert client.bodies() == []
    broker.expire(now=6 * SECOND)
    broker.dispatch(now=6 * SECOND)
    assert client.bodies() == [b"later"]


def test_expiry_of_finished_messages_changes_nothing(broker, new_client):
    client = new_client(msg_timeout=10).join(broker)
    channel = broker.create_channel("t", "c")
    publish(broker, "t", [b"a"], now=0)
    broker.dispatch(now=0)
    channel.finish(client.consumer, client.ids(), wall=0)
    broker.expire(now=10 * SECOND)
    broker.dispatch(now=10 * SECOND)
    assert client.bodies() == []
    assert channel.timeout_count == 0
    assert broker.deadlines.next is None


# ------------------------------------------------------------------ topics and channels


def test_topics_and_channels_are_made_once_and_listeners_told(broker, changes):
    topic = broker.create_topic("t")
    assert broker.create_topic("t") is topic
    channel = broker.create_channel("t", "c")
    assert broker.create_channel("t", "c") is channel
    broker.create_channel("u", "c")
    publish(broker, "v", [b"x"], now=0)
    assert changes == [
        ("create", "t", None),
        ("create", "t", "c"),
        ("create", "u", None),
        ("create", "u", "c"),
        ("create", "v", None),
    ]


def test_settings_reach_the_channels(new_broker):
    broker = new_broker(max_channel_consumers=3, topology_aware=True)
    broker.make_latency = lambda: LatencyWindow((0.5,), 600 * SECOND)
    channel = broker.create_channel("t", "c")
    assert (channel.rules.max_channel_consumers, channel.rules.topology_aware) == (3, True)
    assert channel.latency is not None
    assert channel.latency is not broker.create_channel("t", "d").latency


def test_paused_topic_and_channel_go_on_where_they_stopped(broker, changes, new_client):
    client = new_client(ready=9).join(broker)
    topic, channel = broker.topics["t"], broker.create_channel("t", "c")
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", [b"a"], now=0)
    broker.dispatch(now=0)
    assert (topic.depth, channel.depth) == (1, 0)
    broker.pause_channel(topic, channel, paused=True)
    broker.pause_topic(topic, paused=False)
    broker.dispatch(now=0)
    assert (topic.depth, channel.depth) == (0, 1)
    assert client.bodies() == []
    broker.pause_channel(topic, channel, paused=False)
    broker.dispatch(now=0)
    assert client.bodies() == [b"a"]
    assert changes[2:] == [
        ("pause", "t", None),
        ("pause", "t", "c"),
        ("pause", "t", None),
        ("pause", "t", "c"),
    ]


def test_new_topics_may_be_held_until_their_channels_are_known(broker, new_client):
    broker.hold_new_topics = True
    client = new_client(ready=9).join(broker)
    topic = publish(broker, "t", [b"a"], now=0)
    dispatch_all(broker)
    assert client.bodies() == []
    broker.create_channel("t", "known elsewhere")
    broker.open_topic(topic)
    dispatch_all(broker)
    assert client.bodies() == [b"a"]
    assert broker.create_channel("t", "known elsewhere").depth == 1


@pytest.mark.parametrize("delay", [0, 5 * SECOND])
@pytest.mark.parametrize("count", [1, 100])
def test_publisher_is_answered_when_the_channels_known_elsewhere_exist(broker, delay, count):
    broker.hold_new_topics = True
    told: list[str | None] = []
    broker.publish("t", [b"a"] * count, 0, told.append, delay=delay)
    dispatch_all(broker)
    assert told == []
    broker.create_channel("t", "known elsewhere")
    broker.open_topic(broker.topics["t"])
    assert told == [None]
    broker.publish("t", [b"b"] * count, 0, told.append, delay=delay)
    dispatch_all(broker)
    assert told == [None, None]


def test_publisher_to_a_topic_that_is_deleted_before_it_opens_is_answered(broker):
    broker.hold_new_topics = True
    told: list[str | None] = []
    broker.publish("t", [b"a"], 0, told.append)
    dispatch_all(broker)
    broker.delete_topic(broker.topics["t"])
    assert told == [None]


def test_deferred_messages_are_held_with_the_topic(broker):
    broker.hold_new_topics = True
    broker.create_channel("t", "c")
    topic = publish(broker, "t", [b"later"], 0, delay=5 * SECOND)
    dispatch_all(broker)
    assert topic.depth == 1
    broker.open_topic(topic)
    dispatch_all(broker, now=SECOND)
    assert (topic.depth, topic.channels["c"].deferred_count) == (0, 1)
    assert broker.deadlines.next == 6 * SECOND


def test_deleted_channel_is_gone_with_its_messages_and_consumers(broker, changes, new_client):
    client = new_client(ready=1).join(broker)
    topic, channel = broker.topics["t"], broker.create_channel("t", "c")
    publish(broker, "t", [b"a", b"b"], now=0)
    broker.dispatch(now=0)
    publish(broker, "t", [b"c"], 0, delay=5 * SECOND)
    broker.delete_channel(topic, channel)
    assert client.is_gone
    channel.remove(client.consumer)
    broker.consumer_left(channel)
    dispatch_all(broker)
    broker.expire(now=1000 * SECOND)
    assert broker.deadlines.next is None
    assert topic.channels == {}
    assert changes[-1] == ("delete", "t", "c")

    assert broker.create_channel("t", "c") is not channel
    assert broker.create_channel("t", "c").depth == 0


def test_deleted_topic_is_gone_with_its_channels(broker, changes, new_client):
    client = new_client(ready=1).join(broker)
    topic = publish(broker, "t", [b"a"], now=0)
    broker.pause_topic(topic, paused=True)
    publish(broker, "t", [b"b"], now=0)
    broker.pause_topic(topic, paused=False)
    broker.delete_topic(topic)
    assert not broker.dispatch(now=0)
    assert client.is_gone
    assert broker.topics == {}
    assert changes[-2:] == [("delete", "t", "c"), ("delete", "t", None)]
    assert publish(broker, "t", [b"c"], now=0).depth == 1


def test_deleted_topic_and_channel_leave_no_files(new_broker, new_client, directory):
    broker = new_broker(mem_queue_size=0)
    publish(broker, "t", [b"a"], now=0)
    broker.create_channel("t", "c")
    broker.create_channel("t", "d")
    dispatch_all(broker)
    publish(broker, "t", [b"b"], now=0)
    broker.delete_channel(broker.topics["t"], broker.create_channel("t", "d"))
    assert not [path.name for path in directory.iterdir() if path.name.startswith("t:d")]
    broker.delete_topic(broker.topics["t"])
    assert list(directory.iterdir()) == []


# ------------------------------------------------------------------ ephemeral


def test_ephemeral_channel_goes_with_its_last_consumer(broker, changes, new_client):
    first = new_client().join(broker, channel="c#ephemeral")
    second = new_client().join(broker, channel="c#ephemeral")
    first.leave(broker)
    assert "c#ephemeral" in broker.topics["t"].channels
    second.leave(broker)
    assert broker.topics["t"].channels == {}
    assert changes[-1] == ("delete", "t", "c#ephemeral")


def test_ephemeral_topic_goes_with_its_last_channel(broker, changes, new_client):
    name = "t#ephemeral"
    client = new_client().join(broker, topic=name, channel="c#ephemeral")
    broker.create_channel(name, "d")
    client.leave(broker)
    assert name in broker.topics
    broker.delete_channel(broker.topics[name], broker.create_channel(name, "d"))
    assert broker.topics == {}
    assert changes[-2:] == [("delete", name, "d"), ("delete", name, None)]


def test_durable_channel_outlives_its_consumers(broker, new_client):
    client = new_client(ready=2).join(broker)
    publish(broker, "t", [b"a", b"b"], now=0)
    broker.dispatch(now=0)
    client.leave(broker)
    other = new_client(ready=0).join(broker)
    other.consumer.ready = 2
    broker.dispatch(now=0)
    assert sorted(other.bodies()) == [b"a", b"b"]


def test_what_a_leaving_consumer_held_goes_to_the_next_at_once(broker, new_client):
    leaving = new_client(ready=2).join(broker)
    publish(broker, "t", [b"a", b"b"], now=0)
    broker.dispatch(now=0)
    staying = new_client(ready=9).join(broker)
    leaving.leave(broker)
    broker.dispatch(now=0)
    assert sorted((m.body, m.attempts) for m in staying.messages()) == [(b"a", 2), (b"b", 2)]
