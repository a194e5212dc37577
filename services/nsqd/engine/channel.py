"""A channel: one copy of a topic's messages, shared by its consumers.

A message is queued, in flight, or deferred, and leaves by FIN, by `empty`, by
deletion, by a consumer's sampling, or (ephemeral channels) because memory is
full. `deliver` moves from the queue to consumers, `expire` moves back what timed
out or came due.
"""

from bisect import bisect_right
from heapq import heappop, heappush
from itertools import accumulate, count

from attrs import Factory, define, field

from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.names import is_ephemeral
from nsqd.engine.consumer import Consumer
from nsqd.engine.deadlines import Deadlines
from nsqd.engine.errors import NotInFlight, NotOwner, TooManyConsumers
from nsqd.engine.message import requeued, timestamp
from nsqd.storage.tiered import TieredQueue

# A slice is one frame run to one consumer. Past a few hundred messages nothing is saved per
# message, and past a socket buffer's worth of bytes the others only wait longer.
MAX_SLICE = 500
MAX_SLICE_BYTES = 256 * 1024
# How soon a queue that the disk would not let us read (no descriptors) is tried again, in ns.
READ_RETRY = 1_000_000_000


@define(eq=False)
class Channel:
    """The queue and the consumers of ``topic``/``name``; made by its topic."""

    topic: str
    name: str
    queue: TieredQueue
    deadlines: Deadlines
    max_consumers: int = 0  # 0: any number
    topology_aware: bool = False
    latency: LatencyWindow | None = None

    paused: bool = False
    deleted: bool = False
    consumers: list[Consumer] = Factory(list)
    message_count: int = 0
    requeue_count: int = 0
    timeout_count: int = 0
    local_counts: list[int] = field(factory=lambda: [0, 0, 0])  # by Consumer.locality
    _deferred: list[tuple[int, int, bytes]] = Factory(list)  # a heap: due, number, record
    _order: "count[int]" = Factory(count)  # numbers them: those due at once keep their order
    ephemeral: bool = field(init=False)  # never stored, and goes with its last consumer
    _turn: int = 0  # the index of the consumer that is asked first
    _first: int = 0  # how often all who had room were served: who comes first changes with it
    _slice: int = 1  # messages of the next slice, unless they are large
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
        return len(self._deferred)

    # ------------------------------------------------------------ messages in

    def put(self, records: list[bytes]) -> None:
        """Queue new ``records``. Raises OSError, with none of them queued."""
        wanted = 0
        if self.ephemeral:  # what consumers wait for is not dropped, however small the memory
            wanted = sum(consumer.room for consumer in self.consumers)
        self.queue.put(records, wanted=wanted)
        self.message_count += len(records)

    def overflows(self, count: int) -> bool:
        """Whether ``count`` more messages would need the disk."""
        queue = self.queue
        return not self.ephemeral and queue.depth - queue.backend_depth + count > queue.memory_limit

    def defer(self, record: bytes, due: int) -> None:
        """Queue a new ``record`` at ``due``, not before."""
        self.message_count += 1
        self._defer(record, due)

    def _defer(self, record: bytes, due: int) -> None:
        heappush(self._deferred, (due, next(self._order), record))
        self.deadlines.arm(self, due)

    # ------------------------------------------------------------ consumers

    def add(self, consumer: Consumer) -> None:
        """Let ``consumer`` share the channel. Raises TooManyConsumers."""
        if self.max_consumers and len(self.consumers) >= self.max_consumers:
            raise TooManyConsumers(
                f"consumers for {self.topic}:{self.name} exceeds limit of {self.max_consumers}"
            )
        self.consumers.append(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Take ``consumer`` out; what it held is queued again."""
        self.consumers.remove(consumer)
        records = consumer.give_back_all()
        if records and not self.deleted:
            self.requeue_count += len(records)
            self.queue.give_back([requeued(record) for record in records])

    # ------------------------------------------------------------ messages out

    def deliver(self, now: int) -> None:
        """Give what is queued to the consumers that have room, taking turns."""
        if self.paused or not self.consumers:
            return
        queue = self.queue
        while depth := queue.depth:
            ready = self._ready(depth)
            if not ready:
                return
            share = max(1, min(self._slice, depth // len(ready)))
            again = self.topology_aware  # who is farther away may have room, when these have none
            for consumer in ready:
                records = self._take_slice(min(share, consumer.room))
                if not records:
                    self._unread = queue.depth > 0
                    if self._unread:
                        self.deadlines.arm(self, now + READ_RETRY)
                    return
                consumer.deliver(records, now)
                again = again or len(consumer.in_flight) < consumer.ready
                self.local_counts[consumer.locality] += len(records)
                self.deadlines.arm(self, now + consumer.msg_timeout)
            if not again:
                return

    def _take_slice(self, limit: int) -> list[bytes]:
        """Up to ``limit`` messages for one consumer, fewer if they are large.

        The next slice goes by the size of this one's messages, so that as a rule none has
        to be cut; only what follows on smaller messages has.
        """
        records = self.queue.take(limit)
        if not records:
            return records
        size = sum(map(len, records))
        self._slice = max(
            1, min(MAX_SLICE, 2 * self._slice, MAX_SLICE_BYTES * len(records) // size)
        )
        if size > 2 * MAX_SLICE_BYTES and len(records) > 1:
            fitting = max(1, bisect_right(list(accumulate(map(len, records))), MAX_SLICE_BYTES))
            self.queue.give_back(records[fitting:])
            del records[fitting:]
        return records

    def _ready(self, wanted: int) -> list[Consumer]:
        """Up to ``wanted`` consumers with room, going on after those of the last turn."""
        consumers = self.consumers
        total = len(consumers)
        if self._turn >= total:
            self._turn = 0
        ready: list[Consumer] = []
        turn = self._turn
        for consumer in consumers[turn:] + consumers[:turn] if turn else consumers:
            turn += 1
            if consumer.room:
                ready.append(consumer)
                if len(ready) == wanted and not self.topology_aware:
                    break
        if self.topology_aware and ready:
            nearest = min(consumer.locality for consumer in ready)
            ready = [consumer for consumer in ready if consumer.locality == nearest][:wanted]
            turn = consumers.index(ready[-1]) + 1
        elif ready and len(ready) < wanted:
            # Nobody is left out, but who is served first asks first: with one and the same first
            # each time it had half as much again as the last of fifty.
            self._first += 1
            first = self._first % len(ready)
            ready = ready[first:] + ready[:first]
        self._turn = turn % total if total else 0
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
        return consumer.finish(ids)

    def requeue(self, consumer: Consumer, id: bytes, delay: int, now: int) -> None:
        """Queue ``id`` again after ``delay`` ns. Raises NotInFlight or NotOwner."""
        record = consumer.give_back(id)
        if record is None:
            raise self.not_held(id)
        self.requeue_count += 1
        if delay > 0:
            self._defer(requeued(record), now + delay)
        else:
            self.queue.give_back([requeued(record)])

    def touch(self, consumer: Consumer, id: bytes, now: int) -> None:
        """Start the timeout of ``id`` anew. Raises NotInFlight or NotOwner."""
        deadline = consumer.touch(id, now)
        if deadline is None:
            raise self.not_held(id)
        self.deadlines.arm(self, deadline)

    def not_held(self, id: bytes) -> NotInFlight | NotOwner:
        """Why ``id`` is not a consumer's: nobody holds it, or another does."""
        if any(id in consumer.in_flight for consumer in self.consumers):
            return NotOwner("client does not own message")
        return NotInFlight("ID not in flight")

    # ------------------------------------------------------------ time

    def expire(self, now: int) -> bool:
        """Queue what came due or timed out; whether there is something to deliver. Arms the next
        deadline."""
        unread, self._unread = self._unread, False
        back: list[bytes] = []
        while self._deferred and self._deferred[0][0] <= now:
            back.append(heappop(self._deferred)[2])
        for consumer in self.consumers:
            deadline = consumer.next_deadline
            if deadline is not None and deadline <= now and (late := consumer.expire(now)):
                self.timeout_count += len(late)
                back += [requeued(record) for record in late]
        if back:
            self.queue.give_back(back)
        pending = [self._deferred[0][0]] if self._deferred else []
        for consumer in self.consumers:
            deadline = consumer.next_deadline
            if deadline is not None:
                pending.append(deadline)
        if pending:
            self.deadlines.arm(self, min(pending))
        return bool(back) or unread

    # ------------------------------------------------------------ the whole

    def empty(self) -> None:
        """Drop every message: queued, deferred, in flight."""
        self.queue.empty()
        self._deferred.clear()
        for consumer in self.consumers:
            consumer.drop_all()

    def delete(self) -> None:
        """Drop everything, files too, and let go of the consumers."""
        self.deleted = True
        for consumer in list(self.consumers):
            consumer.channel_deleted()
        self._deferred.clear()
        self.queue.delete()

    def close(self) -> None:
        """Put everything not finished on disk, deferred messages without their delay.

        Raises OSError if the disk would not take it.
        """
        back = [record for _, _, record in sorted(self._deferred)]
        for consumer in self.consumers:
            back += [requeued(record) for record in consumer.give_back_all()]
        self._deferred.clear()
        if back and not self.ephemeral:
            self.queue.give_back(back)
        self.queue.close()
