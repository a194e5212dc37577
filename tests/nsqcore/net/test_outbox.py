"""Behaviour of the outbox: order, size, holds, and when the driver is woken."""

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


def test_what_is_added_after_a_hold_stays_back_until_the_release():
    outbox, wakes = counted()
    outbox.add(b"before ")
    outbox.hold()
    outbox.add(b"after")
    assert outbox.peek() == b"before "
    assert outbox.size == 12

    outbox.sent(7)
    woken = len(wakes)
    outbox.release()
    assert len(wakes) == woken + 1
    assert outbox.take() == b"after"


def test_holds_are_released_in_the_order_in_which_they_were_made():
    outbox = Outbox()
    outbox.hold()
    outbox.add(b"1")
    outbox.hold()
    outbox.add(b"2")

    outbox.release()
    outbox.add(b"3")
    assert outbox.take() == b"1"
    outbox.release()
    outbox.add(b"4")
    assert outbox.take() == b"234"
    assert outbox.size == 0


def test_releasing_without_a_hold_is_an_error():
    with pytest.raises(IndexError):
        Outbox().release()


def test_closing_wakes_the_driver_and_the_first_reason_stays():
    outbox, wakes = counted()
    outbox.close("first")
    outbox.close("second")

    assert outbox.closing == "first"
    assert len(wakes) == 1


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
