"""What one channel of a durable topic has queued: a cursor into the log, and records in memory.

While the channel keeps up, records come into memory as they are published, and nothing is read.
Once memory is full they are only counted, and read later, a block at a time, in the order
in which they were published. The log has each record once, for all channels.

What a channel does with its messages is noted for the journal: that they were delivered, finished,
or are to be delivered again.
"""

from collections.abc import Callable, Container, Iterable
from functools import partial

from attrs import evolve

from nsqcore.classes import Factory, define, field
from nsqcore.wire.headers import MARK, MOST_ATTEMPTS
from nsqd.storage.durable.format.batches import Batch
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.hot import pack_deliveries, pack_ids, pack_queued
from nsqd.storage.durable.format.ranges import Ranges
from nsqd.storage.durable.log.finding import find, find_ordinals
from nsqd.storage.durable.log.log import Appended, Cursor, TopicLog
from nsqd.storage.durable.topics.parking import Parked, Parking
from nsqd.storage.durable.topics.state import ChannelState, InHand
from nsqd.storage.queues.ages import count_older, published
from nsqd.storage.queues.memory import MemoryQueue

# Read from the log at a time, in bytes: some milliseconds' work.
LOAD_BYTES = 256 << 10

#: A message in hand: its record, the deliveries made, when it is due (wall-clock ns; 0: at once).
Held = tuple[bytes, int, int]


def id_of(record: bytes) -> int:
    """The id of a record, as a number. Ids rise along a log."""
    return int(record[10:26], 16)


def attempts_of(record: bytes) -> int:
    """The attempts field of a record: in a queue, the number of its next delivery."""
    return int.from_bytes(record[8:10], "big") & MOST_ATTEMPTS


def capped(record: bytes) -> bytes:
    """``record``, of a plain queue, with no more attempts than one in a log may have: where such
    a one would have its mark of headers."""
    if record[8] & MARK:
        return b"".join((record[:8], MOST_ATTEMPTS.to_bytes(2, "big"), record[10:]))
    return record


def with_attempts(record: bytes, attempts: int) -> bytes:
    """``record`` with another number of attempts."""
    number = min(attempts, MOST_ATTEMPTS) | (record[8] & MARK) << 8
    return b"".join((record[:8], number.to_bytes(2, "big"), record[10:]))


def _deliver_early(record: bytes, due: int) -> None:
    raise NotImplementedError("nobody holds deferred records back")


@define(eq=False, repr=False)
class LogQueue:
    """The queue of one channel. ``flow`` tells the first ordinal that may not be read yet.

    ``note`` takes what is to be journaled of the channel, as `payloads` has it; ``defer`` takes a
    record that is not to be delivered before a time (wall-clock ns).
    """

    state: ChannelState
    log: TopicLog
    flow: Callable[[], int]
    note: Callable[[Kind, bytes], None]
    defer: Callable[[bytes, int], None] = _deliver_early
    memory_limit: int = 10_000
    #: Where messages lie that do not lie where their ids say: ordinals, by id.
    moved: dict[int, int] = Factory(dict)
    #: What is on its way to another place, and is the channel's until it is there; by id. Its
    #: attempts count the deliveries made.
    leaving: dict[bytes, bytes] = Factory(dict)
    #: As ``moved``, of what is being moved: where it will be once the journal has it (`tidying`).
    moving: dict[int, int] = Factory(dict)
    memory: MemoryQueue = field(factory=MemoryQueue, init=False)
    #: What is due far off, and so not in memory.
    parking: Parking = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.parking = self._new_parking()

    def _new_parking(self) -> Parking:
        return Parking(partial(self.log.homes.of, self.log))

    # ------------------------------------------------------------ how much there is

    @property
    def unread(self) -> int:
        """How many records are in the log only."""
        state = self.state
        first, following = state.cursor.ordinal, self.flow()
        if first >= following:
            return 0
        passed = state.skips.count_both(self.log.holes, first, following)
        return max(0, following - first - passed - len(state.done))

    @property
    def depth(self) -> int:
        """How many records there are."""
        return self.memory.depth + self.unread

    # ------------------------------------------------------------ records in

    def restore(self, records: list[bytes]) -> None:
        """Have ``records``, which were in hand when nsqd ended, delivered first."""
        self.memory.put(records)

    def arrived(
        self, appended: Appended, records: list[bytes], *, due: int = 0, channel: int = 0
    ) -> bool:
        """A batch was written to the log; whether there is something to deliver."""
        state = self.state
        mine = channel in (0, state.number)
        at_once = mine and bool(due or channel)
        at_end = state.cursor.ordinal == appended.first
        room = self.memory.depth + len(records) <= self.memory_limit
        if at_once or not mine:
            self.passed(appended, records)
        elif at_end and room:
            position = appended.position + len(appended.data)
            state.cursor = Cursor(appended.next, appended.segment, position)
            state.last_id = id_of(records[-1])
        else:
            return True  # to be read later
        if due and mine:
            for record in records:
                self.defer(record, due)
        elif mine:
            self.memory.put(records)
        return mine and not due

    def passed(self, appended: Appended, records: list[bytes]) -> None:
        """A batch was written to the log that is not to be read: it is not for this channel, or
        in its hand already."""
        state = self.state
        if state.cursor.ordinal == appended.first:
            position = appended.position + len(appended.data)
            state.cursor = Cursor(appended.next, appended.segment, position)
            state.last_id = max(state.last_id, id_of(records[-1]))
        else:
            state.skips.append(appended.first, appended.next)

    def give_back(self, records: list[bytes]) -> None:
        """Queue ``records`` again, which were taken before. They count their next delivery."""
        self.memory.put(records)
        self.note(Kind.BACK, pack_deliveries(records, 1, 0))

    def put_off(self, record: bytes, due: int) -> None:
        """``record`` was taken before and is to be delivered at ``due`` (wall-clock ns)."""
        self.note(Kind.BACK, pack_deliveries([record], 1, due))

    # ------------------------------------------------------------ far-off records

    def park(self, record: bytes, due: int) -> None:
        """Have ``record``, which is deferred, forgotten until shortly before ``due``."""
        id = id_of(record)
        self.moving.pop(id, None)
        self.parking.put(Parked(id, self.moved.pop(id, 0), attempts_of(record) - 1, due))

    def unpark(self, before: int, limit: int) -> list[tuple[bytes, int]]:
        """Some of what is parked and may be due before ``before``, with when it is. It is the
        caller's from now on. Raises OSError."""
        parked = self.parking.first(before, limit)
        records = self.records_of(parked)
        if parked:
            self.parking.drop_first(len(parked))
            self._in_hand(parked)
        return [(record, each.due) for each, record in records]

    def withdraw_parked(
        self, ids: Container[bytes], place: tuple[int, int], limit: int
    ) -> tuple[list[bytes], int, tuple[int, int] | None]:
        """Take those of ``ids`` that are among ``limit`` parked ones from ``place`` on: records,
        how many could not be found, and the place behind. Raises OSError."""
        parked, following = self.parking.withdraw(ids, place, limit)
        try:
            records = self.records_of(parked)
        except OSError:
            for each in parked:
                self.parking.put(each)
            raise
        self._in_hand(parked)
        return [record for _, record in records], len(parked) - len(records), following

    def _in_hand(self, parked: list[Parked]) -> None:
        self.moved.update((each.id, each.ordinal) for each in parked if each.ordinal)

    def records_of(self, parked: list[Parked]) -> list[tuple[Parked, bytes]]:
        """Messages that are parked with their records, as far as the log has them.

        Raises OSError.
        """
        if parked:
            self.log.write_rest()  # what can't be written now is not lost
        by_id = find(self.log, [each.id for each in parked if not each.ordinal])
        by_ordinal = find_ordinals(self.log, [each.ordinal for each in parked if each.ordinal])
        records: list[tuple[Parked, bytes]] = []
        for each in parked:
            at = each.ordinal
            record = by_ordinal.get(at) if at else by_id.get(each.id, (0, None))[1]
            if record is not None:
                records.append((each, with_attempts(record, each.attempts + 1)))
        return records

    # ------------------------------------------------------------ records out

    def take(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``; fewer only if there are no more for now.

        Raises OSError.
        """
        records = self.memory.take(limit)
        while len(records) < limit and self.unread:
            if not self._load():
                break
            records += self.memory.take(limit - len(records))
        return records

    def take_older(self, wall: int, limit: int) -> list[bytes]:
        """As `take`, of the records published until ``wall`` that come first. Raises OSError."""
        if not self.memory.depth and limit > 0 and self.unread:
            self._load()
        records, _ = self.memory.look(0, limit)
        return self.memory.take(count_older(records, wall))

    def oldest(self) -> int | None:
        """When the first of the records was published; None if it can't be read."""
        records, _ = self.memory.look(0, 1)
        if not records and self.unread:
            try:
                records = self._first_unread()
            except OSError:
                return None
        return published(records[0]) if records else None

    def _first_unread(self) -> list[bytes]:
        """One of the first batch that has any for the channel, so that little is read."""
        cursor, flow = self.state.cursor, self.flow()
        for _, batch in self.log.read(cursor):
            if batch.header.first >= flow:
                break
            for ordinal, record in self.not_finished(batch).items():
                if cursor.ordinal <= ordinal < flow:
                    return [record]
        return []

    def untake(self, records: list[bytes]) -> None:
        """Queue ``records`` again that were taken and not delivered."""
        self.memory.put(records)

    def sent(self, records: list[bytes]) -> None:
        """``records``, which were taken, are in flight."""
        self.note(Kind.SENT, pack_deliveries(records, 0, 0))

    def finish(self, ids: list[bytes]) -> None:
        """The channel is done with ``ids``."""
        self.let_go(ids)
        self.note(Kind.ACK, pack_ids(ids))

    def let_go(self, ids: list[bytes]) -> None:
        """Messages are no longer in hand: it does not matter where they lie."""
        if self.moved or self.moving:
            for id in ids:
                self.moved.pop(int(id, 16), None)
                self.moving.pop(int(id, 16), None)

    def _load(self) -> bool:
        """Read the next block of the log into memory; whether the cursor moved."""
        state, flow = self.state, self.flow()
        began = state.cursor.ordinal
        loaded = 0
        for behind, batch in self.log.read(state.cursor):
            if batch.header.first >= flow:
                break
            if batch.header.first > state.cursor.ordinal:
                self._lost(state.cursor.ordinal, batch.header.first)
            self._take_in(batch)
            state.cursor = behind
            state.skips.forget_before(behind.ordinal)
            loaded += batch.header.size
            if loaded >= LOAD_BYTES or self.memory.depth >= max(self.memory_limit, 1):
                break
        else:
            # everything was read that can be: what is still missing is not there
            readable = min(flow, self.log.readable)
            if state.cursor.ordinal < readable:
                self._lost(state.cursor.ordinal, readable)
                state.cursor = Cursor(readable)
        if state.done and state.cursor.ordinal >= flow:
            state.done.clear()
        return state.cursor.ordinal > began

    def _take_in(self, batch: Batch) -> None:
        state, header = self.state, batch.header
        if batch.damaged:
            for ordinal in range(header.first, header.next):
                if ordinal not in batch.records:
                    self.log.damaged.add(ordinal, ordinal + 1)
        records = batch.records
        if records:
            state.last_id = max(state.last_id, id_of(records[max(records)]))
        if header.first < state.cursor.ordinal or state.skips:
            records = {
                ordinal: record
                for ordinal, record in records.items()
                if ordinal >= state.cursor.ordinal and ordinal not in state.skips
            }
        if header.channel or not records:  # what is for one channel it got at once
            return
        taken = list(records.values())
        if state.done:
            known = [record for record in taken if id_of(record) in state.done]
            if known:
                state.done.difference_update(map(id_of, known))
                taken = [record for record in taken if record not in known]
        if header.due:
            for record in taken:
                self.defer(record, header.due)
        else:
            self.memory.put(taken)

    def not_finished(self, batch: Batch) -> dict[int, bytes]:
        """The records of ``batch``, ahead of the cursor, that the channel is to have."""
        state = self.state
        if batch.header.channel not in (0, state.number):
            return {}
        return {
            ordinal: record
            for ordinal, record in batch.records.items()
            if ordinal not in state.skips and not (state.done and id_of(record) in state.done)
        }

    def _lost(self, first: int, following: int) -> None:
        known = self.state.skips.count_both(self.log.holes, first, following)
        if known < following - first:
            self.log.damaged.add(first, following)

    # ------------------------------------------------------------ the whole

    def empty(self) -> None:
        """Drop all records, queued ones only."""
        self.memory.clear()
        self.moved.clear()
        self.moving.clear()
        self.leaving.clear()
        self.parking = self._new_parking()
        state = self.state
        state.cursor = Cursor(max(self.flow(), state.cursor.ordinal))
        state.skips.forget_before(state.cursor.ordinal)
        state.done.clear()

    def snapshot(self, held: Iterable[Held]) -> ChannelState:
        """What the channel has left now, with what it has in flight and deferred (``held``)."""
        live: dict[int, InHand] = {}
        moved = self.moved.get
        queued = list(self.memory.records())
        if self.moved:
            for record in queued:
                if place := moved(id := id_of(record), 0):
                    live[id] = InHand(place, attempts_of(record) - 1, 0)
            queued = [record for record in queued if id_of(record) not in live]
        leaving = [(record, attempts_of(record), 0) for record in self.leaving.values()]
        for record, attempts, due in (*held, *leaving):
            id = id_of(record)
            live[id] = InHand(moved(id, 0), attempts, due)
        state = self.state
        return evolve(
            state,
            live=live,
            queued=pack_queued(queued),
            waiting=self.parking,
            skips=Ranges(list(state.skips.ranges)),
            done=set(state.done),
        )
