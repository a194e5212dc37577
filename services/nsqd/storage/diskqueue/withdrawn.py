"""Records that were withdrawn from a disk queue while its files still have them.

Files of a disk queue are never changed in the middle. What an operator takes out of one is noted
here, by its place and its id, and passed over when it is read. The notes are kept in a file beside
the others, which the original does not know: there the messages are delivered once more.
"""

import re
from contextlib import suppress

from nsqcore.classes import define, field
from nsqd.storage.diskqueue.records import SIZE_FIELD
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.atomic import write_temporary
from nsqd.storage.files.filesystem import READ

# So many may be noted of one queue: about 400 KB of file.
MOST = 10_000
_LINE = re.compile(rb"(\d{1,19}),(\d{1,19}),(.{32})\n")
_LONGEST_LINE = 74


@define(eq=False, repr=False)
class Withdrawn:
    """The withdrawn records of ``queue``: ids by file number and position in it."""

    queue: str
    store: DiskStore
    count: int = field(default=0, init=False)
    _ids: dict[int, dict[int, bytes]] = field(factory=dict, init=False)
    # Those that were passed over, which a crash may have read again: the cursors are noted later.
    _passed: dict[int, dict[int, bytes]] = field(factory=dict, init=False)
    _saved: bool = field(default=False, init=False)  # there is a file

    def __attrs_post_init__(self) -> None:
        files = self.store.files
        path = files.withdrawn_path(self.queue)
        if not files.fs.exists(path):
            return
        self._saved = True
        try:
            descriptor = files.fs.open(path, READ)
            try:
                content = files.fs.read(descriptor, MOST * _LONGEST_LINE)
            finally:
                files.fs.close(descriptor)
        except OSError as error:
            self._warn(f"failed to read {path} - {error}")
            return
        for number, position, id in _LINE.findall(content):
            with suppress(ValueError):
                self._note(int(number), int(position), bytes.fromhex(id.decode("latin-1")))

    def has(self, number: int, position: int, record: bytes) -> bool:
        """Whether ``record``, at ``position`` of file ``number``, is one of them."""
        noted = self._ids.get(number)
        return noted is not None and noted.get(position) == record[10:26]

    def add(self, places: list[tuple[int, int, bytes]]) -> None:
        """Pass over records from now on: ``places`` are file number, position and id of each.

        Raises OSError, and notes none of them, where there would be too many.
        """
        if self.count + len(places) > MOST:
            raise OSError(
                f"queue {self.queue} has {self.count} withdrawn messages in its files,"
                f" and no more than {MOST} are kept in mind"
            )
        for number, position, id in places:
            self._note(number, position, id)
        self._save()

    def left(self, records: list[bytes], number: int, start: int) -> list[bytes]:
        """Those of ``records``, which begin at ``start`` of file ``number``, that are still in
        the queue; the others need not be kept in mind any longer."""
        noted = self._ids.get(number)
        if not noted:
            self._forget_before(number)
            return records
        kept = []
        for record in records:
            if noted.get(start) == record[10:26]:
                self._passed.setdefault(number, {})[start] = noted.pop(start)
                self.count -= 1
            else:
                kept.append(record)
            start += SIZE_FIELD + len(record)
        return kept

    def clear(self) -> None:
        """Forget all of them: the files are gone."""
        self._ids.clear()
        self._passed.clear()
        self.count = 0
        if self._saved:
            self._save()

    def tidy(self, number: int) -> None:
        """Leave no notes of files before ``number``, and no file where nothing is noted.

        The cursors are noted: what was passed over is not read again.
        """
        self._passed.clear()
        if self._saved:
            self._forget_before(number)
            self._save()

    def _note(self, number: int, position: int, id: bytes) -> None:
        noted = self._ids.setdefault(number, {})
        self.count += position not in noted
        noted[position] = id

    def _forget_before(self, number: int) -> None:
        for old in [known for known in self._ids if known < number]:
            self.count -= len(self._ids.pop(old))
        for old in [known for known in self._passed if known < number]:
            del self._passed[old]

    def _save(self) -> None:
        """A failure is told: after a crash the messages are then delivered once more."""
        files = self.store.files
        path = files.withdrawn_path(self.queue)
        lines = _lines(self._ids)
        if lines:
            lines += _lines(self._passed)[: MOST - len(lines)]
        try:
            if lines:
                content = b"".join(lines)
                temporary = write_temporary(path, content, suffix="loop", sync=False, fs=files.fs)
                files.fs.replace(temporary, path)
            elif self._saved:
                files.fs.unlink(path)
            self._saved = bool(lines)
        except FileNotFoundError:
            self._saved = False
        except OSError as error:
            self._warn(f"failed to note what was withdrawn - {error}")

    def _warn(self, message: str) -> None:
        self.store.warn(f"DISKQUEUE({self.queue}): {message}")


def _lines(ids: dict[int, dict[int, bytes]]) -> list[bytes]:
    return [
        b"%d,%d,%s\n" % (number, position, id.hex().encode())
        for number, noted in ids.items()
        for position, id in noted.items()
    ]
