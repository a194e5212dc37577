"""The reactor's share of time, and everybody else's."""

import itertools
import os
import select

import pytest
import trio
from tests.support.sources import source_of

from nsqcore.reactor import ticks
from nsqcore.reactor.ticks import run_ticks


@pytest.fixture
def always_ready():
    """An epoll set with something to report at any time."""
    read, write = os.pipe()
    os.write(write, b"x")
    epoll = select.epoll()
    epoll.register(read, select.EPOLLIN)
    yield epoll
    epoll.close()
    os.close(read)
    os.close(write)


async def test_timers_and_other_tasks_run_under_full_load(nursery, always_ready):
    taken = []
    nursery.start_soon(run_ticks, always_ready, taken.append)
    with trio.fail_after(60):
        for _ in range(5):
            await trio.sleep(0.001)
    assert taken
    nursery.cancel_scope.cancel()


async def test_a_task_that_a_tick_has_woken_runs_before_the_next_tick(nursery, always_ready):
    order: list[str] = []
    event = trio.Event()

    def tick(_events) -> None:
        order.append("tick")
        event.set()

    async def woken() -> None:
        await event.wait()
        order.append("woken")

    nursery.start_soon(woken)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(run_ticks, always_ready, tick)
    with trio.fail_after(60):
        while "woken" not in order:
            await trio.lowlevel.checkpoint()
    # trio runs what is ready in any order: the reactor may be first once more.
    assert order.index("woken") <= 2
    nursery.cancel_scope.cancel()


class Counting:
    """An epoll set that has a byte to report when told so, and notes how long it may wait."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._read, self._write = os.pipe()
        self._epoll = select.epoll()
        self._epoll.register(self._read, select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def poll(self, _epoll: object, _fd: int, timeout: int) -> list[tuple[int, int]]:
        self.asked.append(timeout)
        return self._epoll.poll(timeout / 1000, 1)

    def report(self) -> None:
        os.write(self._write, b"x")

    def take(self) -> None:
        os.read(self._read, 1)

    def close(self) -> None:
        self._epoll.close()
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def counting():
    counting = Counting()
    yield counting
    counting.close()


@pytest.fixture
def run_ticks_of_a_busy_machine(counting):
    """With a clock that goes on by 0.25 µs each time it is read, and only then.

    The source of `nsqcore.reactor.ticks`: compiled, it asks the system itself.
    """
    source = source_of("nsqcore.reactor.ticks")
    source.clock = itertools.count(step=0.25e-6).__next__
    source.poll = counting.poll
    return source.run_ticks


async def test_it_sleeps_while_nothing_happens(nursery, counting, run_ticks_of_a_busy_machine):
    run_ticks = run_ticks_of_a_busy_machine
    nursery.start_soon(run_ticks, counting, lambda _events: counting.take())
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(counting.asked) == 1
    counting.report()
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert counting.asked[:3] == [0, 0, ticks.POLL_TIMEOUT]
    assert len(counting.asked) < 6
    nursery.cancel_scope.cancel()


async def test_it_does_not_sleep_between_requests_that_come_closely(
    nursery, counting, run_ticks_of_a_busy_machine
):
    run_ticks = run_ticks_of_a_busy_machine
    served = 0

    def tick(_events: object) -> None:
        nonlocal served
        counting.take()
        served += 1
        if served < 20:
            counting.report()

    nursery.start_soon(run_ticks, counting, tick)
    counting.report()
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert served == 20
    # Some times to learn that they come closely, once after the last.
    assert counting.asked.count(ticks.POLL_TIMEOUT) == ticks.SPIN_AFTER + 1
    assert len(counting.asked) > 100  # it went on looking before it slept
    after = len(counting.asked)
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert len(counting.asked) == after
    nursery.cancel_scope.cancel()
