"""Starts tasks in such a way that trio can look at them."""

from collections.abc import Awaitable, Callable
from typing import Any


async def run_task(call: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Await ``call(*args)``, as the whole of a task.

    trio asks the coroutine of a task that waits for a lock about its state, which one of a compiled
    function cannot tell. This one is never compiled.
    """
    await call(*args)
