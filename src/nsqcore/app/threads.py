"""Threads for what would block the event loop: started with the daemon, kept as long as it runs.

A thread that is started when it is needed may be refused then (a limit of processes, no memory).
So a daemon opens its threads at the start (`open_threads`), and `run_sync` uses those. In a program
that has opened none, such as a test, `run_sync` is `trio.to_thread.run_sync`.

There are lanes, so that what hangs in one holds up only its own kind: names that a name server does
not answer for keep no file from being written.
"""

import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import trio

from nsqcore.app.config.options import OptionsError
from nsqcore.classes import define, field

Result = TypeVar("Result")
Args = TypeVarTuple("Args")

# Threads of each lane.
LANES = {"disk": 2, "names": 2, "other": 1}

_lanes: trio.lowlevel.RunVar[dict[str, "_Lane"] | None] = trio.lowlevel.RunVar("lanes", None)


async def run_sync(
    function: Callable[[*Args], Result], *args: *Args, lane: str = "other", abandon: bool = False
) -> Result:
    """What ``function(*args)`` returns or raises, run in a thread of ``lane``.

    It cannot be cancelled; with ``abandon`` nobody waits for the thread after a cancellation.
    """
    lanes = _lanes.get()
    if lanes is None:
        return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=abandon)
    await trio.lowlevel.checkpoint()
    job = _Job(partial(function, *args), trio.lowlevel.current_trio_token())
    lanes[lane].jobs.put(job)
    with trio.CancelScope(shield=not abandon):
        await job.done.wait()
    error, job.error = job.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame
    result: Result = job.result
    return result


@asynccontextmanager
async def open_threads() -> AsyncIterator[None]:
    """Keep the threads of `LANES` while the block runs, names of hosts resolved in them too.

    Raises OptionsError where they cannot be started.
    """
    lanes = {name: _Lane() for name in LANES}
    try:
        for name, lane in lanes.items():
            lane.start(name, LANES[name])
        _lanes.set(lanes)
        previous = trio.socket.set_custom_hostname_resolver(None)
        trio.socket.set_custom_hostname_resolver(previous or _Resolver())
        try:
            yield
        finally:
            trio.socket.set_custom_hostname_resolver(previous)
            _lanes.set(None)
    finally:
        for lane in lanes.values():
            lane.stop()


@define(eq=False, repr=False)
class _Job:
    """A call for a thread, what came of it, and how the task that waits is told."""

    call: Callable[[], Any]
    token: trio.lowlevel.TrioToken
    done: trio.Event = field(factory=trio.Event)
    result: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        """Make the call, in the thread."""
        try:
            self.result = self.call()
        except BaseException as error:  # whatever it is, it belongs to the task that waits
            # Without this frame in its traceback, which would refer back to it.
            trace = error.__traceback__
            self.error = error.with_traceback(trace and trace.tb_next)
            del trace
        try:
            self.token.run_sync_soon(self.done.set)
        except trio.RunFinishedError:  # nobody waits any more: the daemon has ended
            return


@define(eq=False, repr=False)
class _Lane:
    """Threads that take from one queue."""

    jobs: "queue.SimpleQueue[_Job | None]" = field(factory=queue.SimpleQueue)
    _size: int = 0

    def start(self, name: str, size: int) -> None:
        """Start ``size`` threads."""
        for _ in range(size):
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError as error:
                raise OptionsError(f"cannot start the threads for {name} - {error}") from error
            self._size += 1

    def stop(self) -> None:
        """Let the threads end, once they have done what was asked of them."""
        for _ in range(self._size):
            self.jobs.put(None)

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.run()
            del job  # what it refers to is not kept until the next one comes


class _Resolver(trio.abc.HostnameResolver):
    """Resolves names in the lane kept for that."""

    async def getaddrinfo(self, *args: Any) -> Any:
        return await run_sync(socket.getaddrinfo, *args, lane="names", abandon=True)

    async def getnameinfo(self, *args: Any) -> Any:
        return await run_sync(socket.getnameinfo, *args, lane="names", abandon=True)
