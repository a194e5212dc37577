"""The event loop a client was opened on: its clock, its thread, and the way in from outside.

What anyio offers for these looks up the running loop at each call; a client asks
once. `Loop.call_soon` may be called from any thread and from a signal handler,
which interrupts the loop wherever it is.

asyncio is not imported: where it runs somebody has, and programs of trio start sooner without.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

from nsqcore.classes import frozen


@frozen(eq=False)
class Loop:
    """A running event loop.

    Attributes:
        now: its clock, in seconds.
        call_soon: runs a function in the loop's next turn and wakes the loop for it.
        asyncio: the loop where it is asyncio's (`asyncio.AbstractEventLoop`); None under trio.
        thread: the identity of the thread it runs in.
    """

    now: Callable[[], float]
    call_soon: Callable[[Callable[[], object]], object]
    asyncio: Any
    thread: int

    def check_thread(self) -> None:
        """Raise RuntimeError in any thread but the loop's."""
        if threading.get_ident() != self.thread:
            raise RuntimeError(
                "called from another thread than the event loop's: "
                "use anyio.from_thread.run_sync, or nsqclient.sync"
            )


def _asyncio_loop() -> Any:
    """The loop of asyncio that runs in this thread, if one does."""
    ask = getattr(sys.modules.get("asyncio"), "get_running_loop", None)
    try:
        return None if ask is None else ask()
    except RuntimeError:
        return None


def running_loop() -> Loop:
    """The event loop of the running task."""
    loop = _asyncio_loop()
    if loop is None:
        import trio  # a program of asyncio has no need of it

        token = trio.lowlevel.current_trio_token()
        return Loop(trio.current_time, token.run_sync_soon, None, threading.get_ident())
    return Loop(loop.time, loop.call_soon_threadsafe, loop, threading.get_ident())
