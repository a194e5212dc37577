"""The reading end of a disk queue: goes through its files, and removes them behind itself.

A file whose last record is taken is removed by `remove_read_files`, or by whoever calls
`pop_read_files`: not before what was taken is in its next place, or a crash would lose it.
A file with an impossible or unfinished record is renamed to ``.bad``, a missing one is
skipped; reading goes on with the next.
"""

from nsqcore.classes import define
from nsqd.storage.diskqueue.segment import BadSegment, SegmentReader
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.diskqueue.withdrawn import Withdrawn
from nsqd.storage.diskqueue.writer import Writer

# A call ends with the block that brings what it has taken to this: a thousand records may be some
# hundred KB or some GB.
TAKEN_AT_ONCE = 4 << 20

_UNKNOWN = 1 << 63  # longer than any file


@define(eq=False, init=False)
class Reader:
    """Where ``queue`` is read: at `position` of file ``number``.

    ``steps`` counts how often it went on to another file.
    """

    queue: str
    number: int
    steps: int
    withdrawn: Withdrawn
    _segment: SegmentReader
    _writer: Writer
    _store: DiskStore
    _read: list[int]  # files to remove
    _end: int  # of the file, once nothing is added to it
    _trouble: str

    def __init__(
        self, queue: str, number: int, position: int, writer: Writer, store: DiskStore
    ) -> None:
        self.queue, self.number, self.steps = queue, number, 0
        self.withdrawn = Withdrawn(queue, store)
        self._writer, self._store = writer, store
        path = store.files.path(queue, number)
        self._segment = SegmentReader(store.files.fs, store.max_record_size, path, position)
        self._read = []
        self._end = _UNKNOWN
        self._trouble = ""

    @property
    def position(self) -> int:
        """How far the file was read, in bytes."""
        return self._segment.position

    def has_more(self) -> bool:
        """Whether there is something to read."""
        return self.number < self._writer.number or self._segment.position < self._writer.position

    def take(self, limit: int) -> list[bytes]:
        """The next records, at most ``limit``; fewer if they are large, if there are no more, or
        if reading fails."""
        taken: list[bytes] = []
        size = 0
        segment = self._segment
        while len(taken) < limit and size < TAKEN_AT_ONCE and self.has_more():
            start = segment.position
            records = segment.decode(limit - len(taken))
            if records:
                size += segment.position - start
                if self.withdrawn.count:
                    records = self.withdrawn.left(records, self.number, start)
                taken = taken + records if taken else records
                if segment.position >= self._end and self.number < self._writer.number:
                    self._finish_file()
            elif not self._advance():
                break
        return taken

    def pass_over(self, count: int) -> None:
        """Go on behind the next ``count`` records, which were withdrawn."""
        segment = self._segment
        while count and self.has_more():
            start = segment.position
            records = segment.decode(count)
            if records:
                count -= len(records)
                self.withdrawn.left(records, self.number, start)
                if segment.position >= self._end and self.number < self._writer.number:
                    self._finish_file()
            elif not self._advance():
                break

    def pop_read_files(self) -> list[int]:
        """The numbers of the files that were read to their ends since the last call."""
        read, self._read = self._read, []
        return read

    def remove_read_files(self) -> None:
        """Remove the files that were read to their ends."""
        for number in self.pop_read_files():
            self._store.remove_files(self.queue, range(number, number + 1))

    def skip_to(self, number: int) -> None:
        """Go on with the start of file ``number``."""
        self.number, self._end = number, _UNKNOWN
        self._segment.go_to(self._store.files.path(self.queue, number))
        self.steps += 1

    def skip_read_file(self) -> None:
        """Go on with the next file if this one was read to its end, and there is another."""
        if self._end == _UNKNOWN and self.number < self._writer.number:
            self._end = self._store.files.size(self.queue, self.number) or 0
        if self.number < self._writer.number and self._segment.position >= self._end:
            self._finish_file()

    def release(self) -> None:
        """Give the buffer back until it is needed again."""
        self._segment.release()

    def _advance(self) -> bool:
        """Load a block, or step over what can't be read. False if it can be neither just now."""
        segment = self._segment
        path, last = segment.path, self.number == self._writer.number
        try:
            end = segment.load(self._writer.position if last else None)
        except FileNotFoundError:
            self._skip_missing(path)
            return True
        except BadSegment as error:
            self._leave_bad_file(path, str(error))
        except OSError as error:
            # Too many open files, or no permission: nothing is wrong with the file.
            self._warn_once(f"failed to read {path} - {error}")
            return False
        else:
            if not last:
                self._end = end
                if segment.position >= end:
                    self._finish_file()
        self._trouble = ""
        return True

    def _finish_file(self) -> None:
        self._read.append(self.number)
        self.skip_to(self.number + 1)

    def _leave_bad_file(self, path: str, problem: str) -> None:
        self._warn(f"reading at {self.position} of {path} - {problem}")
        if self.number == self._writer.number:
            self._writer.skip_to(self.number + 1)
        self._warn(f"jumping to the next file, keeping the bad one as {path}.bad")
        self._store.files.set_aside(self.queue, path)
        self.skip_to(self.number + 1)

    def _skip_missing(self, path: str) -> None:
        self._warn(f"{path} is missing, jumping to the next file")
        if self.number == self._writer.number:
            self._writer.skip_to(self.number + 1)
        later = (n for n in self._store.files.numbers(self.queue) if n > self.number)
        self.skip_to(min(next(later, self._writer.number), self._writer.number))

    def _warn_once(self, trouble: str) -> None:
        """Warn of what is met again and again, once."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._warn(trouble)

    def _warn(self, message: str) -> None:
        self._store.warn(f"DISKQUEUE({self.queue}): {message}")
