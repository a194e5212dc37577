"""A channel: one copy of a topic's messages, shared by its consumers.

A message is queued, in flight, or deferred, and leaves by FIN, by `empty`, by deletion, by a
consumer's sampling, as a dead letter (`departures`), or (ephemeral channels) because memory is
full. `deliver` moves from the queue to consumers, `expire` moves back what timed out or came due. A
channel that was deleted ignores whatever still comes.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from enum import Enum, auto
from itertools import accumulate
from sys import maxsize

from nsqcore.classes import Factory, define, field
from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.names import is_ephemeral
from nsqd.engine.delivery.consumer import Consumer
from nsqd.engine.delivery.deadlines import Deadlines
from nsqd.engine.departures import Death, Departures, Tidying, trim
from nsqd.engine.errors import Exiting, NotInFlight, NotOwner, TooManyConsumers
from nsqd.engine.messages.message import message_id, requeued, timestamp
from nsqd.engine.messages.queue import Loss, Queue
from nsqd.engine.rules import Rules

# A batch is one frame run to one consumer. Past a few hundred messages nothing is saved per
# message, and past a socket buffer's worth of bytes the others only wait longer.
MAX_BATCH = 500
MAX_BATCH_BYTES = 256 * 1024
# How soon a queue that the disk would not let us read (no descriptors) is tried again, in ns.
READ_RETRY = 1_000_000_000
# What is dead by a rule is taken out of the queue in steps of so many, or a batch more.
SIFT_STEP = 1000


class Reason(Enum):
    """Why a consumer no longer holds a message that is not finished."""

    REQUEUED = auto()  # by the consumer
    TIMED_OUT = auto()
    DISCONNECTED = auto()
    STOPPED = auto()  # nsqd ends


@define(eq=False, repr=False)
class Channel:
    """The queue and the consumers of ``topic``/``name``; made by its topic."""

    topic: str
    name: str
    queue: Queue
    deadlines: Deadlines
    rules: Rules = Factory(Rules)
    latency: LatencyWindow | None = None
    departures: Departures = Factory(Departures)
    wall_offset: Callable[[], int] = int  # as the broker has it

    headed: bool = False  # messages may have headers, as the topic has a log
    paused: bool = False
    deleted: bool = False
    consumers: list[Consumer] = Factory(list)
    message_count: int = 0
    requeue_count: int = 0
    finish_count: int = 0
    timeout_count: int = 0
    local_counts: list[int] = field(factory=lambda: [0, 0, 0])  # by Consumer.counted
    ephemeral: bool = field(init=False)  # never stored, and goes with its last consumer
    _first: int = 0  # the index of the consumer that is asked first
    _rounds: int = 0  # how often all who had capacity were served
    _batch: int = 1  # messages of the next batch, unless they are large
    _look_again: int | None = None  # when, as there was only what is dead so far
    _tidying: Tidying = Factory(Tidying)
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
        if self.rules.max_attempts and reason is not Reason.STOPPED:
            records = self.departures.worn_out(records, self.rules.max_attempts)
            if not records:
                return
        again = [requeued(record) for record in records]
        if due:
            self.queue.defer(again, due)
            self.deadlines.arm(self, due)
        else:
            self.queue.give_back(again)

    def take_back(self, consumer: Consumer, ids: Iterable[bytes]) -> list[bytes]:
        """Take the records of those of ``ids`` that ``consumer`` holds, at an operator's wish."""
        return consumer.held.take_many(ids)[0]

    def queue_again(self, records: list[bytes]) -> None:
        """Queue again ``records`` that were taken back."""
        self._return(records, Reason.REQUEUED)

    # ------------------------------------------------------------ consumers

    def add(self, consumer: Consumer) -> None:
        """Let ``consumer`` share the channel. Raises TooManyConsumers, Exiting."""
        if self.deleted:
            raise Exiting("exiting")
        limit = self.rules.max_channel_consumers
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
        queue, topology_aware = self.queue, self.rules.topology_aware
        take = self._take_living if self.rules.sifts else self._take_batch
        while delivered < limit and (depth := queue.depth):
            ready = self._ready(depth)
            if not ready:
                break
            share = max(1, min(self._batch, depth // len(ready)))
            consumer: Consumer
            again = topology_aware  # who is farther away may have capacity, too
            for consumer in ready:
                records = take(min(share, consumer.capacity), now)
                if not records:
                    self._unread = queue.depth > 0
                    if self._unread:
                        again_at, self._look_again = self._look_again, None
                        self.deadlines.arm(self, now + READ_RETRY if again_at is None else again_at)
                    return delivered
                delivered += len(records)
                self.local_counts[consumer.counted if topology_aware else 2] += len(records)
                if consumer.sampled is not None:
                    records = self._sample(consumer.sampled, records)
                if records:
                    consumer.deliver(records, now)
                    self.deadlines.arm(self, now + consumer.msg_timeout)
                again = again or len(consumer.in_flight) < consumer.ready
            if not again:
                break
        return delivered

    def _take_living(self, limit: int, now: int) -> list[bytes]:
        """As `_take_batch`, without what is dead by a rule.

        Where there is much of that it comes to an end, and a deadline asks to go on.
        """
        seen = 0
        while seen < SIFT_STEP:
            records = self._take_batch(limit, now)
            if not records:
                return records
            seen += len(records)
            records = self.departures.sift(records, self.rules, now + self.wall_offset())
            if records:
                return records
        self._look_again = now
        return []

    def _sample(self, sampled: Callable[[], bool], records: list[bytes]) -> list[bytes]:
        """Those of ``records`` that are drawn; the others are done with."""
        drawn: list[bytes] = []
        dropped: list[bytes] = []
        for record in records:
            (drawn if sampled() else dropped).append(record)
        self.queue.finish([message_id(record) for record in dropped])
        return drawn

    def _take_batch(self, limit: int, now: int) -> list[bytes]:
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
        topology_aware = self.rules.topology_aware
        at = self._first
        consumer: Consumer
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

    def requeue(self, consumer: Consumer, ids: list[bytes], delay: int, now: int) -> list[bytes]:
        """Queue ``ids`` again after ``delay`` ns; returns those not in flight to ``consumer``."""
        records, missing = consumer.held.take_many(ids)
        consumer.requeue_count += len(records)
        if records:
            self._return(records, Reason.REQUEUED, now + delay if delay > 0 else 0)
        return missing

    def terminate(self, consumer: Consumer, ids: list[bytes], error: str = "") -> list[bytes]:
        """``consumer`` has given up ``ids``: they are dead; returns those not in flight to it."""
        records, missing = consumer.held.take_many(ids)
        if records:
            self.departures.part(records, Death.TERMINATED, error)
        return missing

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
        if self._tidying.due is not None:
            wall, departures = now + self.wall_offset(), self.departures
            moved += self._tidying.drop_aged(
                self.queue, self.rules, departures, now, wall, limit - moved
            )
            due = self._tidying.due
            first = due if first is None or (due is not None and due < first) else first
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

    def tidy(self, now: int) -> None:
        """Make room where there are more messages than the policy allows, and see to it that those
        that get too old leave, though nobody takes them."""
        queue, rules = self.queue, self.rules
        if rules.trims:
            trim(queue, rules, self.departures)
        if (due := self._tidying.watch(queue, rules, now)) is not None:
            self.deadlines.arm(self, due)

    # ------------------------------------------------------------ the whole

    def empty(self) -> None:
        """Drop every message: queued, deferred, in flight."""
        for consumer in self.consumers:
            consumer.held.clear()
        self.departures.take_all()
        self.queue.empty()

    def delete(self) -> None:
        """Drop everything, files too, and let go of the consumers."""
        self.deleted = True
        self.departures.close()
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
        if records := self.departures.take_all():
            self._return(records, Reason.STOPPED)
        return self.queue.close()
