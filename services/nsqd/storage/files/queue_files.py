"""The files of the disk queues of one data directory: their names, numbers and sizes."""

from collections.abc import Callable
from contextlib import suppress

from nsqcore.classes import define, field
from nsqd.storage.files.filesystem import SYSTEM, FileSystem

# A file dated later (year 2043) says nothing of its writer's clock; ids have no room beyond.
NO_CLOCK = 1 << 61


@define(eq=False, repr=False)
class QueueFiles:
    """The files in ``directory``. ``warn`` gets one line for what an operator should know."""

    directory: str
    warn: Callable[[str], None]
    fs: FileSystem = SYSTEM
    _existing: dict[str, list[int]] | None = field(default=None, init=False)

    def path(self, queue: str, number: int) -> str:
        """Where file ``number`` of ``queue`` is."""
        return f"{self.directory}/{queue}.diskqueue.{number:06d}.dat"

    def meta_path(self, queue: str) -> str:
        """Where the cursors of ``queue`` are."""
        return f"{self.directory}/{queue}.diskqueue.meta.dat"

    def withdrawn_path(self, queue: str) -> str:
        """Where it is noted which records of ``queue`` are to be passed over."""
        return f"{self.directory}/{queue}.diskqueue.withdrawn.dat"

    def size(self, queue: str, number: int) -> int | None:
        """How long file ``number`` of ``queue`` is, or None if there is none."""
        try:
            return self.fs.size(self.path(queue, number))
        except FileNotFoundError:
            return None

    def set_aside(self, queue: str, path: str) -> None:
        """Keep the file ``path`` of ``queue``, but out of the way."""
        try:
            self.fs.replace(path, path + ".bad")
        except OSError as error:
            self.warn(f"DISKQUEUE({queue}): failed to rename {path} - {error}")

    def unlink(self, queue: str, number: int) -> None:
        """Remove file ``number`` of ``queue``, if it is there."""
        try:
            self.fs.unlink(self.path(queue, number))
        except FileNotFoundError:
            return
        except OSError as error:
            self.warn(f"DISKQUEUE({queue}): failed to remove file {number} - {error}")

    def numbers(self, queue: str) -> list[int]:
        """The numbers of the files that ``queue`` has, ascending. Reads the whole directory."""
        return sorted(self._all_numbers().get(queue, ()))

    def pop_existing(self, queue: str) -> list[int]:
        """The numbers of the files that ``queue`` had at `scan`, or else at the first call of this.

        For when it is opened; asked again there are none. The directory is read once for all.
        """
        if self._existing is None:
            self.scan()
        assert self._existing is not None
        return self._existing.pop(queue, [])

    def scan(self) -> None:
        """Read the directory: best at the start, when there surely is a descriptor for it."""
        self._existing = self._all_numbers()

    def _all_numbers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        with suppress(FileNotFoundError):
            for entry in self.fs.names(self.directory):
                name, _, number = entry.removesuffix(".dat").rpartition(".diskqueue.")
                if entry.endswith(".dat") and number.isascii() and number.isdigit():
                    found.setdefault(name, []).append(int(number))
        return found

    def newest(self) -> int:
        """When a file here was last written, in wall-clock ns; 0 if there are none."""
        newest = 0
        with suppress(OSError):
            for _, written in self.fs.entries(self.directory):
                newest = max(newest, written)
        return min(newest, NO_CLOCK)
