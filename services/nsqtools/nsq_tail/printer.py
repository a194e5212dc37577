"""Messages on standard output: each is finished after it was written."""

import fcntl
import os
import select
import stat
import sys
import termios

import trio

from nsqclient import Consumer, Message
from nsqcore.app.process.streams import Streams
from nsqcore.classes import define, field
from nsqtools.shared.answers import finish, give_back

# Messages in one write: enough to be fast, few enough to appear without delay.
BATCH = 100

# So many messages are written one at a time to a pipe, each once the one before was read: a reader
# like `head`, which takes a few, is not given more than it takes.
ONE_BY_ONE = 100

# Milliseconds between looks at whether a message was read.
LOOKS = (0, 0, 0, 1, 1, 2, 5, 10, 20, 60)


@define(eq=False, repr=False)
class Printer:
    """Writes messages to standard output; ``left`` is how many are still wanted, None for all.

    It sets ``done`` when there is nothing more to print.
    """

    left: int | None
    print_topic: bool
    done: trio.Event
    streams: Streams = field(factory=Streams)
    reader_gone: bool = False
    _one_by_one: int = ONE_BY_ONE
    _lock: trio.Lock = field(factory=trio.Lock)

    async def print_all(self, consumer: Consumer) -> None:
        """Print what ``consumer`` brings until it stops."""
        while True:
            messages = await consumer.take_many(BATCH)
            if not messages:
                return
            for message in messages:
                message.auto_touch = True  # a slow reader is no reason to show it twice
            try:
                async with self._lock:
                    await self._print(messages if self.left is None else messages[: self.left])
            finally:
                for message in messages:
                    give_back(message)

    async def _print(self, messages: list[Message]) -> None:
        if not messages:
            return
        # A reader that does not read must not keep us from ending when told to.
        written = await trio.to_thread.run_sync(self._write, messages, abandon_on_cancel=True)
        if written < len(messages):
            self.reader_gone = True
            self.done.set()
        for message in messages[:written]:
            finish(message)
        if self.left is not None:
            self.left -= written
            if not self.left:
                self.done.set()

    def _write(self, messages: list[Message]) -> int:
        """Write messages; how many, fewer than all if the reader went away."""
        one_by_one = min(self._one_by_one, len(messages))
        self._one_by_one -= one_by_one
        written = 0
        try:
            for message in messages[:one_by_one]:
                self.streams.write(self._line(message))
                wait_until_read(self.streams.stdout)
                written += 1
            if written < len(messages):
                self.streams.write(b"".join(map(self._line, messages[written:])))
        except BrokenPipeError:
            return written
        return len(messages)

    def _line(self, message: Message) -> bytes:
        topic = f"{message.topic} | ".encode() if self.print_topic else b""
        return b"".join((topic, message.body, b"\n"))


def wait_until_read(descriptor: int) -> None:
    """Return when the reader of a pipe has taken everything, or does not for a tenth of a second.

    Returns at once for what is no pipe.

    Raises:
        BrokenPipeError: the reader went away before.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return
    poll = select.poll()
    poll.register(descriptor, 0)  # errors alone: the reader went away
    for milliseconds in LOOKS:
        if not _unread(descriptor):
            return
        if poll.poll(milliseconds) and _unread(descriptor):
            raise BrokenPipeError


def _unread(descriptor: int) -> int:
    """Bytes in a pipe that its reader has not taken."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
