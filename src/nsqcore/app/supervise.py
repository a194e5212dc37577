"""Keeps the background tasks of a daemon running: none of them can take the daemon down."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import trio

from nsqcore.backoff import Backoff
from nsqcore.errors import leaves, reason

logger = logging.getLogger(__name__)

# Seconds until a task that failed is started again. One that ran for longer than the longest pause
# begins with the first.
RESTART = Backoff(first=0.5, longest=30.0)

Args = TypeVarTuple("Args")


async def supervise(
    name: str, task: Callable[[*Args], Awaitable[None]], *args: *Args, backoff: Backoff = RESTART
) -> None:
    """Run ``task(*args)``; whenever it raises, log that under ``name`` and run it again.

    Ends when the task returns or is cancelled. Whatever else it raises, `Exception` or a group of
    them, ends here: a failing part never takes its daemon down.
    """
    failures, last = 0, ""
    while True:
        began = trio.current_time()
        try:
            await task(*args)
        except Exception as error:
            last = _log(name, error, last)
        except BaseExceptionGroup as group:
            # A nursery that was cancelled while one of its tasks failed.
            errors, others = group.split(Exception)
            if errors is not None:
                last = _log(name, errors, last)
            if others is not None:
                raise others from None
        else:
            return
        failures = 1 if trio.current_time() - began > backoff.longest else failures + 1
        await trio.sleep(backoff.pause(failures))


def _log(name: str, error: Exception, last: str) -> str:
    """Log the cause in one line, with a traceback unless it is the ``last`` one; its text."""
    kinds = dict.fromkeys(type(leaf).__name__ for leaf in leaves(error))
    text = f"{', '.join(kinds)}: {reason(error)}"
    trace = None if text == last else error
    logger.error("%s: failed, starting it again - %s", name, text, exc_info=trace)
    return text
