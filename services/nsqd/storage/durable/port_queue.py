"""The queue of a channel of a durable topic, as the engine sees it (`nsqd.engine.messages.queue`).

It has two queues: the `LogQueue`, and the plain one that the channels of other topics have. What
was published before the topic became durable, or after it ceased to be, is in the plain one.
"""

from collections.abc import Callable, Container, Iterator

from nsqcore.classes import Factory, define, field
from nsqd.engine.messages.queue import Loss, Place, Queue, Seen
from nsqd.storage.durable.looking import PLAIN, look
from nsqd.storage.durable.topics.queue import LogQueue, capped
from nsqd.storage.durable.topics.topic import DurableTopic
from nsqd.storage.queues.ages import earliest
from nsqd.storage.queues.deferred import DeferredRecords

NONE = "none"

# Messages that are due later than in so long (ns) are parked (`Parking`), and in memory again so
# long before they are due.
PARK_FROM = 600_000_000_000
UNPARK_BEFORE = 60_000_000_000
# How many are read at a time; and how long after one failed that is tried again.
UNPARK_AT_ONCE = 100
UNPARK_AGAIN = 1_000_000_000

# Places of deferred messages begin with one of these.
_PLAIN, _IN_MEMORY, _PARKED = range(3)


@define(eq=False, repr=False)
class DurableQueue:
    """The queue of a channel of a durable topic: a `nsqd.engine.messages.queue.Queue`."""

    topic: DurableTopic
    log: LogQueue
    plain: Queue
    wall_offset: Callable[[], int]
    forget: Callable[[LogQueue], None]  # the channel is deleted
    deferred_records: DeferredRecords = Factory(DeferredRecords)  # by wall-clock ns
    deleted: bool = False
    latest: int = 0  # not after now, by the wall clock
    retry_at: int = 0  # when to read again what could not be read
    plain_ids: set[bytes] = field(factory=set, init=False)  # taken from the plain queue

    def is_plain(self, record: bytes) -> bool:
        """Whether ``record`` was taken from the plain queue."""
        return record[10:26] in self.plain_ids

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
        return len(self.deferred_records) + len(self.log.parking) + self.plain.deferred

    @property
    def next_due(self) -> int | None:
        """When the first of these is due."""
        mine, plain = self.deferred_records.next_due, self.plain.next_due
        parked = self.log.parking.first_due
        if parked is not None:
            parked = max(parked - UNPARK_BEFORE, self.retry_at)
            mine = parked if mine is None else min(mine, parked)
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
        records = [capped(record) for record in self.plain.take(limit)]
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

    def take_older(self, wall: int, limit: int) -> list[bytes]:
        """As `take`, of the records published until ``wall`` that come first."""
        plain = [capped(record) for record in self.plain.take_older(wall, limit)]
        self.plain_ids.update(record[10:26] for record in plain)
        try:
            records = self.log.take_older(wall, limit - len(plain))
        except OSError:
            return plain
        if records:
            self.log.sent(records)
        return plain + records

    def oldest(self) -> int | None:
        """When the oldest of the records was published that come first."""
        return earliest(self.plain.oldest(), self.log.oldest())

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
            plain = list(filter(self.is_plain, records))
            if plain:
                records = [record for record in records if not self.is_plain(record)]
                self.plain_ids.difference_update(record[10:26] for record in plain)
                self.plain.give_back(plain)
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
                self.hold_back(record, wall)
                self.log.put_off(record, wall)

    def hold_back(self, record: bytes, due: int) -> None:
        """Keep a record of the log until ``due`` (wall-clock ns)."""
        self.latest = max(self.latest, int.from_bytes(record[:8], "big"))
        if due >= self.latest + PARK_FROM:
            self.log.park(record, due)
        else:
            self.deferred_records.put([record], due)

    def _unpark(self, wall: int, limit: int) -> int:
        """Have in memory what is due soon after ``wall``; how many there were."""
        self.latest = max(self.latest, wall)
        before = len(self.log.parking)
        if not before or wall < self.retry_at:
            return 0
        try:
            records = self.log.unpark(wall + UNPARK_BEFORE, min(limit, UNPARK_AT_ONCE))
        except OSError:
            self.retry_at = wall + UNPARK_AGAIN
            return 0
        for record, due in records:
            self.deferred_records.put([record], due)
        count = before - len(self.log.parking)
        self.topic.lost += count - len(records)
        return count

    def release_due(self, now: int, limit: int) -> int:
        """Queue what is due at ``now``, at most ``limit`` records; how many there were."""
        wall = now + self.wall_offset()
        read = self._unpark(wall, limit)
        due = self.deferred_records.take_due(wall, limit)
        if due:
            self.log.give_back(due)
        return max(read, len(due)) + self.plain.release_due(now, limit - len(due))

    def look(self, place: Place, limit: int) -> Seen:
        """Up to ``limit`` queued records from ``place`` on. Raises OSError."""
        return look(self.plain, self.log, place, limit)

    def look_deferred(self) -> Iterator[tuple[bytes, int]]:
        """Every record that waits for its time, with when it is due."""
        offset = self.wall_offset()
        for parked in self.log.parking.look(UNPARK_AT_ONCE):
            for each, record in self.log.records_of(parked):
                yield record, each.due - offset
        for record, due in self.deferred_records.look():
            yield record, due - offset
        yield from self.plain.look_deferred()

    def withdraw(self, ids: Container[bytes], place: Place, limit: int) -> Seen:
        """Take those of ``ids`` that `look` would show. Raises OSError."""
        seen = look(self.plain, self.log, place, limit, ids)
        if not place or place[0] == PLAIN:
            self.plain_ids.update(record[10:26] for record in seen.records)
        return seen

    def withdraw_deferred(self, ids: Container[bytes], place: Place, limit: int) -> Seen:
        """Take those of ``ids`` that wait for their time. Raises OSError."""
        where, *at = place or (_PARKED, 0, 0)
        if where == _PARKED:
            found, lost, following = self.log.withdraw_parked(ids, (at[0], at[1]), limit)
            self.topic.lost += lost
            return Seen(found, (_PARKED, *following) if following else (_IN_MEMORY, 0))
        if where == _PLAIN:
            seen = self.plain.withdraw_deferred(ids, tuple(at), limit)
            self.plain_ids.update(record[10:26] for record in seen.records)
            return Seen(seen.records, seen.next and (_PLAIN, *seen.next))
        records, position = self.deferred_records.withdraw(ids, at[0], limit)
        more = position < self.deferred_records.entries
        return Seen(records, (_IN_MEMORY, position) if more else (_PLAIN, 0))

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
