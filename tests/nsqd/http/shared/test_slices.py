"""Answers made in slices."""

import time

import pytest
import trio
import trio.testing
from tests.support.passes import measured_passes

from nsqcore.http.responses import Response
from nsqd.http.shared.slices import SLICE, AtOnce, answer_in_slices, join_in_slices


def ticking(step):
    """A clock that moves on by ``step`` ns at each look."""
    return iter(range(0, 10**12, step)).__next__


def finish(body):
    return Response(200, body.encode())


def test_short_answer_is_there_at_once():
    answer = answer_in_slices(iter("abc"), finish, AtOnce(ticking(1)))
    assert answer.body == b"abc"


async def test_what_others_would_wait_for_is_not_made_at_once():
    """Hundreds of requests with a whole slice each, before it is somebody else's turn."""
    answer = answer_in_slices(iter("abc"), finish, AtOnce(ticking(SLICE // 4)))
    assert not isinstance(answer, Response)
    assert (await answer).body == b"abc"


async def test_who_asks_by_the_hundred_shares_what_is_made_at_once():
    """Each of 256 requests that came together had its share of a slice before anybody else."""
    clock = [0]

    def pieces():
        for _ in range(9):
            clock[0] += SLICE // 100
            yield ""

    at_once = AtOnce(lambda: clock[0])
    answers = [answer_in_slices(pieces(), finish, at_once) for _ in range(256)]
    ready = [answer for answer in answers if isinstance(answer, Response)]
    assert 0 < len(ready) < 9
    assert clock[0] < SLICE
    for later in answers:
        if not isinstance(later, Response):
            assert (await later).status == 200
    clock[0] += 10 * SLICE
    assert isinstance(answer_in_slices(pieces(), finish, at_once), Response)


async def test_long_answer_steps_aside_after_every_slice():
    answer = answer_in_slices(iter("abcdef"), finish, AtOnce(ticking(SLICE // 2)))
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


@pytest.mark.slow
async def test_many_long_answers_hold_up_the_others_no_longer_than_one():
    """Each of 2000 who browsed at once took its slice in each round of the loop: two seconds."""

    def pieces():
        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            yield ""

    async def answer():
        await join_in_slices(pieces(), lambda: round(time.thread_time() * 1e9), SLICE // 5)

    with trio.fail_after(60), measured_passes() as passes:
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(answer)
    assert passes.longest < 0.03
