"""Durable topics behind the engine's port (`nsqd.engine.messages.queue`).

A channel of a durable topic has two queues: the `LogQueue`, and the plain one that the channels of
other topics have. What was published before the topic became durable, or after it ceased to be, is
in the plain one. The older is read first, so that a switch needs no conversion and loses nothing.
"""

from collections.abc import Callable, Container, Iterator
from functools import partial

from nsqcore.classes import Factory, define
from nsqcore.names import is_ephemeral
from nsqd.engine.messages.queue import Arrived, Done, Queue
from nsqd.storage.durable.port_log import DurableLog
from nsqd.storage.durable.port_queue import NONE, PARK_FROM, DurableQueue
from nsqd.storage.durable.recovery import OpenTopic
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.queue import Held, LogQueue, attempts_of
from nsqd.storage.durable.topics.topic import DurableTopic
from nsqd.storage.queues.tiered import TieredQueue, TieredStorage

#: The records that the consumers of a channel hold, by topic and channel.
InFlight = Callable[[str, str], Iterator[bytes]]


def _nothing_left(record: bytes, due: int) -> None:
    """What a deleted channel would hold back is dropped."""


@define(eq=False, repr=False)
class DurableStorage:
    """The queues of one nsqd, some of whose topics are durable: a `queue.Storage` of the engine."""

    plain: TieredStorage
    store: DurableStore
    wall_offset: Callable[[], int]
    #: Called before a topic becomes durable while nsqd runs; raises OSError where it can't.
    start: Callable[[], None]
    queues: dict[LogQueue, DurableQueue] = Factory(dict)
    _found: dict[str, OpenTopic] = Factory(dict)

    @property
    def owed(self) -> Container[str]:
        """The plain topics whose OK waits for a sync."""
        return self.plain.owed

    def when_synced(self, topic: str, done: Done) -> None:
        """Have ``done`` told when what the plain ``topic`` has on disk by now is synced."""
        self.plain.when_synced(topic, done)

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

    def _arrived(self, arrived: Arrived, records: list[bytes], due: int, only: str) -> None:
        arrived(records, due - self.wall_offset() if due else 0, only)

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
        queued, deferred = durable.load(log, park_from=durable.log.newest + PARK_FROM)
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
