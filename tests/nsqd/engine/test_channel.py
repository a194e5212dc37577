"""Channels: who gets what. Time is in test_channel_time, the rest in test_channel_life."""

import pytest

from nsqcore.metrics.quantile import LatencyWindow
from nsqd.engine.channel import MAX_BATCH, MAX_BATCH_BYTES
from nsqd.engine.delivery.consumer import MAX_UNREAD
from nsqd.engine.errors import NotInFlight, NotOwner

SECOND = 1_000_000_000


# ------------------------------------------------------------------ delivery


def test_messages_wait_until_there_is_a_consumer_with_room(channel, join, records):
    channel.put(records(3))
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
    channel.put(records(2))
    channel.deliver(now=0)
    assert [message.attempts for message in client.messages()] == [1, 1]


def test_consumers_share_what_there_is(channel, join, records):
    clients = [join(ready=100) for _ in range(4)]
    channel.put(records(40))
    channel.deliver(now=0)
    assert [len(client.bodies()) for client in clients] == [10, 10, 10, 10]


def test_consumers_take_turns_when_messages_come_one_by_one(channel, join, records):
    clients = [join(ready=100) for _ in range(3)]
    for record in records(9):
        channel.put([record])
        channel.deliver(now=0)
    assert [len(client.bodies()) for client in clients] == [3, 3, 3]


@pytest.mark.parametrize("batch", [2, 3, 4, 5, 7])
def test_consumers_take_turns_whatever_the_size_of_the_batches(channel, join, records, batch):
    clients = [join(ready=1000) for _ in range(3)]
    for _ in range(60):
        channel.put(records(batch))
        channel.deliver(now=0)
    counts = [len(client.bodies()) for client in clients]
    assert sum(counts) == 60 * batch
    assert max(counts) - min(counts) <= 0.2 * max(counts)


def test_consumers_take_turns_at_being_served_first(channel, join, records):
    clients = [join(ready=1) for _ in range(5)]
    channel.put(records(100))
    firsts = []
    for _ in range(20):
        channel.deliver(now=0)
        firsts.append(min(clients, key=lambda client: int(client.messages()[-1].body)))
        for client in clients:
            client.consumer.held.clear()
    assert all(firsts.count(client) == 4 for client in clients)


def test_consumer_without_room_is_passed_over(channel, join, records):
    full, busy, idle = join(ready=1), join(ready=0), join(ready=100)
    channel.put(records(5))
    channel.deliver(now=0)
    assert [len(client.bodies()) for client in (full, busy, idle)] == [1, 0, 4]


def test_turns_go_on_when_a_consumer_leaves(channel, join, records):
    clients = [join(ready=100) for _ in range(3)]
    for record in records(2):
        channel.put([record])
        channel.deliver(now=0)
    for client in clients[1:]:
        channel.remove(client.consumer)
    channel.deliver(now=0)
    channel.put(records(4))
    channel.deliver(now=0)
    assert channel.depth == 0
    assert channel.in_flight_count == 6


def test_no_consumer_is_sent_more_than_a_slice_at_a_time(channel, join, records):
    first, second = join(ready=2500), join(ready=2500)
    channel.put(records(2 * MAX_BATCH + 10))
    channel.deliver(now=0)
    sizes = first.sizes() + second.sizes()
    assert max(sizes) <= MAX_BATCH * 50
    assert channel.depth == 0


@pytest.mark.parametrize("before", [0, 10, 200])
@pytest.mark.parametrize("size", [100_000, 300_000])
def test_a_slice_of_large_messages_is_a_short_one(channel, join, records, before, size):
    client = join(ready=2500)
    channel.put(records(before))
    channel.deliver(now=0)
    channel.put(records([b"x" * size] * 40))
    channel.deliver(now=0)
    assert max(client.sizes()) <= 2 * MAX_BATCH_BYTES + size
    assert len(client.bodies()) == before + 40


def test_large_messages_alone_are_delivered_in_order(channel, join, records):
    client = join(ready=2500)
    bodies = [b"%d" % number + b"x" * 100_000 for number in range(20)]
    channel.put(records(bodies))
    channel.deliver(now=0)
    assert client.bodies() == bodies


def test_slow_reader_is_sent_no_more_than_its_outbox_may_hold(channel, join, records):
    client = join(ready=2500)
    client.unread = lambda: client.received
    channel.put(records([b"x" * 50_000] * 200))
    channel.deliver(now=0)
    assert sum(client.sizes()) <= MAX_UNREAD + 2 * MAX_BATCH_BYTES
    assert channel.depth > 150


def test_slow_reader_does_not_keep_messages_from_the_others(channel, join, records):
    slow, quick = join(ready=100), join(ready=100)
    slow.unread_bytes = MAX_UNREAD
    channel.put(records(50))
    channel.deliver(now=0)
    assert (len(slow.bodies()), len(quick.bodies())) == (0, 50)


def test_delivery_ends_where_the_queue_cannot_be_read(new_channel, new_client, records, directory):
    channel, client = new_channel(memory=0), new_client(ready=100)
    channel.add(client.consumer)
    channel.put(records(5))
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
        channel.put([record])
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
        channel.put([record])
        channel.deliver(now=0)
    assert far.bodies() == []
    assert [len(client.bodies()) for client in near] == [3, 3, 3]


def test_locality_makes_no_difference_unless_asked_for(channel, join, records):
    clients = [join(ready=100, locality=locality) for locality in (0, 1, 2)]
    channel.put(records(9))
    channel.deliver(now=0)
    assert [len(client.bodies()) for client in clients] == [3, 3, 3]
    assert channel.local_counts == [0, 0, 9]


# ------------------------------------------------------------------ finish


def test_finished_message_is_gone(channel, join, records):
    client = join(ready=5)
    channel.put(records(2))
    channel.deliver(now=0)
    assert channel.finish(client.consumer, client.ids(), wall=0) == []
    channel.expire(now=10**18)
    assert (channel.depth, channel.in_flight_count) == (0, 0)
    assert client.consumer.finish_count == 2


def test_message_of_another_consumer_cannot_be_finished_requeued_or_touched(channel, join, records):
    owner, other = join(ready=1), join(ready=0)
    channel.put(records(1))
    channel.deliver(now=0)
    (id,) = owner.ids()
    assert channel.finish(other.consumer, [id], wall=0) == [id]
    assert isinstance(channel.not_held(id), NotOwner)
    assert channel.requeue(other.consumer, [id], delay=0, now=0) == [id]
    with pytest.raises(NotOwner, match="client does not own message"):
        channel.touch(other.consumer, id, now=0)
    assert channel.finish(owner.consumer, [id], wall=0) == []


def test_message_that_nobody_holds_cannot_be_finished_requeued_or_touched(channel, join):
    client, id = join(), b"0123456789abcdef"
    assert channel.finish(client.consumer, [id], wall=0) == [id]
    assert isinstance(channel.not_held(id), NotInFlight)
    assert channel.requeue(client.consumer, [id], delay=0, now=0) == [id]
    with pytest.raises(NotInFlight, match="ID not in flight"):
        channel.touch(client.consumer, id, now=0)
    assert (channel.requeue_count, client.consumer.requeue_count) == (0, 0)


def test_latency_from_publish_to_finish_is_kept_once_for_each_message(
    new_channel, new_client, records
):
    channel = new_channel()
    channel.latency = LatencyWindow((0.5,), 600 * SECOND)
    client = new_client(ready=5)
    channel.add(client.consumer)
    channel.put(records(2))  # their timestamp is 7
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
    channel.put(records(1))
    for attempt in (1, 2, 3):
        channel.deliver(now=0)
        (message,) = client.messages()
        assert (message.attempts, message.body) == (attempt, b"0")
        channel.requeue(client.consumer, [message.id], delay=0, now=0)
    assert (channel.requeue_count, client.consumer.requeue_count, channel.depth) == (3, 3, 1)


def test_requeued_message_keeps_its_id_and_timestamp(channel, join, records):
    client = join(ready=1)
    channel.put(records(1))
    channel.deliver(now=0)
    (before,) = client.messages()
    channel.requeue(client.consumer, [before.id], delay=0, now=0)
    channel.deliver(now=0)
    (after,) = client.messages()
    assert (after.id, after.timestamp) == (before.id, before.timestamp)


def test_message_requeued_with_a_delay_waits_for_it(channel, join, records, deadlines):
    client = join(ready=1)
    channel.put(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.requeue(client.consumer, [id], delay=5 * SECOND, now=SECOND)
    assert (channel.depth, channel.in_flight_count, channel.deferred_count) == (0, 0, 1)
    assert deadlines.next == 6 * SECOND

    assert not channel.expire(now=6 * SECOND - 1)
    assert channel.expire(now=6 * SECOND)
    channel.deliver(now=6 * SECOND)
    assert [(message.id, message.attempts) for message in client.messages()] == [(id, 2)]
    assert (channel.deferred_count, channel.timeout_count) == (0, 0)


def test_deferred_message_is_not_in_flight(channel, join, records):
    client = join(ready=1)
    channel.put(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.requeue(client.consumer, [id], delay=5, now=0)
    assert channel.finish(client.consumer, [id], wall=0) == [id]
    with pytest.raises(NotInFlight):
        channel.touch(client.consumer, id, now=0)


def test_disk_that_fails_while_requeueing_loses_nothing(
    new_channel, new_client, records, directory
):
    channel, client = new_channel(memory=0), new_client(ready=5)
    channel.queue.memory_limit = 5
    channel.add(client.consumer)
    channel.put(records(3))
    channel.deliver(now=0)
    channel.queue.memory_limit = 0
    directory.rmdir()

    by_request, by_timeout, by_leaving = client.ids()
    channel.requeue(client.consumer, [by_request], delay=0, now=0)
    channel.touch(client.consumer, by_leaving, now=SECOND)
    channel.expire(now=60 * SECOND)
    channel.remove(client.consumer)
    assert channel.depth == 3

    another = new_client(ready=5)
    channel.add(another.consumer)
    channel.deliver(now=0)
    assert sorted(another.ids()) == sorted([by_request, by_timeout, by_leaving])
