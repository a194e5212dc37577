"""The meta file of a disk queue: where reading and writing go on.

Three lines of text, as the original has them::

    depth
    read file number,read position
    write file number,write position

It is replaced by rename, so there is always a whole one; a loss of power may cut off one that was
not synced, which its last newline tells. It may be older than the files: a crash loses what was not
yet noted, and the queue then looks at the files.
"""

import re

from nsqcore.classes import frozen
from nsqd.storage.files.filesystem import READ, FileSystem

_LINES = re.compile(r"(-?\d{1,19})\n(\d{1,19}),(\d{1,19})\n(\d{1,19}),(\d{1,19})\n")
# More files than any disk holds; a wider span is garbage that would be walked number by number.
WIDEST_SPAN = 10_000_000
LONGEST = 128  # bytes of a meta file: five numbers of 19 digits and their separators


class BadCursors(Exception):
    """The meta file is not one."""


@frozen
class Cursors:
    """What a meta file says. ``depth`` counts records; positions are bytes in a file."""

    depth: int = 0
    read_number: int = 0
    read_position: int = 0
    write_number: int = 0
    write_position: int = 0

    def encode(self) -> bytes:
        """The file's content."""
        return (
            f"{self.depth}\n"
            f"{self.read_number},{self.read_position}\n"
            f"{self.write_number},{self.write_position}\n"
        ).encode()


def load(path: str, fs: FileSystem) -> Cursors | None:
    """What the meta file at ``path`` says, or None if there is none.

    Raises:
        BadCursors: it says nothing sensible.
        OSError: it can't be read; its ``filename`` is ``path``.
    """
    try:
        fs.size(path)  # which needs no descriptor: a new queue can be made when there is none left
        descriptor = fs.open(path, READ)
    except FileNotFoundError:
        return None
    try:
        content = fs.read(descriptor, LONGEST + 1)
    except OSError as error:  # reading knows no name
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        fs.close(descriptor)
    match = _LINES.fullmatch(content.decode("latin-1"))
    if match is None:
        raise BadCursors(f"meta file {path} is not three lines of numbers")
    noted = Cursors(*map(int, match.groups()))
    if noted.write_number - noted.read_number > WIDEST_SPAN:
        raise BadCursors(f"meta file {path} spans too many files")
    return noted
