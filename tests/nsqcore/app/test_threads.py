import gc
import socket
import threading
from collections.abc import Iterator

import pytest
import trio

from nsqcore.app.config.options import OptionsError
from nsqcore.app.threads import LANES, open_threads, run_sync


@pytest.mark.parametrize("opened", [True, False])
async def test_what_is_run_in_a_thread_returns_and_raises_as_if_called(opened):
    async def check() -> None:
        assert await run_sync(divmod, 7, 2) == (3, 1)
        assert await run_sync(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await run_sync(divmod, 7, 0)

    if opened:
        async with open_threads():
            await check()
    else:
        await check()


@pytest.mark.parametrize("lane", LANES)
async def test_a_call_that_fails_leaves_nothing_behind(lane, without_collector):
    class Failure(Exception):
        """One of which the collector can be asked."""

    def fail() -> None:
        raise Failure

    async def call() -> None:
        with pytest.raises(Failure):
            await run_sync(fail, lane=lane)

    async with open_threads():
        await call()
        for _ in range(LANES[lane]):
            await run_sync(len, "", lane=lane)  # its threads have gone on
        assert not [each for each in gc.get_objects() if type(each) is Failure]


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_no_thread_is_started_once_they_are_open(monkeypatch):
    async with open_threads():
        monkeypatch.setattr(threading.Thread, "start", refuse)
        for lane in LANES:
            assert await run_sync(len, "abc", lane=lane) == 3
        assert await trio.socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)


def refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_threads_that_cannot_be_started_are_named(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OptionsError, match=r"threads for disk - can't start new thread"):
        async with open_threads():
            raise AssertionError("never open")


async def test_a_lane_that_hangs_does_not_hold_up_the_others():
    release = threading.Event()
    async with open_threads(), trio.open_nursery() as nursery:
        for _ in range(LANES["names"] + 1):
            nursery.start_soon(lambda: run_sync(release.wait, lane="names"))
        with trio.fail_after(60):
            assert await run_sync(len, "abc", lane="disk") == 3
        release.set()


async def test_what_hangs_can_be_abandoned():
    release = threading.Event()
    async with open_threads():
        with trio.move_on_after(0.01) as scope:
            await run_sync(release.wait, lane="names", abandon=True)
        assert scope.cancelled_caught
        release.set()


async def test_threads_end_with_the_block():
    before = threading.enumerate()
    async with open_threads():
        lanes = [each for each in threading.enumerate() if each not in before]
        assert len(lanes) == sum(LANES.values())
    with trio.fail_after(60):
        while any(each.is_alive() for each in lanes):  # noqa: ASYNC110 - threads tell nobody
            await trio.sleep(0.001)
