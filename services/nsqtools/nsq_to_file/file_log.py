"""One topic into files: no message is finished before it is on disk.

Consumer ─batches─▶ pending ─▶ Output (write, rotate, sync; in a thread) ─▶ finish

Messages wait, written but not finished, until a sync: after ``sync_interval`` seconds, when nsqd
would send no more without answers, when a file is begun or finished, and at the end. Meanwhile
their timeouts are moved on. If somebody removed the file, they are written to a new one. Whatever
ends this before a sync leaves them unfinished: nsqd delivers them again, and some may then be in
the files twice, but none is missing.
"""

import logging
from typing import Any

import attrs
import trio

from nsqclient import Consumer, Message
from nsqcore.classes import define, field, frozen
from nsqtools.nsq_to_file.log_file import FileRemovedError, Record
from nsqtools.nsq_to_file.output import Output
from nsqtools.shared.answers import finish, give_back
from nsqtools.shared.progress import Progress
from nsqtools.shared.source import open_source

logger = logging.getLogger(__name__)

# Seconds between two looks at whether nsqd waits for answers, while nothing else happens: its share
# of max_in_flight falls when another nsqd comes.
LOOK = 1.0

# Where the body begins in a message's record; from which size on it is not copied.
BODY = 26
LARGE = 64 * 1024

# How often a new file is tried when each is removed before it is synced.
MAX_REMOVALS = 3


@define(eq=False, repr=False)
class FileLog:
    """The messages of ``topic``, written by ``output``."""

    topic: str
    output: Output
    settings: dict[str, Any] = field(repr=False)
    sync_interval: float
    progress: Progress
    stopped: trio.Event = field(factory=trio.Event)
    _pending: list[Message] = field(factory=list)
    _finish_file: bool = False
    _waiting: trio.CancelScope | None = None

    def finish_file(self) -> None:
        """Finish the present file soon; the next message begins another."""
        self._finish_file = True
        if self._waiting is not None:
            self._waiting.cancel()

    def stop(self) -> None:
        """Take no more messages; `run` returns soon."""
        self.stopped.set()

    async def run(self) -> None:
        """Write messages until stopped; all that are taken are on disk then.

        Raises:
            OSError: a file cannot be written; messages not known to be on disk were given back.
        """
        await trio.to_thread.run_sync(self.output.finish_leftovers)
        async with open_source(
            self.topic, self.settings, self.stopped, must_connect=False
        ) as consumer:
            try:
                await self._log(consumer)
            finally:
                for message in self._pending:
                    give_back(message)
                self.output.abandon()

    async def _log(self, consumer: Consumer) -> None:
        tick = trio.current_time() + self.sync_interval
        stopping = False
        while not stopping:
            until = min(tick, trio.current_time() + LOOK) if self._pending else tick
            batch = await self._next(consumer, until)
            stopping = batch is None
            messages = batch or []
            for message in messages:
                message.auto_touch = True
            written = len(self._pending)
            self._pending += messages
            due = trio.current_time() >= tick
            if due:
                tick = trio.current_time() + self.sync_interval
            hang_up, self._finish_file = self._finish_file, False
            full = len(self._pending) >= self.settings["max_in_flight"] or consumer.is_starved()
            if messages or due or hang_up or stopping or (full and self._pending):
                step = Step(
                    written, begin=hang_up, tick=due, sync=due or hang_up or full, close=stopping
                )
                safe = await trio.to_thread.run_sync(self._perform, step)
                self.progress.add(len(messages), sum(len(m.record) - BODY + 1 for m in messages))
                if safe:
                    self._finish_all()

    async def _next(self, consumer: Consumer, until: float) -> list[Message] | None:
        """The next messages, none if there are none until then; None when it is over."""
        if self._finish_file:
            return []
        room = self.settings["max_in_flight"] - len(self._pending)
        with trio.CancelScope(deadline=until) as self._waiting:
            try:
                return await consumer.take_many(room) or None
            finally:
                self._waiting = None
        return []

    def _perform(self, step: "Step") -> bool:
        """Do what is due with the files; returns whether all messages so far are on disk."""
        for _ in range(MAX_REMOVALS):
            try:
                return self._write(step)
            except FileRemovedError as error:
                logger.error(
                    "file(%s): %s was removed; writing %d messages to a new one",
                    self.topic,
                    error,
                    len(self._pending),
                )
                self.output.forget()
                step = attrs.evolve(step, written=0, sync=True)
        raise OSError(f"the files of {self.topic} are removed again and again")

    def _write(self, step: "Step") -> bool:
        output = self.output
        if step.begin:
            output.close()
        if step.tick:
            output.tick()
        records = [record_of(message) for message in self._pending[step.written :]]
        sync = output.write(records) or step.sync
        if step.close:
            output.close()
        elif sync:
            output.sync()
        return sync or step.close

    def _finish_all(self) -> None:
        expired = sum(not finish(message) for message in self._pending)
        logger.debug("file(%s): %d messages are on disk", self.topic, len(self._pending))
        if expired:
            logger.warning(
                "file(%s): %d messages expired before they were on disk; they will come again",
                self.topic,
                expired,
            )
        self._pending.clear()


@frozen
class Step:
    """What is due: the first ``written`` of the pending messages are in the file already."""

    written: int
    begin: bool = field(kw_only=True)  # another file
    tick: bool = field(kw_only=True)
    sync: bool = field(kw_only=True)
    close: bool = field(kw_only=True)


def record_of(message: Message) -> Record:
    """A message's body, without a copy if it is large."""
    if len(message.record) > LARGE:
        return memoryview(message.record)[BODY:]
    return message.body
