"""A channel: one copy of a topic's messages, shared by its consumers.

A message is queued, in flight, or deferred, and leaves by FIN, by `empty`, by deletion, by a
consumer's sampling, or (ephemeral channels) because memory is full. `deliver` moves from the queue
to consumers, `expire` moves back what timed out or came due. A channel that was deleted ignores
whatever still comes.
"""

from bisect import bisect_right
from collections.abc import Callable
from enum import Enum, auto
from itertools import accumulate
from sys import maxsize

from attrs import Factory, define, field

from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.names import is_ephemeral
from nsqd.engine.consumer import Consumer
from nsqd.engine.deadlines import Deadlines
from nsqd.engine.errors import Exiting, NotInFlight, NotOwner, TooManyConsumers
from nsqd.engine.message import message_id, requeued, timestamp
from nsqd.engine.policy import Policy
from nsqd.engine.queue import Loss, Queue

# A batch is one frame run to one consumer. Past a few hundred messages nothing is saved per
# message, and past a socket buffer's worth of bytes the others only wait longer.
MAX_BATCH = 500
MAX_BATCH_BYTES = 256 * 1024
# How soon a queue that the disk would not let us read (no descriptors) is tried again, in ns.
READ_RETRY = 1_000_000_000


class Reason(Enum):
    """Why a consumer no longer holds a message that is not finished."""

    REQUEUED = auto()  # by the consumer
    TIMED_OUT = auto()
    DISCONNECTED = auto()
    STOPPED = auto()  # nsqd ends


@define(eq=False)
class Channel:
    """The queue and the consumers of ``topic``/``name``; made by its topic."""

    topic: str
    name: str
    queue: Queue
    deadlines: Deadlines
    policy: Policy = Factory(Policy)
    latency: LatencyWindow | None = None

    paused: bool = False
    deleted: bool = False
    consumers: list[Consumer] = Factory(list)
    message_count: int = 0
    requeue_count: int = 0
    finish_count: int = 0
    timeout_count: int = 0
    local_counts: list[int] = field(factory=lambda: [0, 0, 0])  # by Consumer.locality
    ephemeral: bool = field(init=False)  # never stored, and goes with its last consumer
    _first: int = 0  # the index of the consumer that is asked first
    _rounds: int = 0  # how often all who had capacity were served
    _batch: int = 1  # messages of the next batch, unless they are large
    _unread: bool = False  # the disk could not be read: a deadline asks to try again

    def __attrs_post_init__(self) -> None:
        self.ephemeral = is_ephemeral(self.name)

    @property
    def depth(self) -> int:
        """Messages queued, in memory and on disk."""
        return self.queue.depth

    @property
    def backend_depth(self) -> int:
        """Messages queued on disk."""
        return self.queue.backend_depth

    @property
    def in_flight_count(self) -> int:
        """Messages that consumers hold."""
        return sum(len(consumer.in_flight) for consumer in self.consumers)

    @property
    def deferred_count(self) -> int:
        """Messages that wait for their time."""
        return self.queue.deferred

    # ------------------------------------------------------------ messages in

    def put(self, records: list[bytes]) -> None:
        """Queue new ``records``. Raises OSError, with none of them queued."""
        demand = 0
        if self.ephemeral:  # what consumers wait for is not dropped, however small the memory
            demand = sum(consumer.capacity for consumer in self.consumers)
        self.queue.put(records, wanted=demand)
        self.message_count += len(records)

    def defer(self, records: list[bytes], due: int) -> None:
        """Queue new ``records`` at ``due``, not before."""
        if self.deleted:
            return
        self.message_count += len(records)
        self.queue.defer(records, due, new=True)
        self.deadlines.arm(self, due)

    def _return(self, records: list[bytes], reason: Reason, due: int = 0) -> None:
        """Queue again ``records`` that a consumer held, at ``due`` if that is given."""
        if reason is Reason.TIMED_OUT:
            self.timeout_count += len(records)
        elif reason is not Reason.STOPPED:
            self.requeue_count += len(records)
        again = [requeued(record) for record in records]
        if due:
            self.queue.defer(again, due)
            self.deadlines.arm(self, due)
        else:
            self.queue.give_back(again)

    # ------------------------------------------------------------ consumers

    def add(self, consumer: Consumer) -> None:
        """Let ``consumer`` share the channel. Raises TooManyConsumers, Exiting."""
        if self.deleted:
            raise Exiting("exiting")
        limit = self.policy.max_channel_consumers
        if limit and len(self.consumers) >= limit:
            raise TooManyConsumers(
                f"consumers for {self.topic}:{self.name} exceeds limit of {limit}"
            )
        self.consumers.append(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Take ``consumer`` out; what it held is queued again."""
        if self.deleted:
            return
        self.consumers.remove(consumer)
        if records := consumer.held.take_all():
            self._return(records, Reason.DISCONNECTED)

    # ------------------------------------------------------------ messages out

    def deliver(self, now: int, limit: int = maxsize) -> int:
        """Give what is queued to the consumers that have capacity, taking turns.

        Ends with the round that brings it to ``limit`` messages; returns how many there were.
        """
        delivered = 0
        if self.paused or not self.consumers:
            return 0
        queue, topology_aware = self.queue, self.policy.topology_aware
        while delivered < limit and (depth := queue.depth):
            ready = self._ready(depth)
            if not ready:
                break
            share = max(1, min(self._batch, depth // len(ready)))
            again = topology_aware  # who is farther away may have capacity, too
            for consumer in ready:
                records = self._take_batch(min(share, consumer.capacity))
                if not records:
                    self._unread = queue.depth > 0
                    if self._unread:
                        self.deadlines.arm(self, now + READ_RETRY)
                    return delivered
                delivered += len(records)
                self.local_counts[consumer.locality if topology_aware else 2] += len(records)
                if consumer.sampled is not None:
                    records = self._sample(consumer.sampled, records)
                if records:
                    consumer.deliver(records, now)
                    self.deadlines.arm(self, now + consumer.msg_timeout)
                again = again or len(consumer.in_flight) < consumer.ready
            if not again:
                break
        return delivered

    def _sample(self, sampled: Callable[[], bool], records: list[bytes]) -> list[bytes]:
        """Those of ``records`` that are drawn; the others are done with."""
        drawn: list[bytes] = []
        dropped: list[bytes] = []
        for record in records:
            (drawn if sampled() else dropped).append(record)
        self.queue.finish([message_id(record) for record in dropped])
        return drawn

    def _take_batch(self, limit: int) -> list[bytes]:
        """Up to ``limit`` messages for one consumer, fewer if they are large.

        The size of these messages decides how many the next batch has, so that as a rule none
        has to be cut; only a batch of large messages that follows one of smaller ones has.
        """
        records = self.queue.take(limit)
        if not records:
            return records
        size = sum(map(len, records))
        self._batch = max(
            1, min(MAX_BATCH, 2 * self._batch, MAX_BATCH_BYTES * len(records) // size)
        )
        if size > 2 * MAX_BATCH_BYTES and len(records) > 1:
            fitting = max(1, bisect_right(list(accumulate(map(len, records))), MAX_BATCH_BYTES))
            self.queue.give_back(records[fitting:])
            del records[fitting:]
        return records

    def _ready(self, demand: int) -> list[Consumer]:
        """Up to ``demand`` consumers with capacity, beginning behind those served last."""
        consumers = self.consumers
        total = len(consumers)
        if self._first >= total:
            self._first = 0
        ready: list[Consumer] = []
        topology_aware = self.policy.topology_aware
        at = self._first
        for consumer in consumers[at:] + consumers[:at] if at else consumers:
            at += 1
            if consumer.capacity:
                ready.append(consumer)
                if len(ready) == demand and not topology_aware:
                    break
        if topology_aware and ready:
            nearest = min(consumer.locality for consumer in ready)
            ready = [consumer for consumer in ready if consumer.locality == nearest][:demand]
            at = consumers.index(ready[-1]) + 1
        elif ready and len(ready) < demand:
            # All are served, but who is served first also asks first for more. If that were always
            # the same one, it would get half as much again as the last of fifty.
            self._rounds += 1
            first = self._rounds % len(ready)
            ready = ready[first:] + ready[:first]
        self._first = at % total if total else 0
        return ready

    def finish(self, consumer: Consumer, ids: list[bytes], wall: int) -> list[bytes]:
        """Let ``consumer`` be done with ``ids``; returns those not in flight to it.

        ``wall`` is the wall clock in ns, for the latency statistics.
        """
        if self.latency is not None:
            held = consumer.in_flight
            for id in set(ids):
                if id in held:
                    self.latency.add(wall - timestamp(held[id]), wall)
        missing = consumer.held.finish(ids)
        consumer.finish_count += len(ids) - len(missing)
        if missing:
            gone = set(missing)
            ids = [id for id in ids if id not in gone]
        self.finish_count += len(ids)
        self.queue.finish(ids)
        return missing

    def requeue(self, consumer: Consumer, id: bytes, delay: int, now: int) -> None:
        """Queue ``id`` again after ``delay`` ns. Raises NotInFlight or NotOwner."""
        record = consumer.held.take(id)
        if record is None:
            raise self.not_held(id)
        consumer.requeue_count += 1
        self._return([record], Reason.REQUEUED, now + delay if delay > 0 else 0)

    def touch(self, consumer: Consumer, id: bytes, now: int) -> None:
        """Start the timeout of ``id`` anew. Raises NotInFlight or NotOwner."""
        deadline = consumer.held.touch(id, now)
        if deadline is None:
            raise self.not_held(id)
        self.deadlines.arm(self, deadline)

    def not_held(self, id: bytes) -> NotInFlight | NotOwner:
        """Why ``id`` is not a consumer's: nobody holds it, or another does."""
        if any(id in consumer.in_flight for consumer in self.consumers):
            return NotOwner("client does not own message")
        return NotInFlight("ID not in flight")

    # ------------------------------------------------------------ time

    def expire(self, now: int, limit: int = maxsize) -> int:
        """Queue what came due or timed out, about ``limit`` messages at most; how many there were.

        Arms the next deadline: at once if there are more.
        """
        moved = self.queue.release_due(now, limit)
        first = self.queue.next_due
        for consumer in self.consumers:
            deadline = consumer.held.next_deadline
            if deadline is not None and deadline <= now and moved < limit:
                late = consumer.held.expire(now, limit - moved)
                if late:
                    moved += len(late)
                    self._return(late, Reason.TIMED_OUT)
                deadline = consumer.held.next_deadline
            if deadline is not None and (first is None or deadline < first):
                first = deadline
        if first is not None:
            self.deadlines.arm(self, first)
        unread, self._unread = self._unread, False
        return moved or int(unread)

    # ------------------------------------------------------------ the whole

    def empty(self) -> None:
        """Drop every message: queued, deferred, in flight."""
        for consumer in self.consumers:
            consumer.held.clear()
        self.queue.empty()

    def delete(self) -> None:
        """Drop everything, files too, and let go of the consumers."""
        self.deleted = True
        consumers, self.consumers = self.consumers, []
        for consumer in consumers:
            consumer.held.clear()
            consumer.subscriber.channel_deleted()
        self.queue.delete()

    def close(self) -> Loss | None:
        """Put everything not finished on disk, deferred messages without their delay."""
        for consumer in self.consumers:
            if records := consumer.held.take_all():
                self._return(records, Reason.STOPPED)
        return self.queue.close()
