"""Standard streams in every state in which a parent may leave them."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsqcore.app.process.streams import Streams, text_output


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose ends do not block."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, True)
    found = b""
    while part := os.read(descriptor, 65536):
        found += part
    return found


def test_non_blocking_output_waits_for_its_reader(pipe):
    reading, writing = pipe
    data = bytes(range(256)) * 4096  # a megabyte: more than a pipe holds

    def write() -> None:
        Streams(stdout=writing).write(data)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_all(reading) == data
    writer.join()


def test_non_blocking_input_waits_for_its_writer(pipe):
    reading, writing = pipe
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(Streams(stdin=reading).read(100)))
    reader.start()
    os.write(writing, b"late")
    reader.join()
    assert found == [b"late"]


def test_text_that_does_not_fit_into_a_non_blocking_pipe_is_whole(pipe):
    reading, writing = pipe

    def write() -> None:
        print("x" * 300_000, file=text_output(writing), flush=True)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_all(reading) == b"x" * 300_000 + b"\n"
    writer.join()


def test_a_reader_that_went_away_is_a_broken_pipe(pipe):
    reading, writing = pipe
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        Streams(stdout=writing).write(b"x")


def test_an_error_names_the_stream(tmp_path: Path):
    folder = os.open(tmp_path, os.O_RDONLY)
    closed = os.open(os.devnull, os.O_WRONLY)
    try:
        with pytest.raises(OSError, match=r"^standard input: Is a directory$"):
            Streams(stdin=folder).read(10)
        with pytest.raises(OSError, match=r"^standard input: it is closed$"):
            Streams(stdin=closed).read(10)
        with pytest.raises(OSError, match=r"^standard output: it is closed$"):
            Streams(stdout=folder).write(b"x")
    finally:
        os.close(folder)
        os.close(closed)
