"""Behaviour of the outbox: order, size, slots, and when the driver is woken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqcore.net.outbox import Outbox


def counted() -> tuple[Outbox, list[int]]:
    wakes: list[int] = []
    outbox = Outbox(lambda: wakes.append(1))
    return outbox, wakes


def test_bytes_come_out_in_the_order_in_which_they_were_added():
    outbox = Outbox()
    outbox.add(b"one ")
    outbox.add(b"two ")
    outbox.add(b"three")

    assert outbox.size == 13
    assert outbox.take() == b"one two three"
    assert outbox.size == 0


def test_the_driver_is_woken_once_for_bytes_that_it_will_send_together():
    outbox, wakes = counted()
    outbox.add(b"a")
    outbox.add(b"b")
    assert len(wakes) == 1

    outbox.take()
    outbox.add(b"c")
    assert len(wakes) == 2


def test_what_is_added_behind_a_slot_stays_back_until_its_release():
    outbox, wakes = counted()
    outbox.add(b"before ")
    slot = outbox.hold()
    outbox.add(b" after")
    assert outbox.open_slots == 1
    assert outbox.peek() == b"before "
    assert outbox.size == 13

    outbox.sent(7)
    woken = len(wakes)
    slot.release(b"in between")
    assert len(wakes) == woken + 1
    assert outbox.open_slots == 0
    assert outbox.take() == b"in between after"
    assert outbox.size == 0


def test_a_slot_is_released_once():
    slot = Outbox().hold()
    slot.release(b"x")
    with pytest.raises(RuntimeError):
        slot.release(b"y")


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=5)), max_size=20), st.randoms(), st.booleans()
)
def test_slots_keep_their_places_in_whatever_order_they_are_released(entries, random, take_early):
    # None takes a place that is filled later; bytes are added at once
    outbox, wakes = counted()
    expected, got, slots = b"", b"", []
    for number, entry in enumerate(entries):
        if entry is None:
            reply = b"<%d>" % number if number % 3 else b""
            slots.append((outbox.hold(), reply))
            expected += reply
        else:
            outbox.add(entry)
            expected += entry
    random.shuffle(slots)
    for slot, reply in slots:
        if take_early:
            got += outbox.take()
        woken = len(wakes)
        could = len(outbox.parts)
        slot.release(reply)
        assert len(outbox.parts) == could or len(wakes) > woken
    got += outbox.take()
    assert got == expected
    assert (outbox.size, outbox.open_slots) == (0, 0)
    outbox.add(b"x")
    assert outbox.take() == b"x"


def test_closing_wakes_the_driver_and_the_first_reason_stays():
    outbox, wakes = counted()
    outbox.close("first")
    outbox.close("second")

    assert outbox.closing == "first"
    assert len(wakes) == 1


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1), st.data())
def test_whatever_the_kernel_takes_at_a_time_all_bytes_are_sent_once(pieces, data):
    outbox = Outbox()
    for piece in pieces:
        outbox.add(piece)
    gone = b""
    while outbox.parts:
        ready = bytes(outbox.peek()) if data.draw(st.booleans()) else b"".join(outbox.parts)
        count = data.draw(st.integers(1, len(ready)))
        outbox.sent(count)
        gone += ready[:count]

    assert gone == b"".join(pieces)
    assert outbox.size == 0
