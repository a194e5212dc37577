"""Calls at deadlines: never early, in order, few wake-ups."""

import math

import pytest
import trio

from nsqcore.reactor.timers import Timers

SECOND = 1_000_000_000


def virtual_now() -> int:
    return math.ceil(trio.current_time() * SECOND)


@pytest.fixture
async def timers(nursery):
    timers = Timers(virtual_now)
    nursery.start_soon(timers.run)
    await trio.testing.wait_all_tasks_blocked()
    return timers


async def test_a_call_comes_at_its_deadline_and_not_before(timers, autojump_clock):
    called = trio.Event()
    begin = virtual_now()
    timers.call_at(begin + 60 * SECOND, called.set)

    await called.wait()
    assert 60 * SECOND <= virtual_now() - begin < 60 * SECOND + 2_000_000


async def test_an_earlier_deadline_added_later_is_kept(timers, autojump_clock):
    order: list[str] = []
    done = trio.Event()
    now = virtual_now()
    timers.call_at(now + 20 * SECOND, lambda: (order.append("late"), done.set()))
    await trio.sleep(1)
    timers.call_at(now + 5 * SECOND, lambda: order.append("early"))

    await trio.sleep(5)
    assert order == ["early"]
    await done.wait()
    assert order == ["early", "late"]


async def test_a_cancelled_call_never_comes(timers, autojump_clock):
    called: list[int] = []
    handle = timers.call_at(virtual_now() + SECOND, lambda: called.append(1))
    handle.cancel()
    handle.cancel()

    await trio.sleep(5)
    assert called == []


async def test_calls_due_together_are_made_in_one_wake_up(nursery, autojump_clock):
    ticks: list[int] = []
    timers = Timers(virtual_now, lambda: ticks.append(1))
    nursery.start_soon(timers.run)
    done: list[int] = []
    now = virtual_now()
    for microseconds in range(100):
        timers.call_at(now + SECOND + microseconds * 10_000, lambda: done.append(1))

    await trio.sleep(5)
    assert len(done) == 100
    assert len(ticks) <= 3


async def test_a_call_may_ask_for_the_next_one(timers, autojump_clock):
    times: list[int] = []

    def again() -> None:
        times.append(round(trio.current_time()))
        timers.call_at(virtual_now() + 30 * SECOND, again)

    begin = round(trio.current_time())
    timers.call_at(virtual_now() + 30 * SECOND, again)
    await trio.sleep(100)
    assert [time - begin for time in times] == [30, 60, 90]


async def test_a_call_that_raises_is_logged_and_the_others_are_made(timers, autojump_clock, caplog):
    called = trio.Event()
    timers.call_at(virtual_now() + SECOND, lambda: 1 // 0)
    timers.call_at(virtual_now() + SECOND, called.set)

    await called.wait()
    assert "ZeroDivisionError" in caplog.text


async def test_cancelled_calls_do_not_pile_up():
    timers = Timers(lambda: 0)
    keep = timers.call_at(1, lambda: None)
    for _ in range(20_000):
        timers.call_at(10 * SECOND, lambda: None).cancel()

    assert len(timers._heap) < 5_000
    assert keep.fn is not None
