"""A topic's messages: one log, in segments, for any number of channels.

`append` reserves ordinals and a place and encodes a batch; the journal takes the very bytes;
`written` puts them into their segment once the journal has them. Nothing is synced here: a
checkpoint does that, and a segment that every channel is done with by then is unlinked without.

Room on the disk is reserved ahead, so that a full disk meets the publisher, before
anything is journaled.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator

from attrs import Factory, define, field, frozen

from nsqd.storage.durable.batches import Batch, encode_batch
from nsqd.storage.durable.disk import Disk
from nsqd.storage.durable.ranges import Ranges
from nsqd.storage.durable.segments import Segment, first_of, segment_name

SEGMENT_SIZE = 64 << 20
# Room is reserved in steps of so many bytes, so that it costs nothing per message.
RESERVE_STEP = 1 << 20


@frozen
class Cursor:
    """A place in the log: the next record to read is ``ordinal``.

    ``segment`` and ``position`` say where its batch begins; a segment of 0 says that it has to be
    looked for.
    """

    ordinal: int = 1
    segment: int = 0
    position: int = 0


@frozen
class Appended:
    """A batch that has a place in the log and is not there yet."""

    segment: int
    position: int
    data: bytes
    first: int
    next: int


class BadLog(Exception):
    """A log's files are not what a log can be."""


@define(eq=False)
class TopicLog:
    """The log in ``directory``. ``end`` is the ordinal of the first record not written yet."""

    disk: Disk
    directory: str
    segment_size: int = SEGMENT_SIZE
    segments: list[Segment] = Factory(list)  # in order; the last one grows
    end: int = 1
    newest: int = 0  # when the last batch that was found was published, wall-clock ns
    damaged: Ranges = Factory(Ranges)  # ordinals of records that could not be read
    #: Ordinals that were given out and whose records never came to be.
    holes: Ranges = Factory(Ranges)
    abandoned: list[str] = Factory(list)  # files that were begun, with nothing in them
    _reserved: int = field(default=0, init=False)  # the ordinal after the last one appended
    _position: int = field(default=0, init=False)  # where the next batch goes
    _unwritten: dict[int, Appended] = field(factory=dict, init=False)  # by first ordinal

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        *,
        retired: int = 1,
        synced: int = 1,
        segment_size: int = SEGMENT_SIZE,
    ) -> "TopicLog":
        """The log found in ``directory``.

        All before ``retired`` is finished business; all before ``synced`` was on the device at
        the last checkpoint, so that only what came later is looked through. Raises OSError.
        """
        log = cls(disk, directory, segment_size=segment_size)
        firsts = [n for name in disk.names(directory) if (n := first_of(name)) is not None]
        for first, following in zip(firsts, [*firsts[1:], 0], strict=False):
            path = os.path.join(directory, segment_name(first))
            segment = Segment(disk, path, first, following or first)
            segment.size = segment.tail = disk.size(path) or 0
            log.segments.append(segment)
        log.end = max(retired, synced)
        for segment in list(log.segments):
            if segment.next > synced or segment is log.segments[-1] or not segment.size:
                # whoever wrote it may have been killed before it was synced
                segment.unsynced = True
                if not log._look_through(segment):
                    segment.release()
                    log.segments.remove(segment)
                    log.abandoned.append(segment.path)
        log._position = log.segments[-1].tail if log.segments else 0
        log._reserved = log.end
        return log

    def _look_through(self, segment: Segment) -> bool:
        """Find out where ``segment`` ends, and what is missing in it; whether there is anything."""
        end, found = segment.size, False
        for position, batch in segment.batches(0):
            header, found = batch.header, True
            end = max(end, position + header.size)
            if header.first > self.end:
                self.holes.append(self.end, header.first)
            self._note_damaged(batch)
            self.newest = max(self.newest, header.wall)
            self.end = max(self.end, header.next)
        segment.next = self.end
        segment.tail = end
        return found

    def _note_damaged(self, batch: Batch) -> None:
        """Records that can't be read are no longer there to be counted."""
        if batch.damaged:
            for ordinal in range(batch.header.first, batch.header.next):
                if ordinal not in batch.records:
                    self.holes.add(ordinal, ordinal + 1)

    # ------------------------------------------------------------ appending

    def append(
        self, records: list[bytes], *, wall: int, due: int = 0, channel: int = 0, flags: int = 0
    ) -> Appended:
        """Give ``records`` their ordinals and a place. Raises OSError where there is no room."""
        first = self._reserved or self.end
        data = encode_batch(records, first=first, wall=wall, due=due, channel=channel, flags=flags)
        segment = self.segments[-1] if self.segments else None
        position = self._position
        full = position and position + len(data) > self.segment_size
        if segment is None or full or segment.failed:
            segment, position = self._begin(first), 0
        end = position + len(data)
        if end > segment.reserved:
            step = max(RESERVE_STEP, end - segment.reserved)
            self.disk.reserve(segment.descriptor, max(segment.reserved, position), step)
            segment.reserved = max(segment.reserved, position) + step
        if not self.segments or segment is not self.segments[-1]:
            self.segments.append(segment)
        self._reserved = first + len(records)
        self._position = end
        appended = Appended(segment.first, position, data, first, self._reserved)
        segment.next = appended.next
        self._unwritten[first] = appended
        return appended

    def _begin(self, first: int) -> Segment:
        """A new segment. Raises OSError."""
        segment = Segment(
            self.disk, os.path.join(self.directory, segment_name(first)), first, first
        )
        if segment.path in self.abandoned:
            self.disk.truncate(segment.descriptor, 0)
            self.abandoned.remove(segment.path)
        return segment

    def written(self, appended: Appended) -> None:
        """The journal has ``appended``: put it where it belongs, to be read from now on.

        Raises OSError; it is tried again by `write_rest` then.
        """
        self.end = max(self.end, appended.next)
        self.put(appended.segment, appended.position, appended.data)
        self._unwritten.pop(appended.first, None)

    def write_rest(self) -> None:
        """Put what a failing disk left out where it belongs. Raises OSError."""
        for appended in list(self._unwritten.values()):
            if appended.next <= self.end:
                self.written(appended)

    def forget(self, appended: Appended) -> None:
        """The journal refused ``appended``: its ordinals stay unused."""
        self._unwritten.pop(appended.first, None)
        self.holes.add(appended.first, appended.next)
        self.end = max(self.end, appended.next)

    def put(self, segment: int, position: int, data: bytes) -> None:
        """Write a batch where the journal says it is. Raises OSError."""
        self.segment_of(segment).write(data, position)

    def restore(self, segment: int, position: int, batch: Batch, data: bytes) -> None:
        """Write a batch from the journal where it is missing (recovery). Raises OSError."""
        header = batch.header
        if header.first > self.end:
            self.holes.append(self.end, header.first)
        self.holes.remove(header.first, header.next)
        self._note_damaged(batch)
        self.newest = max(self.newest, header.wall)
        known = [found for found in self.segments if found.first == segment]
        if not known:
            self.segments.append(self._begin(segment))
            self.segments.sort(key=lambda each: each.first)
            if self.segments[-1].first == segment:
                self._position = 0
        found = known[0] if known else self.segment_of(segment)
        found.write(data, position)
        found.next = max(found.next, header.next)
        self.end = self._reserved = max(self.end, header.next)
        if found is self.segments[-1]:
            self._position = max(self._position, found.size)

    @property
    def readable(self) -> int:
        """The ordinal up to which all is in the segments: what is missing before it is damage."""
        if not self._unwritten:
            return self.end
        return min(self.end, *(appended.first for appended in self._unwritten.values()))

    @property
    def first(self) -> int:
        """The ordinal of the first record that there is a file for."""
        return self.segments[0].first if self.segments else self.end

    @property
    def size(self) -> int:
        """How many bytes are in its files."""
        return sum(segment.size for segment in self.segments)

    def awaits(self, segment: Segment) -> bool:
        """Whether a batch is still to be written to ``segment``."""
        return any(each.segment == segment.first for each in self._unwritten.values())

    def begin_at(self, ordinal: int) -> None:
        """Give out no ordinal before ``ordinal``: a channel has passed them, though what they
        were given to was lost."""
        if ordinal > self.end:
            self.holes.add(self.end, ordinal)
            self.end = self._reserved = ordinal

    # ------------------------------------------------------------ reading

    def segment_of(self, ordinal: int) -> Segment:
        """The segment that has, or had, ``ordinal``. Raises LookupError if it is gone."""
        at = bisect_right(self.segments, ordinal, key=lambda segment: segment.first)
        if not at:
            raise LookupError(f"no segment has {ordinal}")
        return self.segments[at - 1]

    def read(self, cursor: Cursor) -> Iterator[tuple[Cursor, Batch]]:
        """The batches from ``cursor`` on, each with the cursor behind it.

        Batches that lie before the cursor are left out. Stops at the end of what is written.
        Raises OSError.
        """
        at = bisect_right(self.segments, cursor.ordinal, key=lambda segment: segment.first)
        end = self.readable
        for segment in self.segments[max(0, at - 1) :]:
            if cursor.segment == segment.first:
                position = cursor.position
            else:
                position = segment.indexed().position_of_ordinal(cursor.ordinal)
            for begins, batch in segment.batches(position):
                header = batch.header
                if header.first >= end:
                    return
                if header.next <= cursor.ordinal:
                    continue
                cursor = Cursor(header.next, segment.first, begins + header.size)
                yield cursor, batch

    def find(self, ids: list[int]) -> dict[int, tuple[int, bytes]]:
        """The ordinals and records of ``ids`` that are in the log as they were published.

        Those that were moved since are found by ordinal (`find_ordinals`). Raises OSError.
        """
        found: dict[int, tuple[int, bytes]] = {}
        wanted = sorted(set(ids))
        for number, segment in enumerate(self.segments):
            following = filter(None, (each.first_id for each in self.segments[number + 1 :]))
            end = next(following, None)
            mine = [id for id in wanted if end is None or id < end]
            self._find_in(segment, mine, found)
            wanted = [id for id in wanted if id not in found]
        return found

    def _find_in(
        self, segment: Segment, ids: list[int], found: dict[int, tuple[int, bytes]]
    ) -> None:
        if not ids:
            return
        index, remaining = segment.indexed(), set(ids)
        covered = -1
        for id in ids:
            if id not in remaining:
                continue
            position = max(index.position_of_id(id), covered)
            for begins, batch in segment.batches(position):
                covered = begins
                last = 0
                for ordinal, record in batch.records.items():
                    last = int(record[10:26], 16)
                    if last in remaining and not batch.header.channel:
                        found[last] = ordinal, record
                        remaining.discard(last)
                if id not in remaining or (last > id and not batch.header.channel):
                    break

    def find_ordinals(self, ordinals: list[int]) -> dict[int, bytes]:
        """The records with ``ordinals``. Raises OSError."""
        found: dict[int, bytes] = {}
        for ordinal in sorted(set(ordinals)):
            if ordinal in found:
                continue
            for _, batch in self.read(Cursor(ordinal)):
                found.update(
                    (each, record) for each, record in batch.records.items() if each in ordinals
                )
                break
        return found

    # ------------------------------------------------------------ segments come and go

    def segment_start(self, ordinal: int) -> int:
        """The first ordinal of the segment that ``ordinal`` is in, or would be in."""
        starts = [segment.first for segment in self.segments if segment.first <= ordinal]
        return starts[-1] if starts else ordinal

    def ordinal_before(self, id: int) -> int:
        """An ordinal not above that of ``id``: the first of its segment. Raises OSError."""
        start = self.segments[0].first if self.segments else self.end
        for segment in self.segments:
            if segment.first_id > id:
                break
            if segment.first_id:
                start = segment.first
        return start

    def unneeded(self, ordinal: int) -> list[Segment]:
        """The segments before the one with ``ordinal``; the last is always needed."""
        return [segment for segment in self.segments[:-1] if segment.next <= ordinal]

    def drop(self, segments: list[Segment]) -> list[str]:
        """Forget ``segments``; returns their files, which are to be removed."""
        for segment in segments:
            segment.release()
            self.segments.remove(segment)
        return [segment.path for segment in segments]

    def release(self) -> None:
        """Close every file; each is opened again when it is needed."""
        for segment in self.segments:
            segment.release()
