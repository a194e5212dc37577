"""The queue of a topic or channel: memory up to a limit, the rest on disk.

What memory has no room for goes to the disk in one write. Taking is memory first, then
the two take turns, so that neither waits for the other to run dry; order between them is
not kept, as in the original. An ephemeral queue has no disk: what is new and finds no
room is dropped.
"""

from attrs import define, field

from nsqd.storage.disk import DiskQueue
from nsqd.storage.memory import MemoryQueue
from nsqd.storage.store import DiskStore

# Records moved to the disk per write at a stop: a few MB at once.
FLUSH_BATCH = 10_000


@define(eq=False)
class TieredQueue:
    """Records, about first in, first out. ``memory_limit`` of them are kept in memory.

    Without a ``store`` it is ephemeral. One that ``forwarding`` is told by `commit` when what was
    taken is in the queue it goes to.
    """

    name: str
    memory_limit: int
    store: DiskStore | None
    forwarding: bool = field(default=False, kw_only=True)
    _memory: MemoryQueue = field(factory=MemoryQueue, init=False)
    _disk: DiskQueue | None = field(init=False)
    _disk_is_next: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if self.store is None:
            self._disk = None
        else:
            self._disk = DiskQueue(self.name, self.store, forwarding=self.forwarding)

    @property
    def depth(self) -> int:
        """How many records there are."""
        return self._memory.depth + (self._disk.depth if self._disk else 0)

    @property
    def backend_depth(self) -> int:
        """How many of them are on disk."""
        return self._disk.depth if self._disk else 0

    def put(self, records: list[bytes], *, wanted: int = 0) -> int:
        """Append ``records``; how many of them were dropped (only an ephemeral queue drops).

        ``wanted`` is how many consumers would take at once: so many more fit into memory.
        The list may be kept: the caller must not change it afterwards.

        Raises OSError where the disk fails; none of them is queued then.
        """
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
            other = memory.take if from_disk else disk.take
            taken += other(limit - len(taken))
        return taken

    def commit(self) -> None:
        """What was taken so far is where it goes: a crash need not find it here any more."""
        if self._disk is not None:
            self._disk.commit()

    def empty(self) -> None:
        """Drop all records."""
        self._memory.clear()
        if self._disk is not None:
            self._disk.empty()

    def flush(self) -> None:
        """Move what is in memory to the disk; an ephemeral queue drops it.

        Raises OSError where the disk fails; what was not moved is still in memory.
        """
        if self._disk is None:
            self._memory.clear()
            return
        while records := self._memory.take(FLUSH_BATCH):
            try:
                self._disk.put(records)
            except OSError:
                self._memory.put(records)
                raise

    def close(self, *, bypassed: bool = False) -> None:
        """`flush`, and leave the files in order. Raises OSError where the disk fails.

        ``bypassed`` says that messages went by without being put. In the original, where
        there is no memory they go through a file; it is there afterwards, as it is here.
        """
        self.flush()
        self.commit()
        if self._disk is not None:
            self._disk.close(leave_file=bypassed and not self.memory_limit)

    def delete(self) -> None:
        """Drop all records, and remove the files. The queue must not be used afterwards."""
        self._memory.clear()
        if self._disk is not None:
            self._disk.delete()
