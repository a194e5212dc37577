"""Durable topics behind the engine's port (`nsqd.engine.queue`).

A channel of a durable topic has two queues: the `LogQueue`, and the plain one that the channels of
other topics have. What was published before the topic became durable, or after it ceased to be, is
in the plain one. The older is read first, so that a switch needs no conversion and loses nothing.

The engine's times are monotonic, those in files are of the wall clock: they are converted here.
"""

from collections.abc import Callable, Iterator
from functools import partial

from attrs import Factory, define, field

from nsqcore.names import is_ephemeral
from nsqd.engine.queue import Arrived, Done, LogStats, Loss, Queue
from nsqd.storage.deferred import DeferredRecords
from nsqd.storage.durable.queue import Held, LogQueue, attempts_of
from nsqd.storage.durable.recovery import OpenTopic
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topic import DurableTopic
from nsqd.storage.tiered import TieredQueue, TieredStorage

NONE = "none"
# A batch has at most so many bytes, or one record.
MAX_BATCH_BYTES = 4 << 20

#: The records that the consumers of a channel hold, by topic and channel.
InFlight = Callable[[str, str], Iterator[bytes]]


@define(eq=False)
class DurableLog:
    """The log of one durable topic: a `nsqd.engine.queue.Log`."""

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

    def publish(self, records: list[bytes], due: int, done: Done) -> None:
        """Keep new ``records``. Raises OSError where the disk has no room."""
        offset = self.wall_offset()
        wall = int.from_bytes(records[0][:8], "big")
        parts = _parts(records)
        answer = _Answer(len(parts), done)
        for part in parts:
            self.topic.publish(part, wall=wall, due=due + offset if due else 0, done=answer.part)

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


@define(eq=False)
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


@define(eq=False)
class DurableQueue:
    """The queue of a channel of a durable topic: a `nsqd.engine.queue.Queue`."""

    topic: DurableTopic
    log: LogQueue
    plain: Queue
    wall_offset: Callable[[], int]
    forget: Callable[[LogQueue], None]  # the channel is deleted
    deferred_records: DeferredRecords = Factory(DeferredRecords)  # by wall-clock ns
    deleted: bool = False
    plain_ids: set[bytes] = field(factory=set, init=False)  # taken from the plain queue

    @property
    def memory_limit(self) -> int:
        """How many records are kept in memory."""
        return self.log.memory_limit

    @memory_limit.setter
    def memory_limit(self, limit: int) -> None:
        self.log.memory_limit = self.plain.memory_limit = limit

    @property
    def logged(self) -> bool:
        """What is published to the topic comes here by itself."""
        return True

    @property
    def depth(self) -> int:
        """How many records are queued."""
        return self.log.depth + self.plain.depth

    @property
    def backend_depth(self) -> int:
        """How many of them are on disk only."""
        return self.log.unread + self.plain.backend_depth

    @property
    def deferred(self) -> int:
        """How many records wait for their time."""
        return len(self.deferred_records) + self.plain.deferred

    @property
    def next_due(self) -> int | None:
        """When the first of these is due."""
        mine, plain = self.deferred_records.next_due, self.plain.next_due
        if mine is None:
            return plain
        mine -= self.wall_offset()
        return mine if plain is None else min(mine, plain)

    def overflows(self, count: int) -> bool:
        """Whether ``count`` more records in the plain queue would need the disk."""
        return self.plain.overflows(count)

    def admit(self, count: int) -> None:
        """Raise OSError if ``count`` more records would need the disk, and it takes none."""
        self.plain.admit(count)

    def put(self, records: list[bytes], *, wanted: int = 0) -> int:
        """Append records that do not come by the log. Raises OSError."""
        return self.plain.put(records, wanted=wanted)

    def take(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``."""
        if not self.plain.depth:
            return self._take_logged(limit)
        older_first = self.topic.state.mode != NONE
        if not older_first and (records := self._take_logged(limit)):
            return records
        records = self.plain.take(limit)
        self.plain_ids.update(record[10:26] for record in records)
        return records

    def _take_logged(self, limit: int) -> list[bytes]:
        try:
            records = self.log.take(limit)
        except OSError:
            return []  # it is tried again, as `depth` tells that there are some
        if records:
            self.log.sent(records)
        return records

    def finish(self, ids: list[bytes]) -> None:
        """The records of ``ids``, taken before, are done with for good."""
        if self.plain_ids:
            plain = self.plain_ids.intersection(ids)
            self.plain_ids -= plain
            ids = [id for id in ids if id not in plain]
        if ids:
            self.log.finish(ids)

    def give_back(self, records: list[bytes]) -> None:
        """Queue again ``records`` that were taken before."""
        if self.deleted:
            return
        if self.plain_ids:
            plain = [record for record in records if record[10:26] in self.plain_ids]
            if plain:
                self.plain_ids.difference_update(record[10:26] for record in plain)
                self.plain.give_back(plain)
                records = [record for record in records if record not in plain]
        if records:
            self.log.give_back(records)

    def defer(self, records: list[bytes], due: int, *, new: bool = False) -> None:
        """Queue ``records`` at ``due``."""
        if self.deleted:
            return
        if new:
            self.plain.defer(records, due, new=True)
            return
        wall = due + self.wall_offset()
        for record in records:
            if record[10:26] in self.plain_ids:
                self.plain_ids.discard(record[10:26])
                self.plain.defer([record], due)
            else:
                self.deferred_records.put([record], wall)
                self.log.put_off(record, wall)

    def hold_back(self, record: bytes, due: int) -> None:
        """Keep a record of the log until ``due`` (wall-clock ns)."""
        self.deferred_records.put([record], due)

    def release_due(self, now: int, limit: int) -> int:
        """Queue what is due at ``now``, at most ``limit`` records; how many there were."""
        due = self.deferred_records.take_due(now + self.wall_offset(), limit)
        if due:
            self.log.give_back(due)
        return len(due) + self.plain.release_due(now, limit - len(due))

    def set_paused(self, paused: bool) -> None:
        """Keep over a restart whether the channel is paused."""
        if paused != self.log.state.paused:
            self.topic.pause_channel(self.log, paused)

    def commit(self) -> None:
        """For a topic's queue only."""

    def empty(self) -> None:
        """Drop all records: queued, deferred, and those taken but not finished."""
        self.plain_ids.clear()
        self.deferred_records = DeferredRecords()
        self.plain.empty()
        self.topic.empty_channel(self.log)

    def delete(self) -> None:
        """Drop all records; the queue takes and gives nothing from now on."""
        self.deleted = True
        self.plain_ids.clear()
        self.deferred_records = DeferredRecords()
        self.plain.delete()
        self.topic.delete_channel(self.log)
        self.forget(self.log)

    def close(self, *, bypassed: bool = False) -> Loss | None:
        """Leave the plain queue in order; the rest is the store's business."""
        return self.plain.close(bypassed=bypassed)


def _nothing_left(record: bytes, due: int) -> None:
    """What a deleted channel would hold back is dropped."""


@define(eq=False)
class DurableStorage:
    """The queues of one nsqd, some of whose topics are durable: a `nsqd.engine.queue.Storage`."""

    plain: TieredStorage
    store: DurableStore
    wall_offset: Callable[[], int]
    #: Called before a topic becomes durable while nsqd runs; raises OSError where it can't.
    start: Callable[[], None]
    queues: dict[LogQueue, DurableQueue] = Factory(dict)
    _found: dict[str, OpenTopic] = Factory(dict)

    def open(self) -> list[OpenTopic]:
        """Read what is on disk; see `DurableStore.open`."""
        found = self.store.open()
        self._found = {topic.state.name: topic for topic in found}
        return found

    def topic_log(self, topic: str, durability: str, arrived: Arrived) -> DurableLog | None:
        """The log of ``topic`` if it is durable, or was. Raises OSError."""
        if is_ephemeral(topic):
            return None
        found = self._found.pop(topic, None)
        if found is None and durability == NONE:
            return None
        self.start()
        if found is not None:
            durable = self.store.adopt(found)
            if durable.state.mode != durability:
                durable.set_mode(durability)
        else:
            durable = self.store.create(topic, durability)
        durable.arrived = partial(self._arrived, arrived)
        return DurableLog(durable, self.store, self.wall_offset)

    def _arrived(self, arrived: Arrived, records: list[bytes], due: int) -> None:
        arrived(records, due - self.wall_offset() if due else 0)

    def topic_queue(self, topic: str, memory_limit: int) -> TieredQueue:
        """What ``topic`` itself has not passed on, apart from its log. Raises OSError."""
        return self.plain.topic_queue(topic, memory_limit)

    def channel_queue(self, topic: str, channel: str, memory_limit: int) -> Queue:
        """The queue of ``topic``/``channel``, as it was left, or new. Raises OSError."""
        plain = self.plain.channel_queue(topic, channel, memory_limit)
        queue = self.logged_queue(topic, channel, plain)
        queue.memory_limit = memory_limit
        return queue

    def logged_queue(self, topic: str, channel: str, queue: Queue) -> Queue:
        """What is to be the queue of ``topic``/``channel``, which has ``queue`` so far, with what
        was in hand when nsqd ended. Raises OSError."""
        durable = self.store.topics.get(topic)
        if durable is None or is_ephemeral(channel):
            return queue
        known = next((each for each in durable.state.channels if each.name == channel), None)
        if known is None:
            return self._queue(durable, durable.create_channel(channel, durable.make_queue), queue)
        log = durable.make_queue(known)
        logged = self._queue(durable, log, queue)
        queued, deferred = durable.load(log)
        log.restore(queued)
        for record, due in deferred:
            logged.hold_back(record, due)
        durable.adopt(log)
        return logged

    def _queue(self, topic: DurableTopic, log: LogQueue, plain: Queue) -> DurableQueue:
        queue = DurableQueue(topic, log, plain, self.wall_offset, self._forget)
        log.defer = queue.hold_back
        self.queues[log] = queue
        return queue

    def _forget(self, log: LogQueue) -> None:
        """Keep nothing of a channel that is deleted, no circle either."""
        del self.queues[log]
        log.defer = _nothing_left

    def held(self, log: LogQueue, in_flight: InFlight) -> Iterator[Held]:
        """What is in hand of a channel besides what is queued, for a checkpoint."""
        queue = self.queues[log]
        for record in in_flight(queue.topic.state.name, log.state.name):
            if record[10:26] not in queue.plain_ids:
                yield record, attempts_of(record), 0
        for record, due in queue.deferred_records.items():
            yield record, attempts_of(record) - 1, due

    def warn(self, message: str) -> None:
        """Tell an operator."""
        self.plain.warn(message)
