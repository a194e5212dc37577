"""What the tests of queues share: records, a store, and a reader of the format.

The reader follows the rules of the format and knows nothing of the code under test.
"""

import re
import struct
from pathlib import Path

import pytest

from nsqd.storage.diskqueue.store import DiskStore


def record(number: int, *, body: bytes | None = None, attempts: int = 1) -> bytes:
    body = b"body %d" % number if body is None else body
    return (
        struct.pack(">qH", 1_700_000_000_000_000_000 + number, attempts) + b"%016x" % number + body
    )


def stored(number: int, *, body: bytes | None = None, deliveries: int = 0) -> bytes:
    """A record as it lies in a file, written by the rules of the format."""
    body = b"body %d" % number if body is None else body
    head = struct.pack(">qH", 1_700_000_000_000_000_000 + number, deliveries)
    return struct.pack(">i", len(body) + 26) + head + b"%016x" % number + body


class QueueFiles:
    """A data directory, read by the rules of the format."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def meta(self, name: str) -> tuple[int, tuple[int, int], tuple[int, int]]:
        text = (self.directory / f"{name}.diskqueue.meta.dat").read_text()
        match = re.fullmatch(r"(\d+)\n(\d+),(\d+)\n(\d+),(\d+)\n", text)
        assert match, text
        depth, *at = map(int, match.groups())
        return depth, (at[0], at[1]), (at[2], at[3])

    def sizes(self, name: str) -> dict[int, int]:
        """File number to length."""
        found = {}
        for path in self.directory.iterdir():
            match = re.fullmatch(re.escape(name) + r"\.diskqueue\.(\d{6})\.dat", path.name)
            if match:
                found[int(match[1])] = path.stat().st_size
        return dict(sorted(found.items()))

    def unread(self, name: str) -> list[tuple[int, int, bytes, bytes]]:
        """(time, deliveries, id, body) of what is between the two positions."""
        depth, (number, position), (last, end) = self.meta(name)
        found = []
        while (number, position) < (last, end):
            content = (self.directory / f"{name}.diskqueue.{number:06d}.dat").read_bytes()
            stop = end if number == last else len(content)
            while position < stop:
                (size,) = struct.unpack_from(">i", content, position)
                body = content[position + 4 : position + 4 + size]
                assert len(body) == size
                found.append((*struct.unpack(">qH", body[:10]), body[10:26], body[26:]))
                position += 4 + size
            assert position == stop
            if number < last:
                number, position = number + 1, 0
        assert len(found) == depth
        return found

    def write(self, name: str, files: dict[int, bytes], meta: str | None) -> None:
        for number, content in files.items():
            (self.directory / f"{name}.diskqueue.{number:06d}.dat").write_bytes(content)
        if meta is not None:
            (self.directory / f"{name}.diskqueue.meta.dat").write_text(meta)


@pytest.fixture
def make_record():
    return record


@pytest.fixture
def make_stored():
    return stored


@pytest.fixture
def files(tmp_path):
    return QueueFiles(tmp_path)


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def make_store(tmp_path, warnings):
    def make(**settings) -> DiskStore:
        return DiskStore(str(tmp_path), warn=warnings.append, **settings)

    return make


@pytest.fixture
def store(make_store):
    return make_store()
