import errno
import ssl

import pytest
import trio

from nsqcore.app.supervise import supervise
from nsqcore.backoff import Backoff

ERRORS = [
    OSError(errno.EMFILE, "Too many open files"),
    RuntimeError("can't start new thread"),
    ModuleNotFoundError("No module named 'gone'"),
    UnicodeError("label empty or too long"),
    OverflowError("int too large to convert to float"),
    MemoryError(),
    RecursionError(),
    ssl.SSLError("x"),
    trio.BrokenResourceError(),
    trio.TooSlowError(),
    ExceptionGroup("several", [KeyError("a"), ExceptionGroup("more", [ValueError("the cause")])]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_task_that_fails_is_named_in_the_log_and_runs_again(error, autojump_clock, caplog):
    runs = 0

    async def task() -> None:
        nonlocal runs
        await trio.lowlevel.checkpoint()
        runs += 1
        if runs < 4:
            raise error

    await supervise("chore", task)

    assert runs == 4
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert all(line.startswith("chore: failed, starting it again - ") for line in lines)


@pytest.mark.slow
async def test_a_task_that_always_fails_is_tried_for_days_and_ever_more_rarely(autojump_clock):
    runs = 0

    async def task() -> None:
        nonlocal runs
        runs += 1
        raise OSError("no")

    with trio.move_on_after(86400):
        await supervise("chore", task)

    assert 86400 / 30 < runs < 86400 / 30 + 20


async def test_a_task_that_ran_well_for_long_is_tried_again_soon(autojump_clock):
    ends: list[float] = []

    async def task() -> None:
        if len(ends) >= 8:
            await trio.sleep(1000)
        ends.append(trio.current_time())
        raise OSError("no")

    with trio.move_on_after(1200):
        await supervise("chore", task, backoff=Backoff(first=1.0, longest=60.0))

    last = ends.index(next(end for end in ends if end - ends[0] > 1000))
    assert ends[last] - ends[last - 1] < 1100


async def test_what_stops_a_task_stops_its_supervisor(autojump_clock):
    began = trio.current_time()

    async def task() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("at the end")

    with trio.move_on_after(5) as scope:
        await supervise("chore", task)

    assert scope.cancelled_caught
    assert trio.current_time() - began == 5
