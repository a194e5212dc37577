"""What one channel of a durable topic has queued: a cursor into the log, and records in memory.

While the channel keeps up, records come into memory as they are published, and nothing is read.
Once memory is full they are only counted, and read later, a block at a time, in the order
in which they were published. The log has each record once, for all channels.

What a channel does with its messages is noted for the journal: that they were delivered, finished,
or are to be delivered again.
"""

from collections.abc import Callable, Iterable

from attrs import Factory, define, evolve, field

from nsqd.storage.durable.batches import Batch
from nsqd.storage.durable.entries import Kind
from nsqd.storage.durable.log import Appended, Cursor, TopicLog
from nsqd.storage.durable.ranges import Ranges
from nsqd.storage.durable.state import ChannelState, InHand
from nsqd.storage.memory import MemoryQueue

# Read from the log at a time, in bytes: some milliseconds' work.
LOAD_BYTES = 256 << 10

#: A message in hand: its record, the deliveries made, when it is due (wall-clock ns; 0: at once).
Held = tuple[bytes, int, int]


def id_of(record: bytes) -> int:
    """The id of a record, as a number. Ids rise along a log."""
    return int(record[10:26], 16)


def attempts_of(record: bytes) -> int:
    """The attempts field of a record: in a queue, the number of its next delivery."""
    return int.from_bytes(record[8:10], "big")


def with_attempts(record: bytes, attempts: int) -> bytes:
    """``record`` with another number of attempts."""
    return b"".join((record[:8], min(attempts, 0xFFFF).to_bytes(2, "big"), record[10:]))


def _deliver_early(record: bytes, due: int) -> None:
    raise NotImplementedError("nobody holds deferred records back")


@define(eq=False)
class LogQueue:
    """The queue of one channel. ``flow`` tells the first ordinal that may not be read yet.

    ``note`` takes what is to be journaled of the channel; ``defer`` takes a record that is not to
    be delivered before a time (wall-clock ns).
    """

    state: ChannelState
    log: TopicLog
    flow: Callable[[], int]
    note: Callable[[Kind, list[tuple[int, int, int]]], None]
    defer: Callable[[bytes, int], None] = _deliver_early
    memory_limit: int = 10_000
    #: Where messages lie that do not lie where their ids say: ordinals, by id.
    moved: dict[int, int] = Factory(dict)
    _memory: MemoryQueue = field(factory=MemoryQueue, init=False)

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
        return self._memory.depth + self.unread

    # ------------------------------------------------------------ records in

    def restore(self, records: list[bytes]) -> None:
        """Have ``records``, which were in hand when nsqd ended, delivered first."""
        self._memory.put(records)

    def arrived(
        self, appended: Appended, records: list[bytes], *, due: int = 0, channel: int = 0
    ) -> bool:
        """A batch was written to the log; whether there is something to deliver."""
        state = self.state
        mine = channel in (0, state.number)
        at_once = mine and bool(due or channel)
        at_end = state.cursor.ordinal == appended.first
        room = self._memory.depth + len(records) <= self.memory_limit
        if at_end and (room or at_once or not mine):
            position = appended.position + len(appended.data)
            state.cursor = Cursor(appended.next, appended.segment, position)
            if not channel:
                state.last_id = id_of(records[-1])
        elif at_once or not mine:
            state.skips.append(appended.first, appended.next)
        else:
            return True  # to be read later
        if channel and mine:
            self.moved.update(
                (id_of(record), ordinal) for ordinal, record in enumerate(records, appended.first)
            )
        if due and mine:
            for record in records:
                self.defer(record, due)
        elif mine:
            self._memory.put(records)
        return mine and not due

    def give_back(self, records: list[bytes]) -> None:
        """Queue ``records`` again, which were taken before. They count their next delivery."""
        self._memory.put(records)
        self.note(
            Kind.BACK,
            [(id_of(record), attempts_of(record) - 1, 0) for record in records],
        )

    def put_off(self, record: bytes, due: int) -> None:
        """``record`` was taken before and is to be delivered at ``due`` (wall-clock ns)."""
        attempts = attempts_of(record) - 1
        self.note(Kind.BACK, [(id_of(record), attempts, due)])

    # ------------------------------------------------------------ records out

    def take(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``; fewer only if there are no more for now.

        Raises OSError.
        """
        records = self._memory.take(limit)
        while len(records) < limit and self.unread:
            if not self._load():
                break
            records += self._memory.take(limit - len(records))
        return records

    def untake(self, records: list[bytes]) -> None:
        """Queue ``records`` again that were taken and not delivered."""
        self._memory.put(records)

    def sent(self, records: list[bytes]) -> None:
        """``records``, which were taken, are in flight."""
        self.note(
            Kind.SENT,
            [(id_of(record), attempts_of(record), 0) for record in records],
        )

    def finish(self, ids: Iterable[bytes]) -> None:
        """The channel is done with ``ids``."""
        numbers = [int(id, 16) for id in ids]
        if self.moved:
            for number in numbers:
                self.moved.pop(number, None)
        self.note(Kind.ACK, [(number, 0, 0) for number in numbers])

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
            if loaded >= LOAD_BYTES or self._memory.depth >= max(self.memory_limit, 1):
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
        if records and not header.channel:
            state.last_id = max(state.last_id, id_of(records[max(records)]))
        if header.first < state.cursor.ordinal or state.skips:
            records = {
                ordinal: record
                for ordinal, record in records.items()
                if ordinal >= state.cursor.ordinal and ordinal not in state.skips
            }
        if header.channel not in (0, state.number) or not records:
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
            self._memory.put(taken)

    def _lost(self, first: int, following: int) -> None:
        known = self.state.skips.count_both(self.log.holes, first, following)
        if known < following - first:
            self.log.damaged.add(first, following)

    # ------------------------------------------------------------ the whole

    def empty(self) -> None:
        """Drop all records, queued ones only."""
        self._memory.clear()
        self.moved.clear()
        state = self.state
        state.cursor = Cursor(max(self.flow(), state.cursor.ordinal))
        state.skips.forget_before(state.cursor.ordinal)
        state.done.clear()

    def snapshot(self, held: Iterable[Held]) -> ChannelState:
        """What the channel has left now, with what it has in flight and deferred (``held``)."""
        live: dict[int, InHand] = {}
        moved = self.moved.get
        for record in self._memory.records():
            id = id_of(record)
            live[id] = InHand(moved(id, 0), attempts_of(record) - 1, 0)
        for record, attempts, due in held:
            id = id_of(record)
            live[id] = InHand(moved(id, 0), attempts, due)
        state = self.state
        return evolve(
            state, live=live, skips=Ranges(list(state.skips.ranges)), done=set(state.done)
        )
