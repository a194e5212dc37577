"""The log of a durable topic, as the engine sees it (`nsqd.engine.messages.queue`).

The engine's times are monotonic, those in files are of the wall clock: they are converted here.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from nsqcore.classes import define
from nsqd.engine.messages.queue import Done, LogStats, Moved, Place, Queue, Seen
from nsqd.storage.durable.format.hot import total_size
from nsqd.storage.durable.log.log import Cursor
from nsqd.storage.durable.looking import look_at_log
from nsqd.storage.durable.moving import MoveDone, move
from nsqd.storage.durable.port_queue import DurableQueue
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.topic import DurableTopic

# A batch has at most so many bytes, or one record.
MAX_BATCH_BYTES = 4 << 20


class Step(Protocol):
    """Moves what fits into one entry of the journal, as `moving.move` does."""

    def __call__(
        self,
        taken: list[bytes],
        target: DurableTopic,
        records: list[bytes],
        *,
        wall: int,
        channel: int,
        done: MoveDone,
    ) -> None: ...


@define(eq=False, repr=False)
class DurableLog:
    """The log of one durable topic: a `nsqd.engine.messages.queue.Log`."""

    topic: DurableTopic
    store: DurableStore
    wall_offset: Callable[[], int]

    @property
    def depth(self) -> int:
        """How many messages wait until they may flow to channels."""
        return self.topic.depth

    @property
    def promise(self) -> str:
        """What OK promises."""
        return self.topic.state.mode

    def stats(self) -> LogStats:
        """How much is in it."""
        log = self.topic.log
        return LogStats(
            first=log.first,
            next=log.end,
            bytes=log.size,
            segments=len(log.segments),
            lost=self.topic.lost,
            damaged=log.damaged.total,
        )

    def look(self, place: Place, limit: int, *, retained: bool) -> Seen:
        """Up to ``limit`` records from ``place`` on, of what may not flow yet, or of all."""
        log = self.topic.log
        first = Cursor(log.first if retained else max(self.topic.flow, log.first))
        cursor = max(Cursor(*place), first, key=lambda cursor: cursor.ordinal)
        return look_at_log(log, cursor, log.end, limit)

    def publish(self, records: list[bytes], due: int, done: Done) -> None:
        """Keep new ``records``. Raises OSError where the disk has no room."""
        offset = self.wall_offset()
        wall = int.from_bytes(records[0][:8], "big")
        due = due + offset if due else 0
        if len(records) == 1 or total_size(records) <= MAX_BATCH_BYTES:
            self.topic.publish(records, wall=wall, due=due, done=partial(_tell, done))
            return
        parts = _parts(records)
        answer = _Answer(len(parts), done)
        for part in parts:
            self.topic.publish(part, wall=wall, due=due, done=answer.part)

    def move(
        self,
        source: Queue,
        taken: list[bytes],
        records: list[bytes],
        moved: Moved,
        *,
        only: str = "",
    ) -> None:
        """Keep ``records`` in place of ``taken``; see `nsqd.engine.messages.queue.Log`."""
        channel = self.topic.channel_called(only).number if only else 0
        logged = source if isinstance(source, DurableQueue) else None
        pairs = list(zip(taken, records, strict=True))
        if logged is None:
            self._move(partial(_copy, source), pairs, moved, channel)
            return
        others = [pair for pair in pairs if logged.is_plain(pair[0])] if logged.plain_ids else []
        mine = [pair for pair in pairs if not logged.is_plain(pair[0])] if others else pairs
        self._move(partial(move, logged.topic, logged.log), mine, moved, channel)
        self._move(partial(_copy, source), others, moved, channel)

    def _move(
        self, step: Step, pairs: list[tuple[bytes, bytes]], moved: Moved, channel: int
    ) -> None:
        at = 0
        for part in _parts([record for _, record in pairs]) if pairs else []:
            taken = [record for record, _ in pairs[at : at + len(part)]]
            at += len(part)
            wall = int.from_bytes(part[0][:8], "big")
            try:
                step(taken, self.topic, part, wall=wall, channel=channel, done=_told(moved))
            except OSError as error:
                moved(taken, str(error))

    def let_flow(self, flows: bool) -> None:
        """Let messages through to the channels, or hold back what comes from now on."""
        self.topic.let_flow(flows)

    def set_promise(self, durability: str) -> None:
        """Promise ``durability`` from now on."""
        if durability != self.topic.state.mode:
            self.topic.set_mode(durability)

    def set_paused(self, paused: bool) -> None:
        """Keep over a restart whether the topic is paused."""
        if paused != self.topic.state.paused:
            self.topic.set_paused(paused)

    def empty(self) -> None:
        """Drop what waits until it may flow."""
        self.topic.empty()

    def delete(self) -> None:
        """Drop everything."""
        self.store.delete(self.topic)


def _tell(done: Done, error: OSError | None) -> None:
    done(None if error is None else str(error))


def _told(moved: Moved) -> MoveDone:
    return lambda taken, error: moved(taken, None if error is None else str(error))


def _copy(
    source: Queue,
    taken: list[bytes],
    target: DurableTopic,
    records: list[bytes],
    *,
    wall: int,
    channel: int,
    done: MoveDone,
) -> None:
    """Move what does not come from a log: it is published, and then finished."""

    def published(error: OSError | None) -> None:
        if error is None:
            source.finish([record[10:26] for record in taken])
        done(taken, error)

    target.publish(records, wall=wall, channel=channel, done=published)


def _parts(records: list[bytes]) -> list[list[bytes]]:
    """``records`` in parts of which each fits into a journal file with ease."""
    if sum(map(len, records)) <= MAX_BATCH_BYTES:
        return [records]
    parts: list[list[bytes]] = [[]]
    size = 0
    for record in records:
        if size + len(record) > MAX_BATCH_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(record)
        size += len(record)
    return parts


@define(eq=False, repr=False)
class _Answer:
    """One answer for ``parts``: the first failure, or that all is well when the last is kept."""

    parts: int
    done: Done
    failure: str | None = None

    def part(self, error: OSError | None) -> None:
        if error is not None and self.failure is None:
            self.failure = str(error)
        self.parts -= 1
        if not self.parts:
            self.done(self.failure)
