"""The switchboard's share of time, and everybody else's."""

import os
import select

import pytest
import trio

from nsqcore.net import turns
from nsqcore.net.turns import take_turns


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
    nursery.start_soon(take_turns, always_ready, taken.append)
    with trio.fail_after(10):
        for _ in range(5):
            await trio.sleep(0.001)
    assert taken
    nursery.cancel_scope.cancel()


async def test_a_task_that_a_turn_has_woken_runs_before_the_next_turn(nursery, always_ready):
    order: list[str] = []
    event = trio.Event()

    def turn(_events) -> None:
        order.append("turn")
        event.set()

    async def woken() -> None:
        await event.wait()
        order.append("woken")

    nursery.start_soon(woken)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(take_turns, always_ready, turn)
    with trio.fail_after(10):
        while "woken" not in order:
            await trio.lowlevel.checkpoint()
    # trio runs what is ready in any order: the switchboard may be first once more.
    assert order.index("woken") <= 2
    nursery.cancel_scope.cancel()


async def test_it_sleeps_while_nothing_happens(nursery, monkeypatch):
    asked: list[float] = []
    read, write = os.pipe()

    class Counting:
        def __init__(self) -> None:
            self.epoll = select.epoll()
            self.epoll.register(read, select.EPOLLIN)

        def fileno(self) -> int:
            return self.epoll.fileno()

        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            asked.append(timeout)
            return self.epoll.poll(timeout, most)

    counting = Counting()
    nursery.start_soon(take_turns, counting, lambda _events: os.read(read, 1))
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(asked) == 1
    os.write(write, b"x")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert asked[:3] == [0.0, 0.0, turns.LOITER]
    assert len(asked) < 6
    nursery.cancel_scope.cancel()
    counting.epoll.close()
    os.close(read)
    os.close(write)
