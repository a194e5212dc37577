"""Tasks that live as long as an ``async with`` block, and a little longer.

They run under a task of their own, the host. So a block may be entered in one
task and left in another, as fixtures of pytest-asyncio and the start-up hooks of
frameworks do. Leaving the block, or cancelling what is round it, closes what is
open and returns when every background task has ended.

An error of the block reaches the caller as it is. An error of a background task
is a bug: it is logged, ends the others, and comes out where the block is left.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context

import anyio
from anyio.abc import TaskGroup

from nsqclient.core.loop import Loop, running_loop
from nsqcore.classes import Factory, define, field

log = logging.getLogger("nsqclient")


@define(eq=False, repr=False)
class Background:
    """The background tasks of one block; `start` adds one.

    ``close`` is called when the block ends, while the tasks still run; it has to
    limit its own time. ``failed`` is called at once if a task ends with an error.
    """

    _close: Callable[[], Awaitable[None]]
    _failed: Callable[[Exception], None]
    loop: Loop = Factory(running_loop)
    error: Exception | None = None
    _tasks: TaskGroup | None = None
    _ready: anyio.Event = Factory(anyio.Event)
    _leaving: anyio.Event = Factory(anyio.Event)
    _ended: anyio.Event = Factory(anyio.Event)
    _host: object = field(default=None, init=False)

    def start(self, run: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``run(*args)`` until it returns or the block has ended; after that: do nothing."""
        if self._tasks is not None:
            self._tasks.start_soon(self._guarded, run, args)

    async def open(self) -> None:
        """Start the host; returns when tasks can be started."""
        if self.loop.asyncio is not None:
            self._host = self.loop.asyncio.create_task(self._run())
        else:
            import trio  # a program of asyncio has no need of it

            self._host = trio.lowlevel.spawn_system_task(self._run, context=copy_context())
        await self._wait(self._ready)

    async def aclose(self) -> None:
        """End the tasks after ``close``; returns when they have ended, also when cancelled."""
        self._leaving.set()
        await self._wait(self._ended)

    async def _wait(self, event: anyio.Event) -> None:
        """Wait for ``event`` whatever happens; a native cancellation of asyncio is raised then."""
        cancelled: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not event.is_set():
                try:
                    await event.wait()
                except anyio.get_cancelled_exc_class() as error:
                    if self.loop.asyncio is None or self.loop.asyncio.is_closed():
                        raise
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                self._ready.set()
                await self._leaving.wait()
                await self._close()
                tasks.cancel_scope.cancel()
        except Exception as error:  # of `close`: those of tasks never get here
            self._fail(error)
        finally:
            self._tasks = None
            self._ready.set()
            self._ended.set()

    async def _guarded(
        self, run: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        try:
            await run(*args)
        except Exception as error:
            self._fail(error)
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()

    def _fail(self, error: Exception) -> None:
        log.error("nsqclient: a background task failed: this is a bug", exc_info=error)
        if self.error is None:
            self.error = error
            self._failed(error)


@asynccontextmanager
async def background(
    close: Callable[[], Awaitable[None]], failed: Callable[[Exception], None]
) -> AsyncIterator[Background]:
    """A block with background tasks; see `Background`."""
    tasks = Background(close, failed)
    try:
        await tasks.open()
        yield tasks
    finally:
        await tasks.aclose()
    if tasks.error is not None:
        raise tasks.error
