"""Channels: deferred messages, timeouts, touch."""

SECOND = 1_000_000_000


# ------------------------------------------------------------------ deferred


def test_deferred_messages_come_in_the_order_in_which_they_are_due(channel, join, records):
    client = join(ready=10)
    for record, due in zip(records(5), (30, 10, 20, 10, 40), strict=True):
        channel.defer([record], due=due * SECOND)
    assert (channel.deferred_count, channel.message_count) == (5, 5)
    for second in (9, 10, 20, 35, 40):
        channel.expire(now=second * SECOND)
        channel.deliver(now=second * SECOND)
    assert client.bodies() == [b"1", b"3", b"2", b"0", b"4"]


def test_new_deferred_message_is_on_its_first_attempt_when_due(channel, join, records):
    client = join()
    channel.defer(records(1), due=10)
    channel.expire(now=10)
    channel.deliver(now=10)
    assert [message.attempts for message in client.messages()] == [1]


# ------------------------------------------------------------------ timeouts


def test_message_is_requeued_when_its_holder_goes_quiet(channel, join, records):
    quiet = join(msg_timeout=60)
    channel.put(records(1))
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
    channel.put(records(1))
    channel.deliver(now=0)
    quiet.consumer.ready = 0
    other = join(ready=1)
    channel.expire(now=10 * SECOND)
    channel.deliver(now=10 * SECOND)
    assert other.bodies() == [b"0"]
    assert quiet.ids() != []


def test_each_consumer_has_its_own_timeout(channel, join, records):
    patient, hasty = join(msg_timeout=100), join(msg_timeout=10)
    channel.put(records(2))
    channel.deliver(now=0)
    channel.expire(now=10 * SECOND)
    assert (len(patient.consumer.in_flight), len(hasty.consumer.in_flight)) == (1, 0)


def test_channel_is_armed_for_the_first_of_its_deadlines(channel, join, records, deadlines):
    join(msg_timeout=100), join(msg_timeout=10)
    channel.put(records(2))
    channel.deliver(now=0)
    channel.defer(records(1), due=50 * SECOND)
    for expected in (10, 50, 100):
        assert deadlines.next == expected * SECOND
        deadlines.expire(now=expected * SECOND)
    assert deadlines.next is None
    assert (channel.depth, channel.timeout_count) == (3, 2)


def test_touched_message_stays_with_its_holder(channel, join, records, deadlines):
    client = join(msg_timeout=10)
    channel.put(records(1))
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
    channel.put(records(1))
    channel.deliver(now=0)
    (id,) = client.ids()
    channel.touch(client.consumer, id, now=SECOND)
    assert deadlines.next == 3 * SECOND
