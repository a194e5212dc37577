"""What an epoll set does, by tasks of trio, for systems without epoll."""

import select
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from nsqcore.classes import define, field

EPOLLIN, EPOLLOUT = 1, 4  # the same numbers on every Linux; `select` lacks them elsewhere

HAS_EPOLL = hasattr(select, "epoll")


class Poller(Protocol):
    """What is needed of an epoll set."""

    def register(self, fd: int, mask: int) -> None:
        """Report ``fd`` from now on, when what ``mask`` names can be done."""

    def modify(self, fd: int, mask: int) -> None:
        """Report it for something else."""

    def unregister(self, fd: int) -> None:
        """Report it no longer. To be called before it is closed."""

    def close(self) -> None:
        """Report nothing any more."""


@define(eq=False, repr=False)
class TaskPoller:
    """A task for each descriptor and direction. ``report`` is called as a tick is."""

    nursery: trio.Nursery
    report: Callable[[list[tuple[int, int]]], object]
    _scopes: dict[int, trio.CancelScope] = field(factory=dict, init=False)

    def register(self, fd: int, mask: int) -> None:
        """Report ``fd`` from now on, when what ``mask`` names can be done."""
        scope = self._scopes[fd] = trio.CancelScope()
        if mask & EPOLLIN:
            wait = trio.lowlevel.wait_readable
            self.nursery.start_soon(self._watch, fd, EPOLLIN, wait, scope)
        if mask & EPOLLOUT:
            # A scope is entered once; whoever ends one ends the other.
            other = self._scopes[~fd] = trio.CancelScope()
            wait = trio.lowlevel.wait_writable
            self.nursery.start_soon(self._watch, fd, EPOLLOUT, wait, other)

    def modify(self, fd: int, mask: int) -> None:
        """Report it for something else."""
        self.unregister(fd)
        self.register(fd, mask)

    def unregister(self, fd: int) -> None:
        """Report it no longer."""
        for key in (fd, ~fd):
            scope = self._scopes.pop(key, None)
            if scope is not None:
                scope.cancel()

    def close(self) -> None:
        """Report nothing any more."""
        for scope in self._scopes.values():
            scope.cancel()
        self._scopes.clear()

    async def _watch(
        self, fd: int, event: int, wait: Callable[[int], Awaitable[None]], scope: trio.CancelScope
    ) -> None:
        with scope:
            # The descriptor may be somebody else's by now.
            while not scope.cancel_called:
                await wait(fd)
                if not scope.cancel_called:
                    self.report([(fd, event)])
