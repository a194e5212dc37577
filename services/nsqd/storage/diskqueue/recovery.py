"""Where a disk queue goes on when it is opened: its meta file, checked against its files.

After a clean stop the meta file is right. After a crash it is behind: the file written
to is longer than noted, or files exist that are not noted. Nothing in them is given up:
they are read to their real ends, and writing begins in a new file. The depth is then
that of the meta file, too low until the queue has been read.
"""

from attrs import evolve

from nsqd.storage.diskqueue import cursors
from nsqd.storage.diskqueue.cursors import BadCursors, Cursors
from nsqd.storage.diskqueue.store import DiskStore


def find_cursors(name: str, store: DiskStore) -> tuple[Cursors, int]:
    """Where the queue ``name`` goes on, and the number of the file that its meta file says is
    written to, which may be another; -1 without a meta file."""
    path = store.files.meta_path(name)
    left = store.files.pop_existing(name)
    try:
        noted = cursors.load(path, store.files.fs)
    except BadCursors as error:
        store.warn(f"DISKQUEUE({name}): {error}, setting it aside and looking at the files")
        store.files.set_aside(name, path)
        return _from_files(name, store), -1
    if noted is not None:
        return _checked(name, store, noted, max(left, default=-1)), noted.write_number
    if left or (not store.first_number(name) and store.files.size(name, 0) is not None):
        return _from_files(name, store), -1
    return _at(store.first_number(name)), -1


def _checked(name: str, store: DiskStore, noted: Cursors, last: int) -> Cursors:
    """``noted``, or what it has to be for the files there are, of which ``last`` is the last."""
    number, position = noted.write_number, noted.write_position
    size = store.files.size(name, number)
    nothing_to_read = (noted.read_number, noted.read_position) == (number, position)
    if size is None and nothing_to_read and last < number:
        return noted if position == 0 else _at(number + 1)
    found = size or 0
    if found != position or last > number:
        if found != position:
            problem = f"file {number} has {found} bytes and not {position} as noted"
        else:
            problem = f"there are files up to {last} and not {number} as noted"
        store.warn(f"DISKQUEUE({name}): {problem}, reading to the end and writing to a new file")
        free = _first_free(name, store, max(number, last) + 1)
        noted = evolve(noted, write_number=free, write_position=0)
    reading = (noted.read_number, noted.read_position)
    if reading > (noted.write_number, noted.write_position):
        store.warn(f"DISKQUEUE({name}): noted to be read further than written, starting anew")
        return _at(_first_free(name, store, max(noted.read_number, noted.write_number) + 1))
    return noted


def _from_files(name: str, store: DiskStore) -> Cursors:
    first = store.first_number(name)
    numbers = [number for number in store.files.numbers(name) if number >= first]
    if not numbers:
        return _at(first)
    store.warn(f"DISKQUEUE({name}): no positions noted, reading all of {len(numbers)} files")
    return Cursors(read_number=numbers[0], write_number=numbers[-1] + 1)


def _first_free(name: str, store: DiskStore, number: int) -> int:
    """The first number from ``number`` on without a file; those on the way are to be read."""
    while store.files.fs.exists(store.files.path(name, number)):
        number += 1
    return number


def _at(number: int) -> Cursors:
    return Cursors(read_number=number, write_number=number)
