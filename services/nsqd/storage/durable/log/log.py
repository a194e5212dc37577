"""A topic's messages: one log, in segments, for any number of channels.

`append` reserves ordinals and a place and encodes a batch; the journal takes the very bytes;
`written` puts them into their segment once the journal has them. Nothing is synced here: a
checkpoint does that, and a segment that every channel is done with by then is unlinked without.

Room on the disk is reserved ahead, so that a full disk meets the publisher, before
anything is journaled.
"""

import errno
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from sys import maxsize
from typing import NamedTuple

from nsqcore.classes import Factory, define, field
from nsqd.engine.messages.queue import time_of
from nsqd.storage.durable.format.batches import FLAG_PARKED, Batch, BatchHeader, encode_batch
from nsqd.storage.durable.format.ranges import Ranges
from nsqd.storage.durable.log.homes import Homes
from nsqd.storage.durable.log.segments import Segment, first_of, segment_name
from nsqd.storage.files.durable_disk import Disk

SEGMENT_SIZE = 64 << 20
# Room is reserved in steps of so many bytes, so that it costs nothing per message.
RESERVE_STEP = 1 << 20
# What the journal has is written to a segment in pieces of about so many bytes.
WRITE_SIZE = 128 << 10
# What a start finds in the journal, in larger ones.
RESTORE_SIZE = 1 << 20


class Cursor(NamedTuple):
    """A place in the log: the next record to read is ``ordinal``.

    ``segment`` and ``position`` say where its batch begins; a segment of 0 says that it has to be
    looked for.
    """

    ordinal: int = 1
    segment: int = 0
    position: int = 0


@define(eq=False, repr=False)
class Appended:
    """A batch that has a place in the log and is not there yet."""

    segment: int
    position: int
    data: bytes
    first: int
    next: int


@define(eq=False, repr=False)
class _Run:
    """Batches that lie one behind the other in a segment, and are written together."""

    segment: int
    position: int
    parts: list[bytes]
    size: int
    next: int

    @property
    def end(self) -> int:
        """Where the next one would lie."""
        return self.position + self.size


@define(eq=False, repr=False)
class TopicLog:
    """The log in ``directory``. ``end`` is the ordinal of the first record not written yet."""

    disk: Disk
    directory: str
    segment_size: int = SEGMENT_SIZE
    segments: list[Segment] = Factory(list)  # in order; the last one grows
    end: int = 1
    newest: int = 0  # no message is newer, nor is an id; wall-clock ns
    damaged: Ranges = Factory(Ranges)  # ordinals of records that could not be read
    #: Ordinals that no channel will read: of records that never came to be, or for one channel.
    holes: Ranges = Factory(Ranges)
    abandoned: list[str] = Factory(list)  # files that were begun, with nothing in them
    #: Those of the segments with batches of `FLAG_PARKED`, and no others: ids do not rise there.
    parked: set[int] = Factory(set)
    homes: Homes = Factory(Homes)
    _reserved: int = field(default=0, init=False)  # the ordinal after the last one appended
    _position: int = field(default=0, init=False)  # where the next batch goes
    _unwritten: dict[int, Appended] = field(factory=dict, init=False)  # by first ordinal
    _waiting: int = field(default=0, init=False)  # of these, bytes that the journal has
    _restored: _Run | None = field(default=None, init=False)

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        *,
        retired: int = 1,
        synced: int = 1,
        parked: Iterable[int] = (),
        segment_size: int = SEGMENT_SIZE,
    ) -> "TopicLog":
        """The log found in ``directory``.

        All before ``retired`` is finished business; all before ``synced`` was on the device at
        the last checkpoint, so that only what came later is looked through. Raises OSError.
        """
        log = cls(disk, directory, segment_size=segment_size, parked=set(parked))
        firsts = [n for name in disk.names(directory) if (n := first_of(name)) is not None]
        following = 0
        for first in reversed(firsts):
            path = os.path.join(directory, segment_name(first))
            segment = Segment(disk, path, first, following or first)
            segment.size = segment.tail = disk.size(path) or 0
            # whoever wrote it may have been killed before it was synced
            segment.unsynced = not following or following > synced or not segment.size
            if segment.unsynced and next(segment.headers(0), None) is None:
                segment.release()
                log.abandoned.append(path)
                continue
            log.segments.insert(0, segment)
            following = first
        log.end = max(retired, synced)
        for segment in filter(lambda each: each.unsynced, log.segments):
            log._look_through(segment)
        log._position = log.segments[-1].tail if log.segments else 0
        log._reserved = log.end
        return log

    def _look_through(self, segment: Segment) -> None:
        """Find out where ``segment`` ends, and what is missing in it."""
        end = segment.size
        for position, header, batch in segment.headers(0):
            if header.flags & FLAG_PARKED:
                self.parked.add(segment.first)
            end = max(end, position + header.size)
            if header.first > self.end:
                self.holes.append(self.end, header.first)
            self._note_unread(header, batch)
            self.newest = max(self.newest, header.wall)
            self.end = max(self.end, header.next)
        segment.next = self.end
        segment.tail = end

    def _note_unread(self, header: BatchHeader, batch: Batch | None) -> None:
        """Records that can't be read are no longer there to be counted, nor are those for one
        channel, which has got them. ``batch`` is None where none is damaged."""
        if header.channel:
            self.holes.add(header.first, header.next)
        if batch is not None and batch.damaged:
            for ordinal in range(header.first, header.next):
                if ordinal not in batch.records:
                    self.holes.add(ordinal, ordinal + 1)
                    self.damaged.add(ordinal, ordinal + 1)

    # ------------------------------------------------------------ appending

    def append(
        self,
        records: list[bytes],
        *,
        wall: int,
        due: int = 0,
        channel: int = 0,
        flags: int = 0,
        largest: int = maxsize,
    ) -> Appended:
        """Give ``records`` their ordinals and a place.

        Raises OSError where there is no room, or their batch has more than ``largest`` bytes.
        """
        first = self._reserved or self.end
        # ids may be ahead of the clock, and what a start gives out has to be ahead of them
        self.newest = wall = max(self.newest, wall, time_of(records[-1][10:26]))
        data = encode_batch(records, first=first, wall=wall, due=due, channel=channel, flags=flags)
        if len(data) > largest:
            raise OSError(errno.EFBIG, f"{len(data)} bytes are more than the journal takes at once")
        segment = self.segments[-1] if self.segments else None
        position = self._position
        full = position and position + len(data) > self.segment_size
        apart = bool(flags & FLAG_PARKED)
        if segment is None or full or segment.failed or (segment.first in self.parked) != apart:
            segment, position = self._begin(first), 0
        end = position + len(data)
        if end > segment.reserved:
            step = max(RESERVE_STEP, end - segment.reserved)
            self.disk.reserve(segment.descriptor, max(segment.reserved, position), step)
            segment.reserved = max(segment.reserved, position) + step
        if not self.segments or segment is not self.segments[-1]:
            self.segments.append(segment)
            segment.begins_with(records[0])
            if apart:
                self.parked.add(first)
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
        """The journal has ``appended``: it can be read from now on.

        It is put where it belongs once there is more of it, or somebody wants to read it: what is
        written in few pieces costs less, and the journal has it. Raises OSError; it is tried again
        by `write_rest` then.
        """
        self.end = max(self.end, appended.next)
        self._waiting += len(appended.data)
        if self._waiting >= min(WRITE_SIZE, self.segment_size // 4):
            self.write_rest()

    def kept_by_journal(self, appended: Appended) -> None:
        """As `written`; where the disk refuses, the next checkpoint puts it here, or a start."""
        with suppress(OSError):
            self.written(appended)

    def write_rest(self) -> None:
        """Put where it belongs what is not there yet. Raises OSError."""
        self._waiting = 0
        left = list(self._unwritten.values())
        while left and left[0].next <= self.end:
            first, run = left[0], list[Appended]()
            position = first.position
            while left and left[0].next <= self.end and left[0].segment == first.segment:
                if left[0].position != position:  # there is something refused in between
                    break
                run.append(left.pop(0))
                position += len(run[-1].data)
            data = b"".join([each.data for each in run])
            self.segment_of(first.segment).write(data, first.position)
            for each in run:
                del self._unwritten[each.first]

    def forget(self, appended: Appended) -> None:
        """The journal refused ``appended``: its ordinals stay unused."""
        self._unwritten.pop(appended.first, None)
        self.holes.add(appended.first, appended.next)
        self.end = max(self.end, appended.next)

    def restore(
        self,
        segment: int,
        position: int,
        header: BatchHeader,
        data: bytes,
        batch: Batch | None = None,
    ) -> None:
        """Write a batch from the journal where it is missing (recovery), by `write_restored` at the
        latest. ``batch`` is what can be read of it; None: all. Raises OSError."""
        if header.first > self.end:
            self.holes.append(self.end, header.first)
        self.holes.remove(header.first, header.next)
        self.damaged.remove(header.first, header.next)
        self._note_unread(header, batch)
        self.newest = max(self.newest, header.wall)
        self.end = self._reserved = max(self.end, header.next)
        if header.flags & FLAG_PARKED:
            self.parked.add(segment)
        run = self._restored
        if run and (run.segment, run.end) == (segment, position) and run.size < RESTORE_SIZE:
            run.parts.append(data)
            run.size += len(data)
            run.next = max(run.next, header.next)
            return
        self.write_restored()
        self._restored = _Run(segment, position, [data], len(data), header.next)

    def write_restored(self) -> None:
        """Write what is left of what was restored. Raises OSError."""
        run, self._restored = self._restored, None
        if run is None:
            return
        segment = run.segment
        known = [found for found in self.segments if found.first == segment]
        if not known:
            self.segments.append(self._begin(segment))
            self.segments.sort(key=lambda each: each.first)
            if self.segments[-1].first == segment:
                self._position = 0
        found = known[0] if known else self.segment_of(segment)
        found.write(b"".join(run.parts), run.position)
        found.next = max(found.next, run.next)
        if found is self.segments[-1]:
            self._position = max(self._position, found.size)

    @property
    def readable(self) -> int:
        """The ordinal up to which all is in the segments: what is missing before it is damage."""
        if not self._unwritten:
            return self.end
        return min(self.end, next(iter(self._unwritten)))

    @property
    def first(self) -> int:
        """The ordinal of the first record that there is a file for."""
        return self.segments[0].first if self.segments else self.end

    @property
    def size(self) -> int:
        """How many bytes are in its files, or on the way there."""
        return sum(segment.size for segment in self.segments) + self._waiting

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

    def write_to_read(self) -> None:
        """Put where it is looked for what can be."""
        with suppress(OSError):  # what could not be written is not `readable`
            self.write_rest()

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
        self.write_to_read()
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

    # ------------------------------------------------------------ segments come and go

    def segment_start(self, ordinal: int) -> int:
        """The first ordinal of the segment that ``ordinal`` is in, or would be in."""
        return max([each.first for each in self.segments if each.first <= ordinal], default=ordinal)

    def unneeded(self, passed: int, kept: Mapping[int, int]) -> list[Segment]:
        """The segments that all channels have ``passed`` and that have none of the messages in
        hand, of which there are so many where as ``kept`` says (`Homes.count`)."""
        found: list[Segment] = []
        before = kept.get(0, 0)
        for segment in self.segments[:-1]:
            count = kept.get(segment.first, 0)
            if segment.first not in self.parked:
                # where the first id can't be read, what lies here is counted with what lies before
                count = before = count if self.homes.knows(self, segment) else before
            if segment.next <= passed and not count and not self.awaits(segment):
                found.append(segment)
        return found

    def drop(self, segments: list[Segment]) -> list[str]:
        """Forget ``segments``; returns their files, which are to be removed."""
        for segment in segments:
            segment.release()
            self.segments.remove(segment)
            self.parked.discard(segment.first)
        return [segment.path for segment in segments]

    def release(self) -> None:
        """Close every file; each is opened again when it is needed."""
        for segment in self.segments:
            segment.release()
