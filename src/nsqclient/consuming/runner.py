"""`Consumer.run`: a bounded number of workers, each handling one message at a time.

A worker is a task for the whole run, never for a message; a message taken from
a full buffer costs no task switch. Cancelling the run stops the taking at once;
handlers get some time to end, and are then cancelled, which gives their
messages back. A handler whose message expires under it is cancelled too, so
that one that hangs does not hold its worker for ever.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio

from nsqclient.messages.message import Message, conclude
from nsqcore.classes import Factory, define

log = logging.getLogger("nsqclient")

Handler = Callable[[Message], Awaitable[object]]


class _NotAsync(TypeError):
    """The handler is no async function."""


@define(eq=False, repr=False)
class _Worker:
    scope: anyio.CancelScope
    message: Message | None = None

    def give_up(self) -> None:
        """Cancel the handler: its message is no longer ours."""
        self.scope.cancel()


@define(eq=False, repr=False)
class Runner:
    """One call of `Consumer.run`. ``take`` gives the next message, None at the end."""

    _take: Callable[[], Awaitable[Message | None]]
    _handler: Handler
    _requeue_delay: float | None
    _auto_touch: bool
    _grace: float
    _workers: set[_Worker] = Factory(set)
    _stopping: bool = False
    _fatal: BaseException | None = None
    _done: anyio.Event = Factory(anyio.Event)

    async def run(self, concurrency: int) -> None:
        """Handle messages until there are no more, or cancelled."""
        async with anyio.create_task_group() as tasks:
            for _ in range(concurrency):
                worker = _Worker(anyio.CancelScope(shield=True))
                self._workers.add(worker)
                tasks.start_soon(self._work, worker)
            try:
                await self._done.wait()
            finally:
                await self._end()
        if self._fatal is not None:
            raise self._fatal

    async def _end(self) -> None:
        self._stopping = True
        for worker in self._workers:
            if worker.message is None:
                worker.scope.cancel()
        try:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + self._grace):
                await self._done.wait()
        finally:  # asyncio's own cancellation knows no shield: a second one ends the waiting
            for worker in self._workers:
                worker.scope.cancel()

    async def _work(self, worker: _Worker) -> None:
        try:
            more = True
            while more:
                with worker.scope:
                    more = await self._serve(worker)
                # Left early, because a message expired: the next ones need a scope of their own.
                worker.scope = anyio.CancelScope(shield=True)
                more = more and not self._stopping
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            # The program is to end, or the handler is none: raised by `run` as it is. In a task of
            # asyncio it would end the loop at once.
            self._fatal = self._fatal or error
            self._done.set()
        finally:
            self._workers.discard(worker)
            if not self._workers:
                self._done.set()

    async def _serve(self, worker: _Worker) -> bool:
        """Handle messages; returns False once there are no more."""
        handler, scope = self._handler, worker.scope
        while not self._stopping:
            message = await self._take()
            if message is None:
                return False
            worker.message = message
            message.auto_touch = self._auto_touch
            message.on_expired = worker.give_up
            error: BaseException | None = None
            span = message.holder.handling(message)
            try:
                result = handler(message)
                if not isinstance(result, Awaitable):
                    raise _NotAsync(f"the handler gave {type(result).__name__}: write async def")
                await result
            except _NotAsync:
                error = GeneratorExit()  # not the message's fault: it is given back
                raise
            except Exception as raised:
                error = raised
                log.exception("message(%s): handler failed, requeueing it", message.id)
            except BaseException as raised:
                error = raised
                raise
            finally:
                worker.message = None
                conclude(message, error, self._requeue_delay)
                span.end(error)
            if scope.cancel_called:
                break
        return True
