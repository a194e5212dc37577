"""Dead letters: what is not to be delivered again is moved, or dropped, and counted."""

import pytest
from tests.nsqd.broker import publish
from tests.nsqd.engine.test_policy import set_policy

from nsqd.engine.departures import Death
from nsqd.engine.messages.queue import Queue

SECOND = 1_000_000_000


def waiting(broker, topic, channel="reader"):
    """The bodies of the messages in a topic, all of which go to a new channel."""
    found = broker.create_channel(topic, channel)
    broker.dispatch(0)
    bodies = []
    while records := found.queue.take(1000):
        bodies += [record[26:] for record in records]
    return bodies


def ticks(broker, now=0):
    """Ticks until there is nothing more to do right away."""
    while broker.dispatch(now):
        pass


def fail(broker, client, now=0):
    """Requeue all that the client holds, as REQ 0 does."""
    channel, consumer = client.channel, client.consumer
    for id in list(consumer.in_flight):
        channel.requeue(consumer, [id], 0, now)
    broker.mark_ready(channel)
    ticks(broker, now)


class TestAttempts:
    def test_a_message_that_failed_as_often_as_it_may_goes_to_the_dead_letter_topic(
        self, broker, new_client
    ):
        set_policy(broker, "t", max_attempts=3)
        client = new_client(ready=10).join(broker)
        publish(broker, "t", [b"poison"])
        ticks(broker)
        for _ in range(2):
            fail(broker, client)
        assert [message.attempts for message in client.messages()] == [1, 2, 3]
        assert broker.topics.keys() == {"t"}
        fail(broker, client)
        assert client.messages() == []
        assert waiting(broker, "t.dead") == [b"poison"]
        channel = client.channel
        assert (channel.depth, channel.in_flight_count, channel.deferred_count) == (0, 0, 0)
        assert channel.departures.deaths.dead == 1

    def test_it_does_not_matter_how_it_came_back(self, broker, new_client):
        set_policy(broker, "t", max_attempts=1)
        late = new_client(ready=1, msg_timeout=1).join(broker)
        gone = new_client(ready=1).join(broker)
        deferring = new_client(ready=1).join(broker)
        publish(broker, "t", [b"a", b"b", b"c"])
        ticks(broker)
        (id,) = deferring.ids()
        deferring.channel.requeue(deferring.consumer, [id], 5 * SECOND, 0)
        gone.leave(broker)
        late.consumer.ready = deferring.consumer.ready = 0
        broker.expire(2 * SECOND)
        ticks(broker, 2 * SECOND)
        assert sorted(waiting(broker, "t.dead")) == [b"a", b"b", b"c"]
        assert late.channel.deferred_count == 0

    def test_other_channels_have_their_copies_still(self, broker, new_client):
        set_policy(broker, "t:c", max_attempts=1)
        other = broker.create_channel("t", "other")
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        fail(broker, client)
        assert (other.depth, waiting(broker, "t.dead")) == (1, [b"x"])

    def test_finishing_it_in_time_is_enough(self, broker, new_client):
        set_policy(broker, "t", max_attempts=2)
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        fail(broker, client)
        client.channel.finish(client.consumer, [client.ids()[-1]], 0)
        ticks(broker)
        assert broker.topics.keys() == {"t"}

    def test_a_restart_gives_no_more_attempts(self, new_broker, new_client):
        broker = new_broker(max_attempts=2)
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        fail(broker, client)
        broker.close()
        broker = new_broker(max_attempts=2)
        client = new_client(ready=1).join(broker)
        ticks(broker)
        broker.expire(0)
        ticks(broker)
        assert client.messages() == []
        assert waiting(broker, "t.dead") == [b"x"]

    def test_a_lower_number_is_for_what_is_queued_too(self, broker, new_client):
        set_policy(broker, "t", max_attempts=5)
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        for _ in range(2):
            fail(broker, client)
        client.consumer.ready = 0
        fail(broker, client)
        client.messages()
        set_policy(broker, "t", max_attempts=2)
        client.consumer.ready = 1
        broker.mark_ready(client.channel)
        ticks(broker)
        assert client.messages() == []
        assert waiting(broker, "t.dead") == [b"x"]

    def test_much_that_is_dead_comes_in_steps_and_what_lives_is_delivered(self, broker, new_client):
        client = new_client(ready=2500).join(broker)
        publish(broker, "t", [b"%d" % number for number in range(2500)])
        ticks(broker)
        client.consumer.ready = 0
        fail(broker, client)
        set_policy(broker, "t", max_attempts=1)
        publish(broker, "t", [b"lives"])
        client.messages()
        client.consumer.ready = 1
        broker.mark_ready(client.channel)
        broker.dispatch(0)
        assert client.channel.depth > 500
        for _ in range(10):
            ticks(broker)
            broker.expire(0)
        assert client.bodies() == [b"lives"]
        assert len(waiting(broker, "t.dead")) == 2500


class TestWhereTo:
    @pytest.mark.parametrize(
        ("topic", "target"), [("t", "t.dead"), ("t#ephemeral", "t.dead#ephemeral")]
    )
    def test_the_dead_letter_topic_is_named_after_the_topic(
        self, broker, new_client, topic, target
    ):
        set_policy(broker, "t*", max_attempts=1)
        client = new_client(ready=1).join(broker, topic)
        publish(broker, topic, [b"x"])
        ticks(broker)
        fail(broker, client)
        assert waiting(broker, target) == [b"x"]

    def test_a_policy_names_another(self, broker, new_client):
        set_policy(broker, "t", max_attempts=1, dead_letter_topic="graves")
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        fail(broker, client)
        assert waiting(broker, "graves") == [b"x"]

    def test_what_is_to_be_discarded_is_gone_and_counted(self, broker, new_client):
        set_policy(broker, "t", max_attempts=1, dead_letter_topic="discard")
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        fail(broker, client)
        assert broker.topics.keys() == {"t"}
        deaths = client.channel.departures.deaths
        assert (deaths.dead, deaths.dropped, client.channel.depth) == (0, 1, 0)

    def test_where_the_name_would_be_too_long_nothing_is_lost(self, broker, new_client, warnings):
        topic = "t" * 60
        set_policy(broker, "t*", max_attempts=1)
        client = new_client(ready=1).join(broker, topic)
        publish(broker, topic, [b"x"])
        ticks(broker)
        fail(broker, client)
        assert client.channel.deferred_count == 1
        assert "too long for a topic" in warnings[0]

    def test_what_the_disk_refuses_stays_and_is_tried_again(self, broker, new_client):
        set_policy(broker, "t", max_attempts=1)
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        target = broker.create_topic("t.dead")
        healthy, target.queue = target.queue, Refusing(target.queue)
        fail(broker, client)
        target.queue = healthy
        assert client.channel.deferred_count == 1
        broker.expire(3 * SECOND)
        for _ in range(3):
            ticks(broker, 3 * SECOND)
            broker.expire(3 * SECOND)
        assert waiting(broker, "t.dead") == [b"x"]


class Refusing:
    """A queue whose disk takes nothing."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> object:
        return getattr(self._queue, name)

    def put(self, records: list[bytes], *, wanted: int = 0) -> int:
        raise OSError("no space left")


class TestTerminated:
    def test_a_consumer_gives_a_message_up(self, broker, new_client):
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        client.channel.terminate(client.consumer, [client.ids()[0]], "no such order")
        ticks(broker)
        assert client.channel.in_flight_count == 0
        assert waiting(broker, "t.dead") == [b"x"]

    def test_what_leaves_is_kept_where_nsqd_ends_before(self, new_broker, new_client):
        broker = new_broker()
        client = new_client(ready=1).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        client.channel.terminate(client.consumer, [client.ids()[0]])
        broker.close()
        assert waiting(new_broker(), "t", "c") == [b"x"]

    def test_an_emptied_or_deleted_channel_sends_nothing(self, broker, new_client):
        told = []
        for name in ("empty", "delete"):
            client = new_client(ready=1).join(broker, "t", name)
        publish(broker, "t", [b"x"])
        ticks(broker)
        for name in ("empty", "delete"):
            channel = broker.topics["t"].channels[name]
            record = channel.queue.take(1) or [b"".join((b"\0" * 9, b"\1", b"0" * 16, b"x"))]
            channel.departures.part(record, Death.TERMINATED, done=told.append)
            getattr(channel, name)()
        ticks(broker)
        assert broker.topics.keys() == {"t"}
        assert told == ["it is not there any more"] * 2
        assert client.is_gone


class TestExpired:
    def test_what_is_too_old_is_not_delivered(self, broker, new_client):
        set_policy(broker, "t", message_ttl="10s")
        channel = broker.create_channel("t", "c")
        publish(broker, "t", [b"old"])
        publish(broker, "t", [b"new"], now=5 * SECOND)
        client = new_client(ready=5).join(broker)
        ticks(broker, 12 * SECOND)
        assert client.bodies() == [b"new"]
        assert waiting(broker, "t.dead") == [b"old"]
        assert channel.departures.deaths.expired == 1

    def test_what_is_in_flight_may_be_finished(self, broker, new_client):
        set_policy(broker, "t", message_ttl="10s")
        client = new_client(ready=5).join(broker)
        publish(broker, "t", [b"x"])
        ticks(broker)
        ticks(broker, 12 * SECOND)
        assert client.channel.finish(client.consumer, client.ids(), 0) == []
        assert broker.topics.keys() == {"t"}

    def test_it_does_not_come_back_to_where_it_expired(self, broker, new_client):
        set_policy(broker, "t", message_ttl="10s", dead_letter_topic="t")
        channel = broker.create_channel("t", "c")
        publish(broker, "t", [b"old"])
        new_client(ready=5).join(broker)
        ticks(broker, 12 * SECOND)
        assert (channel.depth, channel.departures.deaths.dropped) == (0, 1)


def run_until(broker, end, start=0):
    """Live from deadline to deadline, as a service does; how often something was looked at."""
    ticks(broker, start)
    turns = 0
    while (due := broker.deadlines.next) is not None and due <= end:
        broker.expire(max(due, start))
        ticks(broker, max(due, start))
        turns += 1
    return turns


class TestExpiredInTheQueue:
    """Messages get too old where nobody takes them."""

    def test_what_comes_first_and_is_too_old_leaves_though_nobody_consumes(self, broker):
        set_policy(broker, "t", message_ttl="10s")
        channel = broker.create_channel("t", "c")
        publish(broker, "t", [b"old", b"older"])
        publish(broker, "t", [b"new"], now=5 * SECOND)
        run_until(broker, 9 * SECOND)
        assert channel.depth == 3
        turns = run_until(broker, 12 * SECOND)
        assert (channel.depth, channel.departures.deaths.expired) == (1, 2)
        assert turns < 10
        assert waiting(broker, "t.dead") == [b"old", b"older"]
        run_until(broker, 17 * SECOND)
        assert (channel.depth, broker.deadlines.next) == (0, None)

    @pytest.mark.parametrize("memory", [0, 3])
    def test_on_disk_too_and_in_steps(self, new_broker, memory):
        broker = new_broker(mem_queue_size=memory)
        broker.create_channel("t", "c")
        publish(broker, "t", [b"%d" % number for number in range(2500)])
        broker.close()
        broker = new_broker(message_ttl=10 * SECOND, dead_letter_topic="discard")
        channel = broker.create_channel("t", "c")  # as a start does
        publish(broker, "t", [b"new"], now=15 * SECOND)
        run_until(broker, 20 * SECOND, 16 * SECOND)
        assert (channel.depth, channel.departures.deaths.dropped) == (1, 2500)
        assert waiting(broker, "t", "c") == [b"new"]

    @pytest.mark.slow
    def test_many_leave_in_bounded_steps(self, new_broker):
        broker = new_broker(message_ttl=SECOND, dead_letter_topic="discard")
        channel = broker.create_channel("t", "c")
        publish(broker, "t", [b"x"] * 20_000)
        ticks(broker)
        left = []
        while channel.depth:
            broker.expire(5 * SECOND)
            ticks(broker, 5 * SECOND)
            left.append(channel.depth)
        assert left == [15_000, 10_000, 5_000, 0]

    def test_those_of_a_paused_channel_too(self, broker, new_client):
        set_policy(broker, "t", message_ttl="10s")
        client = new_client(ready=5).join(broker)
        broker.pause_channel(broker.topics["t"], client.channel, paused=True)
        publish(broker, "t", [b"x"])
        run_until(broker, 12 * SECOND)
        assert waiting(broker, "t.dead") == [b"x"]

    def test_a_policy_that_comes_later_is_for_what_is_queued(self, broker):
        channel = broker.create_channel("t", "c")
        publish(broker, "t", [b"x"])
        run_until(broker, 60 * SECOND)
        set_policy(broker, "t", message_ttl="10s")
        run_until(broker, 62 * SECOND, 60 * SECOND)
        assert channel.depth == 0

    def test_without_the_policy_nobody_looks(self, broker):
        broker.create_channel("t", "c")
        publish(broker, "t", [b"x"])
        assert run_until(broker, 10**18) == 0


class TestOverflow:
    def test_the_oldest_make_room(self, broker):
        set_policy(broker, "t", max_depth=3, overflow="drop_oldest")
        channel = broker.create_channel("t", "c")
        publish(broker, "t", [b"%d" % number for number in range(5)])
        ticks(broker)
        assert channel.departures.deaths.dropped == 2
        assert waiting(broker, "t", "c") == [b"2", b"3", b"4"]
        assert broker.topics.keys() == {"t"}

    def test_they_go_to_the_dead_letter_topic_where_that_is_asked_for(self, broker):
        set_policy(broker, "t", max_depth=3, overflow="dead_letter")
        broker.create_channel("t", "c")
        publish(broker, "t", [b"%d" % number for number in range(5)])
        ticks(broker)
        assert waiting(broker, "t", "c") == [b"2", b"3", b"4"]
        assert waiting(broker, "t.dead") == [b"0", b"1"]

    def test_a_channel_that_rejects_still_refuses(self, broker):
        set_policy(broker, "t:c", max_depth=3, overflow="drop_oldest")
        set_policy(broker, "t:d", name="q", max_depth=3)
        for name in "cd":
            broker.create_channel("t", name)
        publish(broker, "t", [b"x"] * 3)
        with pytest.raises(OSError, match="topic full"):
            publish(broker, "t", [b"x"])
        rejected = {
            name: channel.departures.deaths.rejected
            for name, channel in broker.topics["t"].channels.items()
        }
        assert rejected == {"c": 0, "d": 1}


class TestRings:
    """Dead-letter topics that lead back to where the messages come from."""

    @pytest.mark.parametrize("length", [2, 3])
    @pytest.mark.parametrize(
        "rule", [{"max_depth": 2, "overflow": "dead_letter"}, {"message_ttl": "1s"}]
    )
    def test_what_nobody_fails_goes_round_once(self, broker, length, rule):
        topics = "abc"[:length]
        for number, name in enumerate(topics):
            following = topics[(number + 1) % length]
            set_policy(broker, name, name=name, dead_letter_topic=following, **rule)
            broker.create_channel(name, "c")
        publish(broker, "a", [b"%d" % number for number in range(20)])
        run_until(broker, 60 * SECOND)
        channels = [broker.topics[name].channels["c"] for name in topics]
        expiring = "message_ttl" in rule
        assert [channel.depth for channel in channels] == [0 if expiring else 2] * length
        assert sum(channel.departures.deaths.dropped for channel in channels) == (
            20 if expiring else 20 - 2 * length
        )
        assert sum(channel.departures.deaths.dead for channel in channels) <= 20 * length

    def test_what_a_consumer_fails_goes_on(self, broker, new_client):
        for name, following in ("ab", "ba"):
            set_policy(broker, name, name=name, max_attempts=1, dead_letter_topic=following)
        publish(broker, "a", [b"x"])
        for name in "abab":
            client = new_client(ready=1).join(broker, name)
            ticks(broker)
            client.consumer.ready = 0
            fail(broker, client)
            client.leave(broker)
        ticks(broker)
        assert waiting(broker, "a", "c") == [b"x"]
