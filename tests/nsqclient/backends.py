"""Running one test under trio, asyncio and uvloop.

The tests are plain functions for pytest, so that no plugin for one of the
loops takes them. Under trio with `virtual_time` the clock jumps: such tests
must not use real sockets.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio.testing

LIMIT = 120.0  # seconds; many times what anything here takes on a busy machine


BACKENDS = ("trio", "asyncio", "uvloop")


def on_every_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run ``test`` under trio, asyncio and uvloop."""
    return pytest.mark.parametrize("backend", BACKENDS)(on_a_loop(test))


def virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run ``test`` under trio, with a clock that jumps over every wait."""
    runner = on_a_loop(test)

    def run(*args: Any, **kwargs: Any) -> None:
        clock = trio.testing.MockClock(autojump_threshold=0)
        runner(*args, backend="trio", clock=clock, **kwargs)

    functools.update_wrapper(run, test)
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run ``test`` under the one of `BACKENDS` that is given as ``backend``."""

    def run(*args: Any, backend: str, clock: Any = None, **kwargs: Any) -> None:
        async def limited() -> None:
            with anyio.fail_after(LIMIT if clock is None else 1e6):
                await test(*args, **kwargs)

        options = {} if clock is None else {"clock": clock}
        if backend == "uvloop":
            backend, options = "asyncio", {"use_uvloop": True}
        anyio.run(limited, backend=backend, backend_options=options)

    functools.update_wrapper(run, test)
    signature = inspect.signature(test)
    backend = inspect.Parameter("backend", inspect.Parameter.KEYWORD_ONLY)
    parameters = [*signature.parameters.values(), backend]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run
