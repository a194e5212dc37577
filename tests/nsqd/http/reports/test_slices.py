"""Answers made in slices."""

import trio
import trio.testing

from nsqcore.http.responses import Response
from nsqd.http.reports.slices import SLICE, answer_in_slices, join_in_slices


def ticking(step):
    """A clock that moves on by ``step`` ns at each look."""
    return iter(range(0, 10**12, step)).__next__


def finish(body):
    return Response(200, body.encode())


def test_short_answer_is_there_at_once():
    answer = answer_in_slices(iter("abc"), finish, ticking(1))
    assert answer.body == b"abc"


async def test_long_answer_steps_aside_after_every_slice():
    answer = answer_in_slices(iter("abcdef"), finish, ticking(SLICE // 2))
    with trio.testing.assert_checkpoints():
        assert (await answer).body == b"abcdef"


async def test_pieces_come_together_in_order():
    assert await join_in_slices(iter(["a", "", "bc"]), ticking(SLICE)) == "abc"


async def test_answer_that_is_given_up_stops_making_pieces():
    made = []

    def pieces():
        for number in range(1000):
            made.append(number)
            yield "x"

    with trio.CancelScope() as scope:
        scope.cancel()
        await join_in_slices(pieces(), ticking(SLICE))
    assert len(made) < 10
