"""Messages in batches, for handlers that work better on many at once."""

from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from attrs import define, frozen

from nsqclient.core.errors import MessageExpired
from nsqclient.messages.buffer import MessageBuffer
from nsqclient.messages.message import Message, State, conclude


@frozen(eq=False)
class Batch:
    """Some messages that are handled together; iterate over it, or use ``messages``."""

    messages: list[Message]

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    async def finish(self) -> None:
        """Finish every message that is still open.

        Raises:
            MessageExpired: some had expired; the others are finished all the same.
        """
        expired = 0
        for message in self.messages:
            if message.state is State.OPEN:
                message.finish_nowait()
            expired += message.state is State.EXPIRED
        if expired:
            raise MessageExpired(f"{expired} of {len(self)} messages; they will come again")
        await anyio.lowlevel.checkpoint()

    async def requeue(self, delay: float | None = None, *, backoff: bool = True) -> None:
        """Give every message back that is still open (see `Message.requeue`)."""
        for message in self.messages:
            if message.state is State.OPEN:
                message.requeue_nowait(delay, backoff=backoff)
        await anyio.lowlevel.checkpoint()

    def process(
        self, *, requeue_delay: float | None = None, auto_touch: bool = True
    ) -> "BatchProcessing":
        """A context that answers for all: see `Message.process`."""
        return BatchProcessing(self, requeue_delay, auto_touch)


@define(eq=False)
class BatchProcessing:
    """The context of `Batch.process`. ``async with`` gives the batch."""

    _batch: Batch
    _requeue_delay: float | None
    _auto_touch: bool

    async def __aenter__(self) -> Batch:
        for message in self._batch.messages:
            message.auto_touch = self._auto_touch
        return self._batch

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for message in self._batch.messages:
            conclude(message, error, self._requeue_delay)


@define(eq=False)
class Batches:
    """An iterator of batches: up to ``max_size`` messages, or what came within ``max_wait`` s.

    The wait begins with the first message of a batch. Cancelled while it
    gathers, it gives the gathered messages back.
    """

    _buffer: MessageBuffer
    _next: Callable[[], Awaitable[Message]]
    _screen: Callable[[Message], bool]
    _max_size: int
    _max_wait: float

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        while True:
            batch = await self._batch()
            if batch.messages:  # else all of them expired while it was gathered
                return batch

    async def _batch(self) -> Batch:
        messages = [await self._next()]
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._max_wait):
                await self._gather(messages)
        except BaseException:
            for message in messages:
                if message.state is State.OPEN:
                    message.requeue_nowait(0, backoff=False)
            raise
        return Batch([message for message in messages if message.state is State.OPEN])

    async def _gather(self, messages: list[Message]) -> None:
        while len(messages) < self._max_size and not self._buffer.closed:
            message = self._buffer.take_nowait()
            if message is None:
                await self._buffer.wait()
            elif self._screen(message):
                messages.append(message)
            else:
                self._buffer.put_back(message)  # `_next` knows what to do with it
                return
