"""The files of one topic: records in, rotated and finished files out.

`Output` blocks, so it is called in a thread, one call at a time. It decides when a new file begins
(another name, too old, too big), which number it gets, and moves finished files from the work
directory to the output directory. What is written is safe only after `sync`: a call that starts a
new file has synced the one before.

Records reach a file whole: a write that the disk refuses is taken back, so the file ends with the
last whole record, or with the last whole member if it is compressed. A compressed member is built
in memory and written when it is complete: each `sync` ends one, and a file may be read up to there
whatever happens to this process later.
"""

import errno
import logging
import os
import time
import zlib
from collections.abc import Callable, Sequence

import attrs

from nsqtools.nsq_to_file import file_names
from nsqtools.nsq_to_file.moving import move_exclusively, sync_directory

logger = logging.getLogger(__name__)

# Of a compressed member, which is kept in memory until it is complete: a larger one ends early.
MEMBER_LIMIT = 16 * 1024 * 1024

# zlib's way of asking for the gzip format.
_GZIP_BITS = 31


@attrs.frozen(kw_only=True)
class OutputSettings:
    """How files are named, rotated and compressed. Seconds and bytes; 0 is no limit."""

    template: str  # as `file_names.template` makes it
    datetime_format: str
    output_dir: str
    work_dir: str
    gzip_level: int  # 0 is plain
    rotate_size: int
    rotate_interval: float
    skip_empty_files: bool

    @property
    def moves(self) -> bool:
        """Whether files are finished in another directory than they are written in."""
        return self.work_dir != self.output_dir

    @property
    def exclusive(self) -> bool:
        """Whether every file is a new one."""
        return bool(self.gzip_level) or self.rotate_interval > 0


@attrs.define(eq=False)
class _File:
    """An open file. ``size`` is what rotation counts: bytes before compression."""

    path: str
    descriptor: int
    opened: float
    size: int
    created: bool
    written: bool = False  # since the last sync
    torn: bool = False  # the file ends in the middle of a record that is not ours
    compressor: "zlib._Compress | None" = None
    member: list[bytes] = attrs.field(factory=list)
    member_size: int = 0


@attrs.define(eq=False)
class Output:
    """Writes the records of one topic. ``now`` and ``clock`` are local time and a clock."""

    settings: OutputSettings
    name: str  # for the log
    now: Callable[[], time.struct_time] = time.localtime
    clock: Callable[[], float] = time.monotonic
    _file: _File | None = None
    _filename: str = ""  # with <REV>
    _rev: int = 0

    def write(self, records: Sequence[bytes]) -> bool:
        """Write each of ``records`` and a newline; returns whether a new file was begun.

        If so, all records that were written by earlier calls are safe.
        """
        filename = self._current_name()
        rotated = False
        pending: list[bytes] = []
        for record in records:
            if self._needs_rotation(filename):
                self._append(pending)
                pending = []
                self._next_file(filename)
                rotated = True
            assert self._file is not None
            pending += (record, b"\n")
            self._file.size += len(record) + 1
        self._append(pending)
        return rotated

    def tick(self) -> None:
        """Rotate if it is time, though there is nothing to write; call it now and then."""
        filename = self._current_name()
        if self._needs_rotation(filename):
            if self.settings.skip_empty_files:
                self.close()
            else:
                self._next_file(filename)

    def sync(self) -> None:
        """Bring everything written to disk."""
        file = self._file
        if file is None or not file.written:
            return
        self._end_member(file)
        os.fsync(file.descriptor)
        file.written = False

    def close(self) -> None:
        """Finish the present file, if there is one, and move it where it belongs."""
        file = self._file
        if file is None:
            return
        self.sync()
        os.close(file.descriptor)
        self._file = None
        if self.settings.moves:
            self._move(file.path)

    def abandon(self) -> None:
        """Let go of the present file after an error: no part of a record stays in it."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            empty = file.created and os.fstat(file.descriptor).st_size == 0
        finally:
            os.close(file.descriptor)
        if empty:
            os.unlink(file.path)

    def _current_name(self) -> str:
        settings = self.settings
        return file_names.at(settings.template, settings.datetime_format, self.now())

    def _needs_rotation(self, filename: str) -> bool:
        settings, file = self.settings, self._file
        if file is None:
            return True
        reason = ""
        if filename != self._filename:
            reason = f"new filename {filename}"
        elif 0 < settings.rotate_interval < self.clock() - file.opened:
            reason = f"{self.clock() - file.opened:.1f} s since last open"
        elif 0 < settings.rotate_size < file.size:
            reason = f"{file.size} bytes (> {settings.rotate_size})"
        if reason:
            logger.info("output(%s): rotating %s: %s", self.name, file.path, reason)
        return bool(reason)

    def _next_file(self, filename: str) -> None:
        self.close()
        self._rev = self._rev + 1 if filename == self._filename else 0
        self._filename = filename
        while not self._open(file_names.revision(filename, self._rev)):
            self._rev += 1

    def _open(self, name: str) -> bool:
        """Open the file ``name``; False if another number has to be tried."""
        settings = self.settings
        path = os.path.join(settings.work_dir, name)
        _make_folder(path)
        if settings.moves:
            target = os.path.join(settings.output_dir, name)
            _make_folder(target)
            if os.path.lexists(target):
                logger.warning("output(%s): %s already exists", self.name, target)
                return False
        created = True
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
            descriptor = os.open(path, flags, 0o666)
        except FileExistsError:
            if settings.exclusive:
                logger.warning("output(%s): %s already exists", self.name, path)
                return False
            created = False
            descriptor = _open_existing(path)
        size = os.fstat(descriptor).st_size
        if 0 < settings.rotate_size < size:
            os.close(descriptor)
            return False
        logger.info("output(%s): opening %s", self.name, path)
        file = _File(path, descriptor, self.clock(), size, created)
        if created:
            sync_directory(path)
        else:
            file.torn = _is_torn(descriptor, size)
        self._file = file
        return True

    def _append(self, parts: list[bytes]) -> None:
        file = self._file
        if not parts or file is None:
            return
        file.written = True
        data = b"".join(parts)
        if not self.settings.gzip_level:
            # A process that was killed may have left half a record: it shall not swallow ours.
            self._write(file, b"\n" + data if file.torn else data)
            file.torn = False
            return
        if file.compressor is None:
            level = self.settings.gzip_level
            file.compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP_BITS)
        self._keep(file, file.compressor.compress(data))
        if file.member_size > MEMBER_LIMIT:
            self._end_member(file)

    def _keep(self, file: _File, data: bytes) -> None:
        if data:
            file.member.append(data)
            file.member_size += len(data)

    def _end_member(self, file: _File) -> None:
        if file.compressor is None:
            return
        self._keep(file, file.compressor.flush())
        data = b"".join(file.member)
        file.compressor, file.member, file.member_size = None, [], 0
        self._write(file, data)

    def _write(self, file: _File, data: bytes) -> None:
        """Write all of ``data``, or nothing."""
        rest = memoryview(data)
        done = 0
        try:
            while rest:
                written = os.write(file.descriptor, rest)
                done += written
                rest = rest[written:]
        except OSError as error:
            if done:
                _take_back(file.descriptor, done)
            error.filename = file.path
            raise

    def _move(self, path: str) -> None:
        settings = self.settings
        name = os.path.relpath(path, settings.work_dir)
        target = os.path.join(settings.output_dir, name)
        number = self._rev
        while True:
            try:
                move_exclusively(path, target)
            except FileExistsError:
                logger.warning("output(%s): %s already exists", self.name, target)
                number += 1
                name = file_names.revision(self._filename, number)
                target = os.path.join(settings.output_dir, name)
            else:
                break
        logger.info("output(%s): moved finished file %s to %s", self.name, path, target)


def _make_folder(path: str) -> None:
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, 0o770, exist_ok=True)


def _open_existing(path: str) -> int:
    """A descriptor to append by; readable if that is allowed."""
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)


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
