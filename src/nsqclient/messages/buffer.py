"""Messages that have arrived and wait to be taken, and the tasks that wait for some.

Taking is free of task switches while there are messages. A task that takes many
in a row passes a checkpoint now and then, so that the rest of the program,
heartbeats included, gets its turn.
"""

from collections import deque
from collections.abc import Iterable

import anyio
import anyio.lowlevel

from nsqclient.messages.message import Message, State
from nsqcore.classes import Factory, define

# Messages between two checkpoints. Answers leave at a checkpoint: enough of them to share a write,
# few enough that a handler of some milliseconds does not starve the loop.
CHECKPOINT_EVERY = 64


@define(eq=False, repr=False)
class MessageBuffer:
    """A buffer of messages; ``closed`` means none is given out any more.

    ``taken`` counts those that were given out.
    """

    closed: bool = False
    taken: int = 0
    _waiting: deque[Message] = Factory(deque)
    _takers: deque[anyio.Event] = Factory(deque)
    _until_checkpoint: int = CHECKPOINT_EVERY

    def __len__(self) -> int:
        return len(self._waiting)

    def put_many(self, messages: Iterable[Message]) -> None:
        """Add messages and wake one taker; who takes wakes the next.

        What expired while nobody took anything is dropped: nsqd sends it again and again.
        """
        waiting = self._waiting
        while waiting and waiting[0].state is not State.OPEN:
            waiting.popleft()
        waiting.extend(messages)
        self._wake_one()

    def put_back(self, message: Message) -> None:
        """Put a message back that was just taken: it is the next one again."""
        self._waiting.appendleft(message)
        self._wake_one()

    def close(self) -> list[Message]:
        """End it: takers get None from now on. Returns what nobody took."""
        self.closed = True
        rest = [message for message in self._waiting if message.state is State.OPEN]
        self._waiting.clear()
        while self._takers:
            self._takers.popleft().set()
        return rest

    def take_nowait(self) -> Message | None:
        """The oldest message that has not expired; None if there is none."""
        waiting = self._waiting
        while waiting and not self.closed:
            message = waiting.popleft()
            if message.state is State.OPEN:
                message.waiting = False
                self.taken += 1
                if self._takers:
                    self._wake_one()
                return message
        return None

    def needs_checkpoint(self) -> bool:
        """Whether the caller should pass a checkpoint before it takes the next message."""
        self._until_checkpoint -= 1
        if self._until_checkpoint > 0:
            return False
        self._until_checkpoint = CHECKPOINT_EVERY
        return True

    async def wait(self) -> None:
        """Return when there may be a message to take, or none will come. A checkpoint."""
        if self._waiting or self.closed:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        self._takers.append(woken)
        try:
            await woken.wait()
        except BaseException:
            if woken.is_set():
                self._wake_one()  # it was woken for a message that another has to take now
            else:
                self._takers.remove(woken)
            raise
        self._until_checkpoint = CHECKPOINT_EVERY

    async def take(self) -> Message | None:
        """The oldest message, waited for; None once it is closed and empty."""
        if self.needs_checkpoint():
            await anyio.lowlevel.checkpoint()
        while True:
            message = self.take_nowait()
            if message is not None or self.closed:
                return message
            await self.wait()

    def _wake_one(self) -> None:
        if self._waiting and self._takers:
            self._takers.popleft().set()
