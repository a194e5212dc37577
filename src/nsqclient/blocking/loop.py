"""An event loop in a thread, for calls from others."""

import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    contextmanager,
)
from threading import Thread
from types import TracebackType
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from nsqclient.core.errors import Closed
from nsqclient.core.loop import Loop, running_loop
from nsqcore.classes import Factory, define, field

T = TypeVar("T")


@define(eq=False, repr=False)
class LoopThread:
    """The event loop in its thread. ``closed`` once the block has ended."""

    _portal: BlockingPortal
    _loop: Loop
    closed: bool = False
    process: int = Factory(os.getpid)
    _posted: deque[Callable[[], object]] = Factory(deque)
    _is_woken: bool = False

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """What ``function`` returns there. An interrupt here cancels it."""
        future = self.start(function)
        try:
            return future.result()
        finally:
            if not future.done():
                future.cancel()

    def start(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        """What ``function`` will return there."""
        if os.getpid() != self.process:
            raise RuntimeError("it was opened before the fork: open another in this process")
        if self.closed:
            raise Closed("its block has ended")
        return self._portal.start_task_soon(function)

    def do(self, function: Callable[[], T]) -> T:
        """What ``function``, which does not wait, returns there."""

        async def done() -> T:
            return function()

        return self.call(done)

    def post(self, function: Callable[[], object]) -> None:
        """Call ``function`` there, soon; does nothing after the end of the block.

        Many of these share one trip to the loop's thread.
        """
        if self.closed or os.getpid() != self.process:
            return
        self._posted.append(function)
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon(self.run_posted)

    def opened(self, context: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]:
        """``context`` as a plain context manager, entered and left there."""
        return self._portal.wrap_async_context_manager(context)

    def run_posted(self) -> None:
        """Do what was posted; in the loop's thread."""
        self._is_woken = False
        while self._posted:
            self._posted.popleft()()


@contextmanager
def loop_thread() -> Iterator[LoopThread]:
    """An event loop of asyncio in a thread, as long as the block lasts.

    In a forked process, which has no such thread, the end of the block ends nothing, whenever it
    comes: the last moment is when the interpreter clears what is left.
    """
    ready: Future[BlockingPortal] = Future()
    runner = Thread(target=_run_loop, args=(ready,), name="nsqclient", daemon=True)
    runner.start()
    portal = ready.result()
    thread = LoopThread(portal, portal.call(running_loop))
    try:
        yield thread
    finally:
        thread.closed = True
        if os.getpid() == thread.process:
            portal.call(portal.stop)
            runner.join()


def _run_loop(ready: Future[BlockingPortal]) -> None:
    async def serve() -> None:
        async with BlockingPortal() as portal:
            ready.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(serve, backend="asyncio")
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


@define(eq=False, repr=False)
class Blocking(AbstractContextManager[T]):
    """A plain context manager made of an asynchronous one.

    ``wrap`` makes what the block gets, ``close`` is called with that when the block ends. A
    forked process leaves it without a word: the event loop's thread is not in it.
    """

    _open: Callable[[], AbstractAsyncContextManager[object]]
    _wrap: Callable[[LoopThread, object], T]
    _close: Callable[[T], None]
    _process: int = field(default=0, init=False)
    _stack: ExitStack = field(factory=ExitStack, init=False)

    def __enter__(self) -> T:
        with ExitStack() as stack:
            thread = stack.enter_context(loop_thread())
            given = self._wrap(thread, stack.enter_context(thread.opened(self._open())))
            stack.callback(self._close, given)
            self._process, self._stack = thread.process, stack.pop_all()
        return given

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() == self._process:
            self._stack.__exit__(kind, error, trace)
