"""The files of one topic: records in, rotated and finished files out.

`Output` blocks, so it is called in a thread, one call at a time. It decides when a new file begins
(another name, too old, too big), which number it gets, and moves finished files from the work
directory to the output directory. What is written is safe only after `sync`: a call that starts a
new file has synced the one before.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence

from nsqcore.classes import define, frozen
from nsqtools.nsq_to_file import file_names
from nsqtools.nsq_to_file.leftovers import find_leftovers, take_over
from nsqtools.nsq_to_file.log_file import LogFile, Record
from nsqtools.nsq_to_file.moving import make_folder_of, move_exclusively, sync_directory

logger = logging.getLogger(__name__)

# By this part of the interval a file may be too young when it is rotated: looks come at intervals,
# and files are opened a moment after one.
EARLY = 0.05


@frozen(kw_only=True)
class OutputSettings:
    """How files are named, rotated and compressed. Seconds and bytes; 0 is no limit."""

    template: str  # as `file_names.template` makes it
    leftover_template: str = ""  # the same with <PID> in it
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


@define(eq=False, repr=False)
class Output:
    """Writes the records of one topic. ``now`` and ``clock`` are local time and a clock.

    Every method but `abandon` and `forget` raises OSError for what the disk refuses, and
    `FileRemovedError` if somebody removed the file: records since the last sync are lost then.
    """

    settings: OutputSettings
    name: str  # for the log
    now: Callable[[], time.struct_time] = time.localtime
    clock: Callable[[], float] = time.monotonic
    _file: LogFile | None = None
    _filename: str = ""  # with <REV>
    _rev: int = 0

    def finish_leftovers(self) -> None:
        """Move what earlier runs left in the work directory, but for the file that goes on."""
        settings = self.settings
        if not settings.moves or not settings.leftover_template:
            return
        pattern = file_names.pattern(settings.leftover_template, settings.datetime_format)
        mine = self._continued()
        for left in find_leftovers(settings.work_dir, pattern):
            path = os.path.join(settings.work_dir, left.name)
            if path == mine:
                continue
            try:
                with take_over(path, compressed=bool(settings.gzip_level)) as taken:
                    if taken:
                        self._move(path, left.template, left.number)
            except OSError as error:
                logger.warning("output(%s): %s stays where it is: %s", self.name, path, error)

    def write(self, records: Sequence[Record]) -> bool:
        """Write each of ``records`` and a newline; returns whether a new file was begun.

        If so, all records that were written by earlier calls are safe.
        """
        filename = self._current_name()
        rotated = False
        pending: list[Record] = []
        size = 0
        for record in records:
            if self._needs_rotation(filename, size):
                self._append(pending)
                self._next_file(filename)
                pending, size = [], 0
                rotated = True
            pending.append(record)
            size += len(record) + 1
        self._append(pending)
        return rotated

    def tick(self) -> None:
        """Rotate if it is time, though there is nothing to write; call it now and then."""
        filename = self._current_name()
        if self._needs_rotation(filename, early=EARLY):
            if self.settings.skip_empty_files:
                self.close()
            else:
                self._next_file(filename)

    def sync(self) -> None:
        """Bring everything written to disk."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Finish the present file, if there is one, and move it where it belongs."""
        file = self._file
        if file is None:
            return
        file.sync()
        if self.settings.moves:
            self._move(file.path, self._filename, self._rev)
        self._file = None
        file.close()

    def forget(self) -> None:
        """Let go of a file that was removed: the next record begins another."""
        if self._file is not None:
            self._file.close()
        self._file, self._filename = None, ""

    def abandon(self) -> None:
        """Let go of the present file after an error: no part of a record stays in it."""
        file, self._file = self._file, None
        if file is not None:
            file.abandon()

    def _append(self, records: Sequence[Record]) -> None:
        if self._file is not None:
            self._file.append(records)

    def _current_name(self) -> str:
        settings = self.settings
        return file_names.at(settings.template, settings.datetime_format, self.now())

    def _needs_rotation(self, filename: str, more: int = 0, early: float = 0.0) -> bool:
        """Whether the next record begins a file; ``more`` bytes are to be appended before."""
        settings, file = self.settings, self._file
        if file is None:
            return True
        reason = ""
        age = self.clock() - file.opened
        if filename != self._filename:
            reason = f"new filename {filename}"
        elif 0 < settings.rotate_interval < age * (1 + early):
            reason = f"{age:.1f} s since last open"
        elif 0 < settings.rotate_size < file.size + more:
            reason = f"{file.size + more} bytes (> {settings.rotate_size})"
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
        make_folder_of(path)
        if settings.moves:
            target = os.path.join(settings.output_dir, name)
            make_folder_of(target)
            if os.path.lexists(target):
                logger.warning("output(%s): %s already exists", self.name, target)
                return False
        try:
            file = LogFile.create(path, self.clock(), settings.gzip_level)
        except FileExistsError:
            if settings.exclusive:
                logger.warning("output(%s): %s already exists", self.name, path)
                return False
            file = LogFile.append_to(path, self.clock(), settings.gzip_level)
            if 0 < settings.rotate_size < file.size:
                file.close()
                return False
        else:
            sync_directory(path)
        logger.info("output(%s): opening %s", self.name, path)
        self._file = file
        return True

    def _continued(self) -> str:
        """The file in the work directory that would be gone on with; empty for none."""
        settings = self.settings
        if settings.exclusive:
            return ""
        filename = self._current_name()
        number = 0
        while True:
            name = file_names.revision(filename, number)
            path = os.path.join(settings.work_dir, name)
            too_big = 0 < settings.rotate_size < _size(path)
            if not too_big and not os.path.lexists(os.path.join(settings.output_dir, name)):
                return path
            number += 1

    def _move(self, path: str, filename: str, number: int) -> None:
        """Move a finished file; ``filename`` is its name below the directories, with <REV>."""
        settings = self.settings
        target = os.path.join(settings.output_dir, os.path.relpath(path, settings.work_dir))
        make_folder_of(target)
        while True:
            try:
                move_exclusively(path, target)
            except FileExistsError:
                logger.warning("output(%s): %s already exists", self.name, target)
                number += 1
                target = os.path.join(settings.output_dir, file_names.revision(filename, number))
            except FileNotFoundError:
                if os.path.lexists(path):
                    raise
                logger.warning("output(%s): %s was moved by somebody else", self.name, path)
                return
            else:
                logger.info("output(%s): moved finished file %s to %s", self.name, path, target)
                return


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
