"""A disk in memory that can lose power, and fail, at any call.

What was synced is there afterwards. Of what was not, each file may have any subset of its 512-byte
sectors, and each directory any of the names it had since its last sync.
"""

import errno
import os
import random
from collections.abc import Callable, Sequence

from attrs import Factory, define, field

SECTOR = 512


class PowerLoss(BaseException):
    """The machine stops at this call."""


@define(eq=False)
class File:
    """A file's content as it is read now, and as it is on the device."""

    now: bytearray = Factory(bytearray)
    synced: bytes = b""
    dirty: set[int] = Factory(set)  # sectors

    def write(self, data: bytes, position: int) -> None:
        if len(self.now) < position:
            self.now.extend(bytes(position - len(self.now)))
        self.now[position : position + len(data)] = data
        if data:
            last = (position + len(data) - 1) // SECTOR
            self.dirty.update(range(position // SECTOR, last + 1))

    def sync(self) -> None:
        self.synced = bytes(self.now)
        self.dirty.clear()

    def drop_dirty(self) -> None:
        """What a failed sync does: the device never gets it, and a later sync does not know."""
        self.dirty.clear()

    def after_power_loss(self, chance: random.Random) -> "File":
        fate = chance.choice(["nothing", "all", "any", "any"])
        left = bytearray(self.synced)
        if fate != "nothing":
            for sector in sorted(self.dirty):
                if fate == "all" or chance.random() < 0.5:
                    start, end = sector * SECTOR, (sector + 1) * SECTOR
                    if len(left) < start:
                        left.extend(bytes(start - len(left)))
                    left[start:end] = self.now[start:end]
        return File(bytearray(left), bytes(left))


def _never(call: str) -> None:
    """No fault."""


@define(eq=False)
class SimulatedDisk:
    """Directories of names, names of files. ``before`` is called before every change, with what it
    is; it may raise OSError or `PowerLoss`."""

    before: Callable[[str], None] = _never
    directories: dict[str, dict[str, File]] = Factory(dict)
    _synced: dict[str, list[dict[str, File]]] = Factory(dict)  # names since the last sync
    _opened: dict[int, File] = field(factory=dict, init=False)
    _next: int = field(default=1000, init=False)

    # ------------------------------------------------------------ after a crash

    def after_kill(self) -> "SimulatedDisk":
        """What another process finds: everything."""
        return SimulatedDisk(directories=self.directories, synced=self._synced)

    def after_power_loss(self, chance: random.Random) -> "SimulatedDisk":
        """What is left when the machine starts again."""
        left: dict[File, File] = {}
        directories: dict[str, dict[str, File]] = {}
        for path in self.directories:
            versions = [*self._synced.get(path, [{}]), self.directories[path]]
            names = chance.choice(versions)
            directories[path] = {}
            for name, file in names.items():
                if file not in left:
                    left[file] = file.after_power_loss(chance)
                directories[path][name] = left[file]
        synced = {path: [dict(names)] for path, names in directories.items()}
        return SimulatedDisk(directories=directories, synced=synced)

    def flip_bit(self, path: str, bit: int) -> None:
        file = self._file(path)
        file.now[bit >> 3] ^= 1 << (bit & 7)
        file.synced = bytes(file.now)

    def _file(self, path: str) -> File:
        directory, name = os.path.split(path)
        try:
            return self.directories[directory][name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from None

    def _names_change(self, directory: str) -> dict[str, File]:
        names = self.directories.setdefault(directory, {})
        self._synced.setdefault(directory, [{}]).append(dict(names))
        return names

    # ------------------------------------------------------------ the calls

    def open(self, path: str, *, create: bool = False) -> int:
        try:
            file = self._file(path)
        except FileNotFoundError:
            if not create:
                raise
            self.before("create")
            file = File()
            directory, name = os.path.split(path)
            self._names_change(directory)[name] = file
        self._next += 1
        self._opened[self._next] = file
        return self._next

    def close(self, descriptor: int) -> None:
        del self._opened[descriptor]

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        return bytes(self._opened[descriptor].now[position : position + size])

    def write(
        self, descriptor: int, parts: Sequence[bytes], position: int, *, sync: bool = False
    ) -> None:
        self.before("write")
        file = self._opened[descriptor]
        data = b"".join(parts)
        file.write(data, position)
        if sync:
            self._sync(file, range(position // SECTOR, (position + len(data) - 1) // SECTOR + 1))

    def sync(self, descriptor: int) -> None:
        file = self._opened[descriptor]
        self._sync(file, range(len(file.now) // SECTOR + 1))

    def _sync(self, file: File, sectors: range) -> None:
        try:
            self.before("sync")
        except OSError:
            file.drop_dirty()
            raise
        synced = bytearray(file.synced)
        for sector in file.dirty.intersection(sectors):
            start, end = sector * SECTOR, (sector + 1) * SECTOR
            if len(synced) < start:
                synced.extend(bytes(start - len(synced)))
            synced[start:end] = file.now[start:end]
        file.synced = bytes(synced)
        file.dirty.difference_update(sectors)

    def reserve(self, descriptor: int, position: int, size: int) -> None:
        self.before("reserve")

    def truncate(self, descriptor: int, size: int) -> None:
        self.before("truncate")
        file = self._opened[descriptor]
        del file.now[size:]
        file.now.extend(bytes(size - len(file.now)))

    def size(self, path: str) -> int | None:
        if path in self.directories:
            return 0
        try:
            return len(self._file(path).now)
        except FileNotFoundError:
            return None

    def replace(self, path: str, content: bytes, *, sync: bool) -> None:
        self.before("write")
        file = File()
        file.write(content, 0)
        if sync:
            self.before("sync")
            file.sync()
        directory, name = os.path.split(path)
        self.before("replace")
        self._names_change(directory)[name] = file
        if sync:
            self.sync_directory(directory)

    def rename(self, path: str, target: str) -> None:
        self.before("rename")
        directory, name = os.path.split(path)
        names = self._names_change(directory)
        self._names_change(os.path.dirname(target))[os.path.basename(target)] = names.pop(name)

    def unlink(self, path: str) -> None:
        directory, name = os.path.split(path)
        if name in self.directories.get(directory, {}):
            self.before("unlink")
            del self._names_change(directory)[name]

    def make_directory(self, path: str) -> None:
        self.directories.setdefault(path, {})
        self._synced.setdefault(path, [{}])

    def remove_directory(self, path: str) -> None:
        if path in self.directories:
            self.before("remove")
            del self.directories[path]
            self._synced.pop(path, None)

    def names(self, path: str) -> list[str]:
        below = path.rstrip("/") + "/"
        directories = {each[len(below) :] for each in self.directories if each.startswith(below)}
        return sorted({*self.directories.get(path, {}), *directories})

    def sync_directory(self, path: str) -> None:
        self.before("sync directory")
        self._synced[path] = [dict(self.directories.get(path, {}))]
