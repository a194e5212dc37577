import random

import pytest

from nsqcore.metrics.quantile import LatencyWindow
from nsqd.engine.channel import MAX_SLICE
from nsqd.engine.consumer import MAX_WAITING
from nsqd.engine.errors import NotInFlight, NotOwner, TooManyConsumers

SECOND = 1_000_000_000


@pytest.fixture
def join(channel, new_client):
    """Puts a new client on the channel."""

    def make(*args, **kwargs):
        client = new_client(*args, **kwargs)
        channel.add(client.consumer)
        return client

    return make


# ------------------------------------------------------------------ delivery


def test_messages_wait_until_there_is_a_consumer_with_room(channel, join, records):
    channel.put_many(records(3))
    channel.deliver(now=0)
    client = join(ready=0)
    channel.deliver(now=0)
    assert client.bodies() == []
    assert (channel.depth, channel.in_flight_count) == (3, 0)

    client.consumer.ready = 2
    channel.deliver(now=0)
    assert client.bodies() == [b"0", b"1"]
    assert (channel.depth, channel.in_flight_count) == (1, 2)


def test_first_delivery_is_attempt_one(channel, join, records):
    client = join(ready=5)
    channel.put_many(records(2))
    channel.deliver(now=0)
    assert [message.attempts for message in client.messages()] == [1, 1]


def test_consumers_share_what_there_is(channel, join, records):
    clients = [join(ready=100) for _ in range(4)]
    channel.put_many(records(40))
    channel.deliver(now=0)
    assert [len(client.bodies()) for client in clients] == [10, 10, 10, 10]


def test_consumers_take_turns_when_messages_come_one_by_one(channel, join, records):
    clients = [join(ready=100) for _ in range(3)]
    for record in records(9):
        channel.put_many([record])
        channel.deliver(now=0)
    assert [len(client.bodies()) for client in clients] == [3, 3, 3]


@pytest.mark.parametrize("batch", [2, 3, 4, 5, 7])
def test_consumers_take_turns_whatever_the_size_of_the_batches(channel, join, records, batch):
    clients = [join(ready=1000) for _ in range(3)]
    for _ in range(60):
        channel.put_many(records(batch))
        channel.deliver(now=0)
    counts = [len(client.bodies()) for client in clients]
    assert sum(counts) == 60 * batch
    assert max(counts) - min(counts) <= 0.2 * max(counts)


def test_consumer_without_room_is_passed_over(channel, join, records):
    full, busy, idle = join(ready=1), join(ready=0), join(ready=100)
    channel.put_many(records(5))
    channel.deliver(now=0)
    assert [len(client.bodies()) for client in (full, busy, idle)] == [1, 0, 4]


def test_turns_go_on_when_a_consumer_leaves(channel, join, records):
    clients = [join(ready=100) for _ in range(3)]
    for record in records(2):
        channel.put_many([record])
        channel.deliver(now=0)
    for client in clients[1:]:
        channel.remove(client.consumer)
    channel.deliver(now=0)
    channel.put_many(records(4))
    channel.deliver(now=0)
    assert channel.depth == 0
    assert channel.in_flight_count == 6


def test_no_consumer_is_sent_more_than_a_slice_at_a_time(channel, join, records):
    first, second = join(ready=2500), join(ready=2500)
    channel.put_many(records(2 * MAX_SLICE + 10))
    channel.deliver(now=0)
    sizes = first.sizes() + second.sizes()
    assert max(sizes) <= MAX_SLICE * 50
    assert channel.depth == 0


def test_slow_reader_does_not_keep_messages_from_the_others(channel, join, records):
    slow, quick = join(ready=100), join(ready=100)
    slow.unread = MAX_WAITING
    channel.put_many(records(50))
    channel.deliver(now=0)
    assert (len(slow.bodies()), len(quick.bodies())) == (0, 50)


def test_delivery_ends_where_the_queue_cannot_be_read(new_channel, new_client, records, directory):
    channel, client = new_channel(memory=0), new_client(ready=100)
    channel.add(client.consumer)
    channel.put_many(records(5))
    for path in directory.glob("*.dat"):
        path.unlink()
    channel.deliver(now=0)
    assert client.bodies() == []
    assert channel.depth == 0


# ------------------------------------------------------------------ nearness


def test_nearest_consumers_with_room_come_first(new_channel, new_client, records):
    channel = new_channel(topology_aware=True)
    clients = [new_client(ready=2, locality=locality) for locality in (2, 0, 1)]
    for client in clients:
        channel.add(client.consumer)
    for record in records(5):
        channel.put_many([record])
        channel.deliver(now=0)
    assert [client.bodies() for client in clients] == [[b"4"], [b"0", b"1"], [b"2", b"3"]]
    assert channel.local_counts == [2, 2, 1]


def test_equally_near_consumers_take_turns(new_channel, new_client, records):
    channel = new_channel(topology_aware=True)
    far = new_client(ready=100, locality=2)
    near = [new_client(ready=100, locality=0) for _ in range(3)]
    for client in (near[0], far, *near[1:]):
        channel.add(client.consumer)
    for record in records(9):
        channel.put_many([record])
        channel.deliver(now=0)
    assert far.bodies() == []
    assert [len(client.bodies()) for client in near] == [3, 3, 3]


def test_locality_makes_no_difference_unless_asked_for(channel, join, records):
    clients = [join(ready=100, locality=locality) for locality in (0, 1, 2)]
    channel.put_many(records(9))
    channel.deliver(now=0)
    assert [len(client.bodies()) for client in clients] == [3, 3, 3]
    assert channel.local_counts == [3, 3, 3]


# ------------------------------------------------------------------ finish


def test_finished_message_is_gone(channel, join, records):
    client = join(ready=5)
    channel.put_many(records(2))
    channel.deliver(now=0)
    assert channel.finish(client.consumer, client.ids(), wall=0) == []
    channel.expire(now=10**18)
    assert (channel.depth, channel.in_flight_count) == (0, 0)
    assert client.consumer.finish_count == 2


def test_message_of_another_consumer_cannot_be_finished_requeued_or_touched(channel, join, records):
    owner, other = join(ready=1), join(ready=0)
    channel.put_many(records(1))
    channel.deliver(now=0)
    (id,) = owner.ids()
    assert channel.finish(other.consumer, [id], wall=0) == [id]
    assert isinstance(channel.not_held(id), NotOwner)
    with pytest.raises(NotOwner, match="client does not own message"):
        channel.requeue(other.consumer, id, delay=0, now=0)
    with pytest.raises(NotOwner, match="client does not own message"):
        channel.touch(other.consumer, id, now=0)
    assert channel.finish(owner.consumer, [id], wall=0) == []


def test_message_that_nobody_holds_cannot_be_finished_requeued_or_touched(channel, join):
    client, id = join(), b"0123456789abcdef"
    assert channel.finish(client.consumer, [id], wall=0) == [id]
    assert isinstance(channel.not_held(id), NotInFlight)
    with pytest.raises(NotInFlight, match="ID not in flight"):
        channel.requeue(client.consumer, id, delay=0, now=0)
    with pytest.raises(NotInFlight, match="ID not in flight"):
        channel.touch(client.consumer, id, now=0)
    assert (channel.requeue_count, client.consumer.requeue_count) == (0, 0)


def test_latency_from_publish_to_finish_is_kept_once_for_each_message(
    new_channel, new_client, records
):
    channel = new_channel(latency=LatencyWindow((0.5,), 600 * SECOND))
    client = new_client(ready=5)
    channel.add(client.consumer)
    channel.put_many(records(2))  # their timestamp is 7
    channel.deliver(now=0)
    first, second = client.ids()
    channel.finish(client.consumer, [first, first, b"x" * 16], wall=1007)
    channel.finish(client.consumer, [second], wall=1007)
    summary = channel.latency.summary(1007)
    assert summary.count == 2
    assert summary.percentiles[0][1] == pytest.approx(1000, rel=0.02)


# ------------------------------------------------------------------ requeue


def test_requeued_message_comes_again_with_one_attempt_more(channel, join, records):
    client = join(ready=1)
    channel.put_many(records(1))
    for attempt in (1, 2, 3):
        channel.deliver(now=0)
        (message,) = client.messages()
        assert (message.attempts, message.body) == (attempt, b"0")
        channel.requeue(client.consumer, message.id, delay=0, now=0)
    assert (channel.requeue_count, client.consumer.requeue_count, channel.depth) == (3, 3, 1)


def test_requeued_message_keeps_its_id_and_timestamp(channel, join, records):
    client = join(ready=1)
    channel.put_many(records(1))
    channel.deliver(now=0)
    (before,) = client.messages()
    channel.requeue(client.consumer, before.id, delay=0, now=0)
    channel.deliver(now=0)
    (after,) = client.messages()
    assert (after.id, after.timestamp) == (before.id, before.timestamp)


def test_message_requeued_with_a_delay_waits_for_it(channel, join, records, deadlines):
    client = join(ready=1)
    channel.put_many(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.requeue(client.consumer, id, delay=5 * SECOND, now=SECOND)
    assert (channel.depth, channel.in_flight_count, channel.deferred_count) == (0, 0, 1)
    assert deadlines.next == 6 * SECOND

    assert not channel.expire(now=6 * SECOND - 1)
    assert channel.expire(now=6 * SECOND)
    channel.deliver(now=6 * SECOND)
    assert [(message.id, message.attempts) for message in client.messages()] == [(id, 2)]
    assert (channel.deferred_count, channel.timeout_count) == (0, 0)


def test_deferred_message_is_not_in_flight(channel, join, records):
    client = join(ready=1)
    channel.put_many(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.requeue(client.consumer, id, delay=5, now=0)
    assert channel.finish(client.consumer, [id], wall=0) == [id]
    with pytest.raises(NotInFlight):
        channel.touch(client.consumer, id, now=0)


def test_disk_that_fails_while_requeueing_loses_nothing(
    new_channel, new_client, records, directory
):
    channel, client = new_channel(memory=0), new_client(ready=5)
    channel.queue.memory_limit = 5
    channel.add(client.consumer)
    channel.put_many(records(3))
    channel.deliver(now=0)
    channel.queue.memory_limit = 0
    directory.rmdir()

    by_request, by_timeout, by_leaving = client.ids()
    channel.requeue(client.consumer, by_request, delay=0, now=0)
    channel.touch(client.consumer, by_leaving, now=SECOND)
    channel.expire(now=60 * SECOND)
    channel.remove(client.consumer)
    assert channel.depth == 3

    another = new_client(ready=5)
    channel.add(another.consumer)
    channel.deliver(now=0)
    assert sorted(another.ids()) == sorted([by_request, by_timeout, by_leaving])


# ------------------------------------------------------------------ deferred


def test_deferred_messages_come_in_the_order_in_which_they_are_due(channel, join, records):
    client = join(ready=10)
    for record, due in zip(records(5), (30, 10, 20, 10, 40), strict=True):
        channel.defer(record, due=due * SECOND)
    assert (channel.deferred_count, channel.message_count) == (5, 5)
    for second in (9, 10, 20, 35, 40):
        channel.expire(now=second * SECOND)
        channel.deliver(now=second * SECOND)
    assert client.bodies() == [b"1", b"3", b"2", b"0", b"4"]


def test_new_deferred_message_is_on_its_first_attempt_when_due(channel, join, records):
    client = join()
    channel.defer(records(1)[0], due=10)
    channel.expire(now=10)
    channel.deliver(now=10)
    assert [message.attempts for message in client.messages()] == [1]


# ------------------------------------------------------------------ timeouts


def test_message_is_requeued_when_its_holder_goes_quiet(channel, join, records):
    quiet = join(msg_timeout=60)
    channel.put_many(records(1))
    channel.deliver(now=0)

    assert not channel.expire(now=60 * SECOND - 1)
    assert (channel.in_flight_count, channel.depth) == (1, 0)

    assert channel.expire(now=60 * SECOND)
    assert (channel.in_flight_count, channel.depth, channel.timeout_count) == (0, 1, 1)
    assert channel.requeue_count == 0

    channel.deliver(now=60 * SECOND)
    assert [message.attempts for message in quiet.messages()] == [1, 2]


def test_timed_out_message_goes_to_whoever_has_room(channel, join, records):
    quiet = join(ready=1, msg_timeout=10)
    channel.put_many(records(1))
    channel.deliver(now=0)
    quiet.consumer.ready = 0
    other = join(ready=1)
    channel.expire(now=10 * SECOND)
    channel.deliver(now=10 * SECOND)
    assert other.bodies() == [b"0"]
    assert quiet.ids() != []


def test_each_consumer_has_its_own_timeout(channel, join, records):
    patient, hasty = join(msg_timeout=100), join(msg_timeout=10)
    channel.put_many(records(2))
    channel.deliver(now=0)
    channel.expire(now=10 * SECOND)
    assert (len(patient.consumer.in_flight), len(hasty.consumer.in_flight)) == (1, 0)


def test_channel_is_armed_for_the_first_of_its_deadlines(channel, join, records, deadlines):
    join(msg_timeout=100), join(msg_timeout=10)
    channel.put_many(records(2))
    channel.deliver(now=0)
    channel.defer(records(1)[0], due=50 * SECOND)
    for expected in (10, 50, 100):
        assert deadlines.next == expected * SECOND
        deadlines.expire(now=expected * SECOND)
    assert deadlines.next is None
    assert (channel.depth, channel.timeout_count) == (3, 2)


def test_touched_message_stays_with_its_holder(channel, join, records, deadlines):
    client = join(msg_timeout=10)
    channel.put_many(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.touch(client.consumer, id, now=9 * SECOND)
    deadlines.expire(now=10 * SECOND)
    assert (channel.in_flight_count, channel.timeout_count) == (1, 0)
    assert deadlines.next == 19 * SECOND
    deadlines.expire(now=19 * SECOND)
    assert (channel.in_flight_count, channel.timeout_count) == (0, 1)


def test_touch_that_shortens_the_time_left_is_kept_to(channel, join, records, deadlines):
    # the server's maximum may be less than the timeout the client started with
    client = join(msg_timeout=60, max_msg_timeout=3)
    channel.put_many(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.touch(client.consumer, id, now=SECOND)
    assert deadlines.next == 3 * SECOND


# ------------------------------------------------------------------ coming and going


def test_what_a_consumer_held_goes_to_the_others_when_it_leaves(channel, join, records):
    leaving, staying = join(ready=3), join(ready=0)
    channel.put_many(records(3))
    channel.deliver(now=0)
    channel.remove(leaving.consumer)
    assert (channel.depth, channel.in_flight_count, channel.requeue_count) == (3, 0, 3)
    staying.consumer.ready = 3
    channel.deliver(now=0)
    assert sorted((m.body, m.attempts) for m in staying.messages()) == [
        (b"0", 2),
        (b"1", 2),
        (b"2", 2),
    ]


def test_consumer_that_holds_nothing_leaves_nothing(channel, join):
    client = join()
    channel.remove(client.consumer)
    assert (channel.depth, channel.requeue_count, channel.consumers) == (0, 0, [])


def test_more_consumers_than_allowed_are_refused(new_channel, new_client):
    channel = new_channel(max_consumers=2)
    first, second, third = (new_client().consumer for _ in range(3))
    channel.add(first)
    channel.add(second)
    with pytest.raises(TooManyConsumers, match="consumers for t:c exceeds limit of 2"):
        channel.add(third)
    channel.remove(first)
    channel.add(third)
    assert channel.consumers == [second, third]


# ------------------------------------------------------------------ pause, empty, delete, close


def test_paused_channel_delivers_nothing_and_takes_everything(channel, join, records):
    client = join(ready=5)
    channel.paused = True
    channel.put_many(records(2))
    channel.deliver(now=0)
    assert (client.bodies(), channel.depth) == ([], 2)
    channel.paused = False
    channel.deliver(now=0)
    assert client.bodies() == [b"0", b"1"]


def test_pause_leaves_what_is_in_flight_alone(channel, join, records):
    client = join(ready=5, msg_timeout=10)
    channel.put_many(records(2))
    channel.deliver(now=0)
    first, _ = client.ids()
    channel.paused = True
    assert channel.finish(client.consumer, [first], wall=0) == []
    channel.expire(now=10 * SECOND)
    assert (channel.depth, channel.timeout_count) == (1, 1)


def test_emptied_channel_has_nothing_queued_deferred_or_in_flight(
    new_channel, new_client, records, deadlines
):
    channel, client = new_channel(memory=3), new_client(ready=2)
    channel.add(client.consumer)
    channel.put_many(records(10))
    channel.deliver(now=0)
    channel.defer(records(1)[0], due=5)
    ids = client.ids()

    channel.empty()
    assert (channel.depth, channel.backend_depth) == (0, 0)
    assert (channel.in_flight_count, channel.deferred_count) == (0, 0)
    assert channel.finish(client.consumer, ids, wall=0) == ids
    deadlines.expire(now=10**18)
    assert (channel.depth, channel.timeout_count) == (0, 0)

    channel.put_many(records([b"new"] * 3))
    channel.deliver(now=0)
    assert client.bodies() == [b"new", b"new"]


def test_deleted_channel_lets_go_of_its_consumers_and_files(
    new_channel, new_client, records, directory
):
    channel, client = new_channel(memory=0), new_client(ready=2)
    channel.add(client.consumer)
    channel.put_many(records(5))
    channel.deliver(now=0)
    channel.defer(records(1)[0], due=5)

    channel.delete()
    assert client.is_gone
    channel.remove(client.consumer)
    assert (channel.depth, channel.deferred_count, channel.in_flight_count) == (0, 0, 0)
    assert list(directory.iterdir()) == []


def test_closed_channel_has_everything_on_disk_with_attempts_kept(new_channel, new_client, records):
    channel, client = new_channel(memory=3), new_client(ready=2)
    channel.add(client.consumer)
    channel.put_many(records([b"in flight", b"deferred"]))
    channel.deliver(now=0)
    channel.requeue(client.consumer, client.ids()[1], delay=1000 * SECOND, now=0)
    client.consumer.ready = 0
    channel.put_many(records([b"a", b"b", b"c", b"d"]))
    channel.defer(records([b"new and deferred"])[0], due=500 * SECOND)
    channel.close()

    channel, client = new_channel(memory=3), new_client(ready=10)
    assert (channel.depth, channel.backend_depth) == (7, 7)
    channel.add(client.consumer)
    channel.deliver(now=0)
    assert {message.body: message.attempts for message in client.messages()} == {
        b"in flight": 2,
        b"deferred": 2,
        b"new and deferred": 1,
        b"a": 1,
        b"b": 1,
        b"c": 1,
        b"d": 1,
    }


def test_channel_that_cannot_be_put_on_disk_says_so_and_keeps_its_messages(
    channel, join, records, directory
):
    client = join(ready=1)
    channel.put_many(records(3))
    channel.deliver(now=0)
    directory.rmdir()
    with pytest.raises(OSError, match="No such file or directory"):
        channel.close()
    assert channel.depth == 3
    assert client.consumer.in_flight == {}


# ------------------------------------------------------------------ ephemeral


def test_ephemeral_channel_drops_what_memory_has_no_room_for(new_channel, records, directory):
    channel = new_channel("c#ephemeral", memory=3)
    channel.put_many(records(5))
    assert (channel.depth, channel.backend_depth, channel.message_count) == (3, 0, 5)
    assert list(directory.iterdir()) == []


def test_ephemeral_channel_drops_nothing_that_a_consumer_has_room_for(
    new_channel, new_client, records
):
    channel, client = new_channel("c#ephemeral", memory=0), new_client(ready=4)
    channel.add(client.consumer)
    channel.put_many(records(5))
    channel.deliver(now=0)
    assert client.bodies() == [b"0", b"1", b"2", b"3"]


def test_ephemeral_channel_keeps_what_comes_back_beyond_its_memory(
    new_channel, new_client, records
):
    channel, client = new_channel("c#ephemeral", memory=2), new_client(ready=4)
    channel.add(client.consumer)
    channel.put_many(records(4))
    channel.deliver(now=0)
    channel.remove(client.consumer)
    assert channel.depth == 4


def test_closed_ephemeral_channel_leaves_nothing_behind(
    new_channel, new_client, records, directory
):
    channel, client = new_channel("c#ephemeral"), new_client()
    channel.add(client.consumer)
    channel.put_many(records(3))
    channel.deliver(now=0)
    channel.close()
    assert channel.depth == 0
    assert list(directory.iterdir()) == []


# ------------------------------------------------------------------ sampling


def test_sampling_empties_the_channel(channel, join, records):
    random.seed(2)
    client = join(ready=500, sample_rate=20)
    channel.put_many(records(500))
    channel.deliver(now=0)
    assert channel.depth == 0
    assert 60 < channel.in_flight_count == len(client.bodies()) < 140
