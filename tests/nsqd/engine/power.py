"""A disk that loses power: what may be left of a directory, whatever was not synced.

`FragileDisk` is a file system that sees every change of a directory and knows what is sure to be
there: the content of a file since its last fsync, and which names there are since the directory's.
Of what came later each file may have any beginning, and each name any of the files it had since.
File systems that keep the order of changes promise more.
"""

import errno
import os
import random
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

from attrs import Factory, define

from nsqd.storage.files.filesystem import SYSTEM, FileSystem


@define(eq=False)
class File:
    """What the file has for sure, and what it has while there is power."""

    synced: bytes = b""
    now: bytes = b""
    dropped: bool = (
        False  # a sync failed: what was written will never be there, though syncs succeed
    )

    def change(self, position: int, data: bytes) -> None:
        self.now = self.now[:position] + data + self.now[position + len(data) :]

    def left(self, fate: str, chance: random.Random) -> bytes:
        if fate == "nothing":
            return self.synced
        if fate == "all":
            return self.now
        same = (a == b for a, b in zip(self.synced, self.now, strict=False))
        certain = sum(takewhile(bool, same))
        return self.now[: chance.randint(certain, len(self.now))]


@define(eq=False, slots=False)
class FragileDisk(FileSystem):
    """The files of ``directory``. ``moment`` is called before anything changes there."""

    directory: Path
    moment: Callable[[], None] = lambda: None
    refuses: Callable[[], bool] = lambda: False  # whether the next sync of a file fails
    _names: dict[str, list[File | None]] = Factory(dict)  # what they were since the last sync
    _opened: dict[int, File | None] = Factory(dict)  # by descriptor; None is the directory

    def leave(self, directory: Path, chance: random.Random) -> None:
        """Make ``directory`` what a loss of power may leave at this moment."""
        directory.mkdir()
        fate = chance.choice(["nothing", "all", "any", "any"])
        for name, files in self._names.items():
            index = {"nothing": 0, "all": -1, "any": chance.randrange(len(files))}[fate]
            file = files[index]
            if file is not None:
                (directory / name).write_bytes(file.left(fate, chance))

    def _name(self, path: object) -> str | None:
        head, tail = os.path.split(str(path))
        return tail if head == str(self.directory) else None

    def _now(self, name: str) -> File | None:
        return self._names.get(name, [None])[-1]

    def _becomes(self, name: str, file: File | None) -> None:
        self._names.setdefault(name, [None]).append(file)

    # ---------------------------------------------------------------- the calls

    def open(self, path: str, flags: int, *rest: Any, **options: Any) -> int:
        name = self._name(path)
        if name is not None and flags & os.O_CREAT and self._now(name) is None:
            self.moment()
            self._becomes(name, File())
        descriptor: int = SYSTEM.open(path, flags, *rest, **options)
        if name is not None:
            self._opened[descriptor] = file = self._now(name)
            if file is not None and flags & os.O_TRUNC:
                file.now = b""
        elif str(path) == str(self.directory):
            self._opened[descriptor] = None
        return descriptor

    def close(self, descriptor: int) -> None:
        self._opened.pop(descriptor, None)
        SYSTEM.close(descriptor)

    def write(self, descriptor: int, data: bytes) -> int:
        if (file := self._opened.get(descriptor)) is not None:
            self.moment()
            file.change(len(file.now), bytes(data))
        written: int = SYSTEM.write(descriptor, data)
        return written

    def pwrite(self, descriptor: int, data: bytes, position: int) -> int:
        if (file := self._opened.get(descriptor)) is not None:
            self.moment()
            file.change(position, bytes(data))
        written: int = SYSTEM.pwrite(descriptor, data, position)
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        if (file := self._opened.get(descriptor)) is not None:
            file.now = file.now[:size]
        SYSTEM.ftruncate(descriptor, size)

    def truncate(self, path: str, size: int) -> None:
        name = self._name(path)
        if name is not None and (file := self._now(name)) is not None:
            file.now = file.now[:size]
        SYSTEM.truncate(path, size)

    def replace(self, source: str, target: str) -> None:
        old, new = self._name(source), self._name(target)
        if old is not None and new is not None:
            self.moment()
            self._becomes(new, self._now(old))
            self._becomes(old, None)
        SYSTEM.replace(source, target)

    def unlink(self, path: str, **options: Any) -> None:
        if (name := self._name(path)) is not None:
            self.moment()
        SYSTEM.unlink(path, **options)
        if name is not None:
            self._becomes(name, None)

    def fsync(self, descriptor: int) -> None:
        if descriptor in self._opened:
            self.moment()
            file = self._opened[descriptor]
            if file is not None:
                if self.refuses():
                    file.dropped = True
                    raise OSError(errno.EIO, "sick disk")
                file.synced = file.synced if file.dropped else file.now
            else:
                self._names = {name: files[-1:] for name, files in self._names.items()}
        SYSTEM.fsync(descriptor)
