import tracemalloc

import pytest

from nsqd.engine.delivery.consumer import MAX_UNREAD

SECOND = 1_000_000_000


def ids_of(records):
    return [record[10:26] for record in records]


# ------------------------------------------------------------------ room


def test_room_is_what_ready_leaves_beside_what_is_in_flight(new_client, records):
    consumer = new_client(ready=3).consumer
    assert consumer.capacity == 3
    consumer.deliver(records(2), now=0)
    assert consumer.capacity == 1


def test_lowering_ready_below_what_is_in_flight_leaves_no_room(new_client, records):
    consumer = new_client(ready=3).consumer
    consumer.deliver(records(3), now=0)
    consumer.ready = 1
    assert consumer.capacity == 0


def test_closing_consumer_has_no_room(new_client):
    consumer = new_client(ready=3).consumer
    consumer.closing = True
    assert consumer.capacity == 0


def test_client_that_does_not_read_has_no_room_until_it_does(new_client):
    client = new_client(ready=3)
    client.unread_bytes = MAX_UNREAD
    assert client.consumer.capacity == 0
    assert client.consumer.blocked
    client.unread_bytes -= 1
    assert client.consumer.capacity == 3
    assert not client.consumer.blocked


def test_client_that_has_all_it_wants_is_not_blocked_by_unread_output(new_client, records):
    client = new_client(ready=1)
    client.consumer.deliver(records(1), now=0)
    client.unread_bytes = MAX_UNREAD
    assert not client.consumer.blocked


# ------------------------------------------------------------------ delivery


def test_delivered_messages_are_sent_and_in_flight(new_client, records):
    client = new_client()
    client.consumer.deliver(records([b"a", b"b"]), now=0)
    assert client.bodies() == [b"a", b"b"]
    assert len(client.consumer.in_flight) == client.consumer.message_count == 2


# ------------------------------------------------------------------ finish, give back


def test_finished_messages_are_in_flight_no_longer(new_client, records):
    consumer = new_client().consumer
    held = records(3)
    consumer.deliver(held, now=0)
    assert consumer.held.finish(ids_of(held[:2])) == []
    assert list(consumer.in_flight.values()) == held[2:]


def test_finish_tells_what_is_not_held_and_does_not_count_it(new_client, records):
    consumer = new_client().consumer
    held = records(2)
    consumer.deliver(held, now=0)
    first, second = ids_of(held)
    assert consumer.held.finish([b"x" * 16, first, first, second]) == [b"x" * 16, first]


def test_message_given_back_is_in_flight_no_longer(new_client, records):
    consumer = new_client().consumer
    (held,) = records(1)
    consumer.deliver([held], now=0)
    assert consumer.held.take(held[10:26]) == held
    assert consumer.held.take(held[10:26]) is None
    assert consumer.in_flight == {}


def test_all_is_given_back_at_once(new_client, records):
    consumer = new_client().consumer
    held = records(3)
    consumer.deliver(held[:2], now=0)
    consumer.deliver(held[2:], now=1)
    consumer.held.touch(held[0][10:26], now=2)
    assert consumer.held.take_all() == held
    assert consumer.held.take_all() == []
    assert consumer.held.next_deadline is None
    assert consumer.held.expire(now=10**18) == []


# ------------------------------------------------------------------ timeouts


def test_message_expires_exactly_when_its_timeout_is_over(new_client, records):
    consumer = new_client(msg_timeout=60).consumer
    held = records(1)
    consumer.deliver(held, now=5)
    assert consumer.held.next_deadline == 60 * SECOND + 5
    assert consumer.held.expire(now=60 * SECOND + 4) == []
    assert consumer.held.expire(now=60 * SECOND + 5) == held
    assert consumer.in_flight == {}
    assert consumer.held.next_deadline is None


def test_messages_expire_in_the_order_of_their_deliveries(new_client, records):
    consumer = new_client(msg_timeout=10).consumer
    held = records(3)
    consumer.deliver(held[:1], now=0)
    consumer.deliver(held[1:2], now=1 * SECOND)
    consumer.deliver(held[2:], now=2 * SECOND)
    assert consumer.held.expire(now=11 * SECOND) == held[:2]
    assert consumer.held.next_deadline == 12 * SECOND


def test_finished_message_does_not_expire(new_client, records):
    consumer = new_client(msg_timeout=10).consumer
    held = records(2)
    consumer.deliver(held, now=0)
    consumer.held.finish(ids_of(held[:1]))
    assert consumer.held.expire(now=10 * SECOND) == held[1:]


def test_message_that_came_back_expires_by_its_second_delivery(new_client, records):
    consumer = new_client(msg_timeout=10).consumer
    (first,) = records(1)
    consumer.deliver([first], now=0)
    consumer.held.take(first[10:26])
    second = bytes(bytearray(first))  # equal, but another delivery
    consumer.deliver([second], now=5 * SECOND)
    assert consumer.held.expire(now=10 * SECOND) == []
    assert consumer.held.expire(now=15 * SECOND) == [second]


# ------------------------------------------------------------------ touch


def test_touch_starts_the_timeout_anew(new_client, records):
    consumer = new_client(msg_timeout=10).consumer
    touched, other = records(2)
    consumer.deliver([touched, other], now=0)
    assert consumer.held.touch(touched[10:26], now=6 * SECOND) == 16 * SECOND
    assert consumer.held.expire(now=10 * SECOND) == [other]
    assert consumer.held.next_deadline == 16 * SECOND
    assert consumer.held.expire(now=16 * SECOND) == [touched]


def test_touching_again_and_again_ends_at_the_longest_timeout_allowed(new_client, records):
    consumer = new_client(msg_timeout=10, max_msg_timeout=25).consumer
    held = records(1)
    consumer.deliver(held, now=SECOND)
    for second, deadline in ((8, 18), (15, 25), (22, 26)):
        assert consumer.held.touch(held[0][10:26], now=second * SECOND) == deadline * SECOND
        assert consumer.held.expire(now=(second + 1) * SECOND) == []
    assert consumer.held.expire(now=26 * SECOND - 1) == []
    assert consumer.held.expire(now=26 * SECOND) == held


@pytest.mark.parametrize("leave", ["finish", "give_back"])
def test_touched_message_that_left_does_not_expire(new_client, records, leave):
    consumer = new_client(msg_timeout=10).consumer
    held = records(1)
    consumer.deliver(held, now=0)
    consumer.held.touch(held[0][10:26], now=1)
    if leave == "finish":
        consumer.held.finish(ids_of(held))
    else:
        consumer.held.take(held[0][10:26])
    assert consumer.held.expire(now=10**18) == []


def test_what_is_not_held_cannot_be_touched(new_client, records):
    consumer = new_client().consumer
    held = records(1)
    assert consumer.held.touch(held[0][10:26], now=0) is None
    consumer.deliver(held, now=0)
    consumer.held.finish(ids_of(held))
    assert consumer.held.touch(held[0][10:26], now=0) is None


# ------------------------------------------------------------------ memory


@pytest.mark.slow
def test_finished_messages_are_not_kept_in_memory(new_client, records):
    client = new_client(ready=100)
    consumer = client.consumer
    tracemalloc.start()
    kept = records([b"the one that stays in flight"])
    consumer.deliver(kept, now=0)
    for round in range(200):
        slice = records([b"x" * 10_000] * 20)
        consumer.deliver(slice, now=round)
        consumer.held.finish(ids_of(slice))
        client.messages()
    now_held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 40 MB went through; what finished since the last look may still be listed
    assert now_held < 2_000_000
    assert consumer.held.expire(now=10**18) == kept
