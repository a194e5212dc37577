"""How long a producer or a consumer lives: a block, or from `start` to `aclose`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from nsqclient.core.background import Background
from nsqcore.classes import define, field, frozen

P = ParamSpec("P")


@frozen(kw_only=True)
class Health:
    """How a producer or a consumer is, for probes and status pages.

    Attributes:
        ok: whether it can do its work now.
        connected: the addresses of the nsqds it works with.
        problems: what is wrong, a line each; there may be some though the whole is ``ok``.
    """

    ok: bool
    connected: list[str]
    problems: list[str]


@define(eq=False, repr=False)
class Closable:
    """What has background tasks, and can be closed without the block that opened it."""

    _tasks: Background | None = field(default=None, init=False)
    _leave: Callable[[], Awaitable[None]] | None = field(default=None, init=False)

    async def aclose(self) -> None:
        """Do what leaving the ``async with`` does; returns when every background task has ended.

        May be called in another task than the one that called `start`, and more than once.
        """
        leave, self._leave = self._leave, None
        if leave is not None:
            await leave()
        elif self._tasks is not None:
            await self._tasks.aclose()


T = TypeVar("T", bound=Closable)


@define(eq=False, repr=False)
class Opening(AbstractAsyncContextManager[T]):
    """What `open_producer` and `open_consumer` give: for ``async with``, or to be started."""

    _context: AbstractAsyncContextManager[T]

    async def start(self) -> T:
        """Open it without a block; it lives until its `aclose`, or the end of the event loop."""
        opened = await self._context.__aenter__()
        opened._leave = self._exit
        return opened

    async def __aenter__(self) -> T:
        return await self._context.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._context.__aexit__(kind, error, trace)

    async def _exit(self) -> None:
        await self._context.__aexit__(None, None, None)


def opening(opener: Callable[P, AsyncIterator[T]]) -> Callable[P, Opening[T]]:
    """Like `asynccontextmanager`; what the function gives can also be started."""
    context = asynccontextmanager(opener)

    @wraps(opener)
    def opened(*args: P.args, **kwargs: P.kwargs) -> Opening[T]:
        return Opening(context(*args, **kwargs))

    return opened
