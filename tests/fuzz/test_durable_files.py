"""Whatever a disk makes of the files of durable topics, nsqd reads what is left or says why not.

Each example damages one file of a directory that an nsqd wrote: flipped bits, a part of it cut off,
garbage in the middle or behind the end, zeros.
"""

import shutil
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.nsqd.storage.durable.test_golden import DIRECTORIES, FILE_SIZE, GOLDEN
from tests.support.descriptors import closed_at_the_end
from tests.support.examples import examples, scratch

from nsqd.rescue.checking import check
from nsqd.rescue.reading import NoFormat, open_directory
from nsqd.storage.durable.format.entries import UnknownFormat
from nsqd.storage.durable.store import DurableStore, NewerFormat
from nsqd.storage.durable.topics.queue import LogQueue
from nsqd.storage.durable.topics.state import BadState
from nsqd.storage.files.durable_disk import OsDisk

pytestmark = pytest.mark.slow

#: What tells that a file is not to be read, and that nothing was touched.
REFUSED = (BadState, UnknownFormat, NewerFormat, NoFormat)

FILES = sorted(
    (name, str(path.relative_to(GOLDEN / name)))
    for name in DIRECTORIES
    for path in (GOLDEN / name).rglob("*")
    if path.is_file()
)


HOW = ["flip", "cut", "garbage", "zeros", "longer"]


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` after something happened to it."""
    damaged = bytearray(content)
    places = st.integers(0, max(0, len(content) - 1))
    for how in draw(st.lists(st.sampled_from(HOW), max_size=4)):
        at = draw(places)
        if how == "flip" and at < len(damaged):
            damaged[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del damaged[at:]
        elif how == "garbage":
            garbage = draw(st.binary(max_size=64))
            damaged[at : at + len(garbage)] = garbage
        elif how == "zeros":
            damaged[at : at + 512] = bytes(len(damaged[at : at + 512]))
        else:
            damaged += draw(st.binary(max_size=64))
    return bytes(damaged)


def read_all(path: Path) -> set[bytes]:
    """The bodies of all that the channels have, and of what waits for one."""
    store = DurableStore(OsDisk(), str(path), file_size=FILE_SIZE)
    found: set[bytes] = set()
    try:
        for opened in store.open():
            topic = store.adopt(opened)
            for state in opened.state.channels:
                later: list[bytes] = []
                queue = topic.make_queue(state)
                queue.defer = lambda record, due, later=later: later.append(record)
                queued, deferred = topic.load(queue)
                later += [record for record, _ in deferred]
                found.update(record[26:] for record in [*queued, *_taken(queue), *later])
    finally:
        for topic in store.topics.values():
            topic.log.release()
    return found


def _taken(queue: LogQueue) -> list[bytes]:
    records: list[bytes] = []
    while more := queue.take(1000):
        records += more
    return records


def sizes(path: Path) -> dict[str, int]:
    return {str(each): each.stat().st_size for each in path.rglob("*") if each.is_file()}


@pytest.mark.parametrize(("name", "file"), FILES)
@settings(
    max_examples=examples(24),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(name: str, file: str, data: Any):
    with scratch() as folder, closed_at_the_end():
        path = folder / "durable"
        shutil.copytree(GOLDEN / name / "durable", path)
        victim = folder / file
        victim.write_bytes(data.draw(damages(victim.read_bytes())))
        before = sizes(path)
        tracemalloc.start()
        try:
            read_all(path)
        except REFUSED:
            assert sizes(path) == before
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 64 << 20
        after = sizes(path)
        assert all(after[each] >= size for each, size in before.items())  # nothing is cut off
        try:
            check(open_directory(str(path)))
        except REFUSED:
            return


@cache
def undamaged(name: str) -> set[bytes]:
    """What `read_all` finds as it is."""
    with scratch() as folder:
        shutil.copytree(GOLDEN / name / "durable", folder / "durable")
        return read_all(folder / "durable")


@pytest.mark.parametrize("name", DIRECTORIES)
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data())
def test_a_flipped_bit_in_a_log_costs_one_message_at_most(name: str, data: Any):
    logs = sorted(file for of, file in FILES if of == name and file.endswith(".log"))
    with scratch() as folder, closed_at_the_end():
        path = folder / "durable"
        shutil.copytree(GOLDEN / name / "durable", path)
        victim = folder / data.draw(st.sampled_from(logs))
        content = bytearray(victim.read_bytes())
        if not content:
            return
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit >> 3] ^= 1 << (bit & 7)
        victim.write_bytes(content)
        assert len(undamaged(name) - read_all(path)) <= 1
