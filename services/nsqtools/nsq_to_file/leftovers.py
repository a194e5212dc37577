"""What earlier runs left in the work directory: killed, or ended by a full disk.

Everything that nsqd takes as finished is in these files, so they are finished and moved. A file
that another process still writes has its lock (`log_file`), and is left alone.
"""

import contextlib
import fcntl
import os
import re
import zlib
from collections.abc import Iterator

from nsqcore.classes import frozen
from nsqtools.nsq_to_file import file_names
from nsqtools.nsq_to_file.log_file import GZIP_BITS

READ_SIZE = 1024 * 1024


@frozen
class Leftover:
    """A file below the work directory: its name, the same with ``<REV>``, and the number."""

    name: str
    template: str
    number: int


def find_leftovers(folder: str, pattern: re.Pattern[str]) -> list[Leftover]:
    """The files below ``folder`` whose names match (`file_names.pattern`), by name."""
    found: list[Leftover] = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(parent, name), folder)
            if match := pattern.fullmatch(path):
                begin, end = match.span("rev")
                template = path[:begin] + file_names.REV + path[end:]
                found.append(Leftover(path, template, int(match["rev"][1:])))
    return sorted(found, key=lambda leftover: leftover.name)


@contextlib.contextmanager
def take_over(path: str, *, compressed: bool) -> Iterator[bool]:
    """Whether the file is nobody's and has something in it; it is whole and on disk then.

    Half a gzip member at its end is cut off: no message in it was finished. A file without any
    message is removed.
    """
    with open(path, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        if compressed:
            file.truncate(_whole_members(file.fileno()))
        if os.fstat(file.fileno()).st_size == 0:
            os.unlink(path)
            yield False
            return
        os.fsync(file.fileno())
        yield True


def _whole_members(descriptor: int) -> int:
    """How many bytes of a gzip file are whole members."""
    whole = position = 0
    inflater = zlib.decompressobj(GZIP_BITS)
    while data := os.pread(descriptor, READ_SIZE, position):
        position += len(data)
        try:
            while data:
                inflater.decompress(data, READ_SIZE)
                data = inflater.unconsumed_tail
                if inflater.eof:
                    data = inflater.unused_data
                    whole = position - len(data)
                    inflater = zlib.decompressobj(GZIP_BITS)
        except zlib.error:
            break
    return whole
