"""The queue of a topic or channel: memory up to a limit, the rest on disk.

What memory has no room for goes to the disk in one write. Taking is memory first, then
the two take turns, so that neither waits for the other to run dry; order between them is
not kept, as in the original. An ephemeral queue has no disk: what is new and finds no
room is dropped. What is deferred waits in memory, as in the original.
"""

from collections.abc import Container, Iterator

from nsqcore.classes import define, field
from nsqcore.names import is_ephemeral
from nsqd.engine.messages.queue import Arrived, Done, Loss, Place, Queue, Seen
from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.queues.ages import count_older, earliest, published
from nsqd.storage.queues.deferred import DeferredRecords
from nsqd.storage.queues.memory import MemoryQueue

# Records moved to the disk per write at a stop: a few MB at once.
FLUSH_BATCH = 10_000
# Where a look at the queue is: in memory, or on disk.
IN_MEMORY = 0
ON_DISK = 1


@define(eq=False, repr=False)
class TieredQueue:
    """Records, about first in, first out: a `nsqd.engine.messages.queue.Queue`.

    Without a ``store`` it is ephemeral. A ``forwarding`` one is told by `commit` when what was
    taken is in the queue it goes to.
    """

    name: str
    memory_limit: int
    store: DiskStore | None
    forwarding: bool = field(default=False, kw_only=True)
    _memory: MemoryQueue = field(factory=MemoryQueue, init=False)
    _deferred: DeferredRecords = field(factory=DeferredRecords, init=False)
    _disk: DiskQueue | None = field(init=False)
    _disk_is_next: bool = field(default=False, init=False)
    _deleted: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if self.store is None:
            self._disk = None
        else:
            self._disk = DiskQueue(self.name, self.store, forwarding=self.forwarding)

    @property
    def logged(self) -> bool:
        """Nothing comes here by itself."""
        return False

    def set_paused(self, paused: bool) -> None:
        """``nsqd.dat`` keeps it."""

    @property
    def depth(self) -> int:
        """How many records are queued."""
        return self._memory.depth + (self._disk.depth if self._disk else 0)

    @property
    def backend_depth(self) -> int:
        """How many of them are on disk."""
        return self._disk.depth if self._disk else 0

    @property
    def deferred(self) -> int:
        """How many records wait for their time."""
        return len(self._deferred)

    @property
    def next_due(self) -> int | None:
        """When the first of these is due, in ns."""
        return self._deferred.next_due

    def overflows(self, count: int) -> bool:
        """Whether ``count`` more records would need the disk."""
        return self._disk is not None and self._memory.depth + count > self.memory_limit

    def admit(self, count: int) -> None:
        """Raise OSError if ``count`` more records would need the disk, and it takes none."""
        if self._disk is not None and self.overflows(count):
            self._disk.probe()

    def put(self, records: list[bytes], wanted: int = 0) -> int:
        """Append ``records``; how many of them were dropped (only an ephemeral queue drops).

        ``wanted`` is how many consumers would take at once: so many more fit into memory.

        Raises OSError where the disk fails; none of them is queued then.
        """
        if self._deleted:
            return len(records)
        memory = self._memory
        room = self.memory_limit + wanted - memory.depth
        if len(records) <= room:
            memory.put(records)
            return 0
        room = max(room, 0)
        if self._disk is not None:
            self._disk.put(records[room:])
        if room:
            memory.put(records[:room])
        return 0 if self._disk else len(records) - room

    def give_back(self, records: list[bytes]) -> None:
        """Append ``records`` that were taken before.

        They are neither dropped nor refused: where the disk fails, or there is none,
        memory takes them over its limit.
        """
        if self._deleted:
            return
        if self._disk is None:
            self._memory.put(records)
            return
        try:
            self.put(records)
        except OSError:
            self._memory.put(records)

    def take(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``; fewer if those on disk are large, if there are no
        more, or the disk fails."""
        memory, disk = self._memory, self._disk
        if disk is None or not disk.depth:
            return memory.take(limit)
        if not memory.depth:
            return disk.take(limit)
        from_disk, self._disk_is_next = self._disk_is_next, not self._disk_is_next
        taken = disk.take(limit) if from_disk else memory.take(limit)
        if len(taken) < limit:
            missing = limit - len(taken)
            taken += memory.take(missing) if from_disk else disk.take(missing)
        return taken

    def take_older(self, wall: int, limit: int) -> list[bytes]:
        """As `take`, of those published until ``wall`` that come first in memory or on disk."""
        records, _ = self._memory.look(0, limit)
        taken = self._memory.take(count_older(records, wall))
        on_disk = count_older(self._first_on_disk(limit - len(taken)), wall)
        if on_disk and self._disk is not None:
            records = self._disk.take(on_disk)
            older = count_older(records, wall)
            taken += records[:older]
            if older < len(records):  # what was there could not be read any more
                self.give_back(records[older:])
        return taken

    def oldest(self) -> int | None:
        """When the oldest of the records was published that come first in memory or on disk."""
        first, _ = self._memory.look(0, 1)
        return earliest(*map(published, first), *map(published, self._first_on_disk(1)))

    def _first_on_disk(self, limit: int) -> list[bytes]:
        if self._disk is None or not self._disk.depth or limit <= 0:
            return []
        try:
            return self._disk.look((0, 0), limit)[0]
        except OSError:
            return []

    def finish(self, ids: list[bytes]) -> None:
        """Nothing is kept of what was taken."""

    def defer(self, records: list[bytes], due: int, *, new: bool = False) -> None:
        """Append ``records`` at ``due``."""
        if not self._deleted:
            self._deferred.put(records, due)

    def release_due(self, now: int, limit: int) -> int:
        """Append what is due at ``now``, at most ``limit`` records; how many there were."""
        due = self._deferred.take_due(now, limit)
        if due:
            self.give_back(due)
        return len(due)

    def look(self, place: Place, limit: int) -> Seen:
        """Up to ``limit`` records from ``place`` on: those in memory, then those on disk.

        Raises OSError.
        """
        section, *at = place or (IN_MEMORY, 0)
        if section == IN_MEMORY:
            records, position = self._memory.look(at[0], limit)
            return Seen(records, self._behind(position))
        assert self._disk is not None
        records, following = self._disk.look((at[0], at[1]), limit)
        return Seen(records, following and (ON_DISK, *following))

    def look_deferred(self) -> Iterator[tuple[bytes, int]]:
        """Every record that waits for its time, with when it is due."""
        return self._deferred.look()

    def withdraw(self, ids: Container[bytes], place: Place, limit: int) -> Seen:
        """Take those of ``ids`` that `look` would show. Raises OSError."""
        section, *at = place or (IN_MEMORY, 0)
        if section == IN_MEMORY:
            records, position = self._memory.withdraw(ids, at[0], limit)
            return Seen(records, self._behind(position))
        assert self._disk is not None
        records, following = self._disk.withdraw(ids, (at[0], at[1]), limit)
        return Seen(records, following and (ON_DISK, *following))

    def _behind(self, position: int) -> Place | None:
        """What to look at behind ``position`` of the memory."""
        if position < self._memory.taken + self._memory.depth:
            return (IN_MEMORY, position)
        return (ON_DISK, 0, 0) if self._disk is not None and self._disk.depth else None

    def withdraw_deferred(self, ids: Container[bytes], place: Place, limit: int) -> Seen:
        """Take those of ``ids`` that wait for their time."""
        records, position = self._deferred.withdraw(ids, place[0] if place else 0, limit)
        return Seen(records, (position,) if position < self._deferred.entries else None)

    def commit(self) -> None:
        """What was taken so far is where it goes: a crash need not find it here any more."""
        if self._disk is not None:
            self._disk.commit()

    def empty(self) -> None:
        """Drop all records."""
        self._memory.clear()
        self._deferred = DeferredRecords()
        if self._disk is not None:
            self._disk.empty()

    def flush(self) -> Loss | None:
        """Move what is in memory to the disk; an ephemeral queue drops it.

        Tells how many records the disk did not take, and why. They are still in memory.
        """
        if self._disk is None:
            self._memory.clear()
            return None
        reason = ""
        lost: list[bytes] = []
        while records := self._memory.take(FLUSH_BATCH):
            try:
                self._disk.put(records)
            except OSError as error:
                reason = str(error)
                lost += self._put_what_fits(records)
        self._memory.put(lost)
        return Loss(len(lost), reason) if lost else None

    def _put_what_fits(self, records: list[bytes]) -> list[bytes]:
        """Put as many of ``records`` as the disk takes, which refused all of them at once; returns
        the others."""
        assert self._disk is not None
        if len(records) == 1:
            return records
        half = len(records) // 2
        lost: list[bytes] = []
        for part in (records[:half], records[half:]):
            try:
                self._disk.put(part)
            except OSError:
                lost += self._put_what_fits(part)
        return lost

    def close(self, *, bypassed: bool = False) -> Loss | None:
        """`flush`, and leave the files in order; tells what could not be kept.

        Deferred records are kept without their time. ``bypassed`` says that messages went by
        without being put. In the original, where there is no memory they go through a file; it is
        there afterwards, as it is here.
        """
        self._memory.put(self._deferred.take_all())
        if self._disk is not None:
            self._disk.end()
        loss = self.flush()
        if self._disk is None:
            return None
        if loss is None:  # else what was taken of a backlog has no other place yet
            self.commit()
        try:
            self._disk.close(leave_file=bypassed and not self.memory_limit)
        except OSError as error:
            # the records are in their files, and found there: only the cursors are of before
            self._disk.warn(f"failed to note the cursors - {error}")
        return loss

    def delete(self) -> None:
        """Drop all records, and remove the files. From now on it takes and gives nothing."""
        self._deleted = True
        self._memory.clear()
        self._deferred = DeferredRecords()
        if self._disk is not None:
            self._disk.delete()


@define(eq=False, repr=False)
class TieredStorage:
    """The queues of one data directory: a `nsqd.engine.messages.queue.Storage`."""

    store: DiskStore

    @property
    def owed(self) -> Container[str]:
        """The topics whose OK waits for a sync."""
        return self.store.owed

    def when_synced(self, topic: str, done: Done) -> None:
        """Have ``done`` told when what ``topic`` has on disk by now is synced."""
        self.store.when_synced(topic, done)

    def topic_log(self, topic: str, durability: str, arrived: Arrived) -> None:
        """No topic is durable."""

    def logged_queue(self, topic: str, channel: str, queue: Queue) -> Queue:
        """No topic is durable."""
        return queue

    def topic_queue(self, topic: str, memory_limit: int) -> TieredQueue:
        """What ``topic`` itself has not passed on to its channels. Raises OSError."""
        store = None if is_ephemeral(topic) else self.store
        return TieredQueue(topic, memory_limit, store, forwarding=True)

    def channel_queue(self, topic: str, channel: str, memory_limit: int) -> TieredQueue:
        """The queue of ``topic``/``channel``. Raises OSError."""
        # nobody would ask for the files of a topic that is not there after the next start
        store = None if is_ephemeral(topic) or is_ephemeral(channel) else self.store
        return TieredQueue(f"{topic}:{channel}", memory_limit, store)

    def warn(self, message: str) -> None:
        """Tell an operator."""
        self.store.warn(message)
