"""Messages on standard output: each is finished after it was written."""

import attrs
import trio

from nsqclient import Consumer, Message
from nsqclient.messages.message import State
from nsqcore.app.streams import Streams

# Messages in one write: enough to be fast, few enough to appear without delay.
BATCH = 100


@attrs.define(eq=False)
class Printer:
    """Writes messages to standard output; ``left`` is how many are still wanted, None for all.

    It sets ``done`` when there is nothing more to print.
    """

    left: int | None
    print_topic: bool
    done: trio.Event
    streams: Streams = attrs.field(factory=Streams)
    reader_gone: bool = False
    _lock: trio.Lock = attrs.field(factory=trio.Lock)

    async def print_all(self, consumer: Consumer) -> None:
        """Print what ``consumer`` brings until it stops."""
        while True:
            try:
                messages = await consumer.take_many(BATCH)
            except StopAsyncIteration:
                return
            for message in messages:
                message.auto_touch = True  # a slow reader is no reason to show it twice
            try:
                async with self._lock:
                    await self._print(messages if self.left is None else messages[: self.left])
            finally:
                for message in messages:
                    if message.state is State.OPEN:
                        message.requeue_nowait(0, backoff=False)

    async def _print(self, messages: list[Message]) -> None:
        if not messages:
            return
        try:
            # A reader that does not read must not keep us from ending when told to.
            await trio.to_thread.run_sync(self._write, messages, abandon_on_cancel=True)
        except BrokenPipeError:
            self.reader_gone = True
            self.done.set()
            return
        for message in messages:
            if message.state is State.OPEN:
                message.finish_nowait()
        if self.left is not None:
            self.left -= len(messages)
            if not self.left:
                self.done.set()

    def _write(self, messages: list[Message]) -> None:
        parts: list[bytes] = []
        for message in messages:
            if self.print_topic:
                parts.append(f"{message.topic} | ".encode())
            parts += (message.body, b"\n")
        self.streams.write(b"".join(parts))
