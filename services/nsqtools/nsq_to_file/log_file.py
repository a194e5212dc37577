"""One open file: records are appended to it whole, and are safe once it is synced.

A write that the disk refuses is taken back, so the file ends with the last whole record, or with
the last whole gzip member. A member is built in memory and written when it is complete: the file
can be read up to there whatever happens to this process later. Records are written, and compressed,
piece by piece: large ones are never copied.
"""

import contextlib
import errno
import fcntl
import os
import zlib
from collections.abc import Iterable, Sequence

from nsqcore.classes import define, field

# A record without its newline: a message's body.
Record = bytes | memoryview

# Of a compressed member, which is kept in memory until it is complete: a larger one ends with the
# record that made it so.
MEMBER_LIMIT = 1024 * 1024

# Small records are joined up to this, so that a system call or a call of zlib is worth it; large
# ones go in pieces of it.
PIECE = 256 * 1024

# Of a large record, how much is compressed for a try. What does not shrink by a twentieth (it is
# compressed or encrypted already) is stored: compressing it takes ten times as long, for nothing.
SAMPLE = 8 * 1024
SHRINKS = 0.95

# zlib's way of asking for the gzip format.
GZIP_BITS = 31


class FileRemovedError(Exception):
    """Somebody has removed the file: what was written to it is nowhere. The text is its path."""


@define(eq=False, repr=False)
class LogFile:
    """An open file; `create` and `append_to` make one.

    ``size`` is what rotation counts: bytes before compression. Every method raises OSError when the
    disk refuses.
    """

    path: str
    opened: float
    gzip_level: int  # 0 is plain
    size: int
    _descriptor: int
    _created: bool
    _counts_links: bool
    _torn: bool = False  # the file ends in the middle of a record that is not ours
    _has_records: bool = False
    _unsynced: bool = False
    _compressor: "zlib._Compress | None" = None
    _member: list[bytes] = field(factory=list)
    _member_size: int = 0
    _member_has_records: bool = False
    _member_level: int = 0

    @classmethod
    def create(cls, path: str, opened: float, gzip_level: int) -> "LogFile":
        """A new file; raises FileExistsError if there is one."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = os.open(path, flags, 0o666)
        file = cls._open(path, opened, gzip_level, descriptor, created=True)
        if gzip_level:  # without a member it would be no gzip file
            file._member_level = gzip_level
            file._compressor = zlib.compressobj(gzip_level, zlib.DEFLATED, GZIP_BITS)
            file._unsynced = True
        return file

    @classmethod
    def append_to(cls, path: str, opened: float, gzip_level: int) -> "LogFile":
        """A file that may be there already."""
        flags = os.O_APPEND | os.O_CREAT
        try:
            descriptor = os.open(path, os.O_RDWR | flags, 0o666)
        except PermissionError:  # perhaps it may not be read
            descriptor = os.open(path, os.O_WRONLY | flags, 0o666)
        return cls._open(path, opened, gzip_level, descriptor, created=False)

    @classmethod
    def _open(
        cls, path: str, opened: float, gzip_level: int, descriptor: int, *, created: bool
    ) -> "LogFile":
        # Tells other processes that the file is in use (`leftovers`).
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        # Not every file system counts links.
        file = cls(
            path, opened, gzip_level, status.st_size, descriptor, created, status.st_nlink > 0
        )
        file._torn = not created and _is_torn(descriptor, status.st_size)
        return file

    def append(self, records: Sequence[Record]) -> None:
        """Write each of ``records`` and a newline, all or none."""
        if not records:
            return
        self._unsynced = True
        self.size += sum(map(len, records)) + len(records)
        if not self.gzip_level:
            # A process that was killed may have left half a record: it shall not swallow ours.
            self._write(_pieces([b"\n"] if self._torn else [], records))
            self._torn, self._has_records = False, True
            return
        for group in _groups(records):
            level = self.gzip_level if _shrinks(group) else 0
            if level != self._member_level:
                if self._member_has_records:
                    self._end_member()
                self._compressor, self._member_level = None, level
            self._member_has_records = True
            self._compress(_pieces([], group))
            if self._member_size > MEMBER_LIMIT:
                self._end_member()

    def sync(self) -> None:
        """Bring everything written to disk.

        Raises:
            FileRemovedError: the file has no name any more.
        """
        if self._unsynced:
            self._end_member()
            os.fsync(self._descriptor)
        if self._counts_links and not os.fstat(self._descriptor).st_nlink:
            raise FileRemovedError(self.path)
        self._unsynced = False

    def close(self) -> None:
        """Let go of it; what was not synced may be lost."""
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Let go of it after an error, and remove it if it was made for nothing."""
        os.close(self._descriptor)
        if self._created and not self._has_records:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def _compress(self, pieces: Iterable[Record]) -> None:
        if self._compressor is None:
            self._compressor = zlib.compressobj(self._member_level, zlib.DEFLATED, GZIP_BITS)
        for piece in pieces:
            if data := self._compressor.compress(piece):
                self._member.append(data)
                self._member_size += len(data)

    def _end_member(self) -> None:
        if self._compressor is None:
            return
        self._member.append(self._compressor.flush())
        member, self._member = self._member, []
        self._compressor, self._member_size = None, 0
        self._write(member)
        self._has_records |= self._member_has_records

    def _write(self, pieces: Iterable[Record]) -> None:
        """Write all of ``pieces``, or nothing."""
        done = 0
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    written = os.write(self._descriptor, rest)
                    done += written
                    rest = rest[written:]
        except OSError as error:
            if done:
                _take_back(self._descriptor, done)
            error.filename = self.path
            raise


def _shrinks(group: Sequence[Record]) -> bool:
    """Whether compressing is of use: no, if a large record that does not shrink is most of it."""
    largest = max(group, key=len)
    if len(largest) <= PIECE or 2 * len(largest) < sum(map(len, group)):
        return True
    view = memoryview(largest)
    quarter = len(view) // 4
    samples = b"".join(
        view[start : start + SAMPLE] for start in (quarter, 2 * quarter, 3 * quarter)
    )
    return len(zlib.compress(samples, 1)) < SHRINKS * len(samples)


def _groups(records: Sequence[Record]) -> Iterable[Sequence[Record]]:
    """The records in groups, each about as large as a member may be."""
    start = size = 0
    for position, record in enumerate(records):
        size += len(record)
        if size > MEMBER_LIMIT:
            yield records[start : position + 1]
            start, size = position + 1, 0
    if start < len(records):
        yield records[start:]


def _pieces(first: list[Record], records: Iterable[Record]) -> Iterable[Record]:
    """``first``, then the records, each with its newline: small ones joined, large ones cut."""
    parts: list[Record] = first
    size = 0
    for record in records:
        if len(record) > PIECE:
            if parts:
                yield b"".join(parts)
            view = memoryview(record)
            for start in range(0, len(view), PIECE):
                yield view[start : start + PIECE]
            parts, size = [b"\n"], 1
            continue
        parts += (record, b"\n")
        size += len(record) + 1
        if size > PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _is_torn(descriptor: int, size: int) -> bool:
    """Whether a file's last byte is not the end of a line."""
    if not size:
        return False
    try:
        return os.pread(descriptor, 1, size - 1) != b"\n"
    except OSError:  # not a regular file, or not readable
        return False


def _take_back(descriptor: int, count: int) -> None:
    """Remove the last ``count`` bytes, unless somebody else appended to the file since."""
    try:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if os.fstat(descriptor).st_size == end:
            os.ftruncate(descriptor, end - count)
    except OSError as error:
        if error.errno not in (errno.ESPIPE, errno.EINVAL):
            raise
