"""Messages in batches, for handlers that work better on many at once."""

from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel

from nsqclient.core.arguments import Duration, number_of_seconds, seconds
from nsqclient.core.errors import MessageExpired
from nsqclient.messages.buffer import MessageBuffer
from nsqclient.messages.message import Message, State, conclude
from nsqclient.messages.span import Span
from nsqcore.classes import Factory, define, frozen

# How long a batch waits for idle nsqds (s) while a busy one waits for its answers: longer than the
# messages of several busy ones are apart, short enough to keep the busy one at work.
PATIENCE = 0.01


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
            try:
                if message.state is State.OPEN:
                    message.finish_nowait()
            except MessageExpired:
                pass  # counted below
            expired += message.state is State.EXPIRED
        if expired:
            raise MessageExpired(f"{expired} of {len(self)} messages; they will come again")
        await anyio.lowlevel.checkpoint()

    async def requeue(self, delay: Duration | None = None, *, backoff: bool = True) -> None:
        """Give every message back that is still open (see `Message.requeue`)."""
        checked = None if delay is None else number_of_seconds(delay, "delay")
        for message in self.messages:
            if message.state is State.OPEN:
                try:
                    message.requeue_nowait(checked, backoff=backoff)
                except MessageExpired:
                    continue  # nsqd has it again, which is what was wanted
        await anyio.lowlevel.checkpoint()

    def process(
        self, *, requeue_delay: Duration | None = None, auto_touch: bool = True
    ) -> "BatchProcessing":
        """A context that answers for all: see `Message.process`."""
        delay = None if requeue_delay is None else seconds(requeue_delay, "requeue_delay")
        return BatchProcessing(self, delay, auto_touch)


@define(eq=False, repr=False)
class BatchProcessing:
    """The context of `Batch.process`. ``async with`` gives the batch."""

    _batch: Batch
    _requeue_delay: float | None
    _auto_touch: bool
    _spans: list[Span] = Factory(list)

    async def __aenter__(self) -> Batch:
        for message in self._batch.messages:
            message.auto_touch = self._auto_touch
            self._spans.append(message.holder.handling(message))
        return self._batch

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for message in self._batch.messages:
            conclude(message, error, self._requeue_delay)
        for span in reversed(self._spans):
            span.end(error)


@define(eq=False, repr=False)
class Batches:
    """An iterator of batches: up to ``max_size`` messages, or what came within ``max_wait`` s.

    The wait begins with the first message of a batch, and ends early when no nsqd can send
    more before some are answered, or when one of those the batch came from cannot and the
    others bring nothing for `PATIENCE`. Cancelled while it gathers, it gives the gathered
    messages back.
    """

    _buffer: MessageBuffer
    _next: Callable[[], Awaitable[Message]]
    _is_exhausted: Callable[[], bool]
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
        messages[0].auto_touch = True
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._max_wait):
                await self._gather(messages)
        except BaseException:
            for message in messages:
                message.waiting = True  # nobody has tried it
                message.holder.give_back([message])
            raise
        for message in messages:
            message.auto_touch = False
        return Batch([message for message in messages if message.state is State.OPEN])

    async def _gather(self, messages: list[Message]) -> None:
        while len(messages) < self._max_size and not self._buffer.closed:
            message = self._buffer.take_nowait()
            if message is not None:
                message.auto_touch = True
                messages.append(message)
            elif self._is_exhausted():
                return
            elif any(holder.is_full for holder in {message.holder for message in messages}):
                with anyio.move_on_after(PATIENCE) as patience:
                    await self._buffer.wait()
                if patience.cancelled_caught:
                    return
            else:
                await self._buffer.wait()
