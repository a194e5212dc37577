"""Tasks that live as long as an ``async with`` block, and a little longer.

When the caller's scope is cancelled, the block inside stops at once, but the
connections must live on until they have said goodbye. So background tasks are
shielded, and end when closing is over. Closing is one of them: a task
of asyncio that is cancelled once more while it waits for it interrupts nothing.

An error of the block reaches the caller as it is. An error of a background task
is a bug: it cancels the block and comes out in an exception group.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup
from attrs import Factory, define


@define(eq=False)
class Background:
    """Background tasks of one block; `start` adds one."""

    _tasks: TaskGroup
    _scopes: set[anyio.CancelScope] = Factory(set)
    _ended: bool = False

    def start(self, run: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``run(*args)`` until it returns or the block has ended."""
        self._tasks.start_soon(self._shielded, run, args)

    async def end_after(self, close: Callable[[], Awaitable[None]]) -> None:
        """Cancel all of them once ``close`` is over, however it went."""
        try:
            await close()
        finally:
            self._ended = True
            for scope in self._scopes:
                scope.cancel()

    async def _shielded(
        self, run: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        with anyio.CancelScope(shield=True) as scope:
            if self._ended:
                return
            self._scopes.add(scope)
            try:
                await run(*args)
            finally:
                self._scopes.discard(scope)


@asynccontextmanager
async def background(close: Callable[[], Awaitable[None]]) -> AsyncIterator[Background]:
    """A block with background tasks.

    ``close`` runs after the block, however it ended, shielded from
    cancellation, while the tasks still run; it has to limit its own time.
    """
    raised: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks_of_block = Background(tasks)
        try:
            yield tasks_of_block
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raised = error  # carried past the task group, which would wrap it
        finally:
            tasks_of_block.start(tasks_of_block.end_after, close)
    if raised is not None:
        raise raised
