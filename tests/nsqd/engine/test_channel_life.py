"""Channels: consumers come and go; pause, empty, delete, close; ephemeral channels."""

import random

import pytest

from nsqd.engine.errors import TooManyConsumers

SECOND = 1_000_000_000


# ------------------------------------------------------------------ coming and going


def test_what_a_consumer_held_goes_to_the_others_when_it_leaves(channel, join, records):
    leaving, staying = join(ready=3), join(ready=0)
    channel.put(records(3))
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
    channel = new_channel(max_channel_consumers=2)
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
    channel.put(records(2))
    channel.deliver(now=0)
    assert (client.bodies(), channel.depth) == ([], 2)
    channel.paused = False
    channel.deliver(now=0)
    assert client.bodies() == [b"0", b"1"]


def test_pause_leaves_what_is_in_flight_alone(channel, join, records):
    client = join(ready=5, msg_timeout=10)
    channel.put(records(2))
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
    channel.put(records(10))
    channel.deliver(now=0)
    channel.defer(records(1), due=5)
    ids = client.ids()

    channel.empty()
    assert (channel.depth, channel.backend_depth) == (0, 0)
    assert (channel.in_flight_count, channel.deferred_count) == (0, 0)
    assert channel.finish(client.consumer, ids, wall=0) == ids
    deadlines.expire(now=10**18)
    assert (channel.depth, channel.timeout_count) == (0, 0)

    channel.put(records([b"new"] * 3))
    channel.deliver(now=0)
    assert client.bodies() == [b"new", b"new"]


def test_deleted_channel_lets_go_of_its_consumers_and_files(
    new_channel, new_client, records, directory
):
    channel, client = new_channel(memory=0), new_client(ready=2)
    channel.add(client.consumer)
    channel.put(records(5))
    channel.deliver(now=0)
    channel.defer(records(1), due=5)

    channel.delete()
    assert client.is_gone
    channel.remove(client.consumer)
    assert (channel.depth, channel.deferred_count, channel.in_flight_count) == (0, 0, 0)
    assert list(directory.iterdir()) == []


def test_closed_channel_has_everything_on_disk_with_attempts_kept(new_channel, new_client, records):
    channel, client = new_channel(memory=3), new_client(ready=2)
    channel.add(client.consumer)
    channel.put(records([b"in flight", b"deferred"]))
    channel.deliver(now=0)
    channel.requeue(client.consumer, [client.ids()[1]], delay=1000 * SECOND, now=0)
    client.consumer.ready = 0
    channel.put(records([b"a", b"b", b"c", b"d"]))
    channel.defer(records([b"new and deferred"]), due=500 * SECOND)
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
    channel.put(records(3))
    channel.deliver(now=0)
    directory.rmdir()
    loss = channel.close()
    assert loss.messages == 3
    assert "No such file or directory" in loss.reason
    assert channel.depth == 3
    assert client.consumer.in_flight == {}


# ------------------------------------------------------------------ ephemeral


def test_ephemeral_channel_drops_what_memory_has_no_room_for(new_channel, records, directory):
    channel = new_channel("c#ephemeral", memory=3)
    channel.put(records(5))
    assert (channel.depth, channel.backend_depth, channel.message_count) == (3, 0, 5)
    assert list(directory.iterdir()) == []


def test_ephemeral_channel_drops_nothing_that_a_consumer_has_room_for(
    new_channel, new_client, records
):
    channel, client = new_channel("c#ephemeral", memory=0), new_client(ready=4)
    channel.add(client.consumer)
    channel.put(records(5))
    channel.deliver(now=0)
    assert client.bodies() == [b"0", b"1", b"2", b"3"]


def test_ephemeral_channel_keeps_what_comes_back_beyond_its_memory(
    new_channel, new_client, records
):
    channel, client = new_channel("c#ephemeral", memory=2), new_client(ready=4)
    channel.add(client.consumer)
    channel.put(records(4))
    channel.deliver(now=0)
    channel.remove(client.consumer)
    assert channel.depth == 4


def test_closed_ephemeral_channel_leaves_nothing_behind(
    new_channel, new_client, records, directory
):
    channel, client = new_channel("c#ephemeral"), new_client()
    channel.add(client.consumer)
    channel.put(records(3))
    channel.deliver(now=0)
    channel.close()
    assert channel.depth == 0
    assert list(directory.iterdir()) == []


# ------------------------------------------------------------------ sampling


def test_sampling_empties_the_channel(channel, join, records):
    random.seed(2)
    client = join(ready=500, sample_rate=20)
    channel.put(records(500))
    channel.deliver(now=0)
    assert channel.depth == 0
    assert 60 < channel.in_flight_count == len(client.bodies()) < 140


def test_sampling_consumer_is_sent_its_share_and_the_rest_is_forgotten(channel, join, records):
    random.seed(1)
    client = join(ready=2000, sample_rate=20)
    channel.put(records(1000))
    channel.deliver(now=0)
    share = len(client.bodies())
    assert 150 < share < 250
    assert len(client.consumer.in_flight) == client.consumer.message_count == share
    assert channel.depth == 0


def test_sampling_that_leaves_nothing_sends_nothing(channel, join, records):
    random.seed(1)
    client = join(ready=9, sample_rate=1)
    channel.put(records(1))
    channel.deliver(now=0)
    assert client.sizes() == []
    assert client.consumer.held.next_deadline is None
