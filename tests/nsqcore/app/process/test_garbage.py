"""The collector's settings for daemons."""

import gc
import weakref

import pytest
import trio

from nsqcore.app.process import garbage


@pytest.fixture
def _collector_as_it_was():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.slow
@pytest.mark.usefixtures("_collector_as_it_was")
def test_what_exists_is_out_of_sight_and_new_cycles_are_still_freed():
    class Node:
        pass

    garbage.tune()
    assert gc.get_freeze_count() > 0
    node = Node()
    node.itself = node
    gone = weakref.ref(node)
    del node
    gc.collect()
    assert gone() is None


class Node:
    """What only the collector can free."""

    def __init__(self):
        self.itself = self


MIB = 1024 * 1024


class Process:
    """A process whose size and messages are what the test says."""

    def __init__(self, size, count):
        self.size, self.count = size, count
        self.watch = garbage.MemoryWatch(lambda: self.count, lambda: self.size)


async def started(process):
    """The watch of ``process``, which has looked once."""
    with trio.move_on_after(0):
        await process.watch.run()
    return process.watch


async def test_memory_that_grows_though_nothing_is_held_is_collected():
    process = Process(100 * MIB, 1000)
    watch = await started(process)
    gone = weakref.ref(Node())
    process.size += 20 * MIB
    assert not watch.look()
    process.size += 20 * MIB
    assert watch.look()
    assert gone() is None
    assert not watch.look()


async def test_memory_that_grows_with_what_is_held_is_not_walked_through():
    process = Process(100 * MIB, 1000)
    watch = await started(process)
    for _ in range(20):
        process.size, process.count = process.size * 2, process.count * 2
        assert not watch.look()


async def test_what_was_let_go_of_and_taken_again_is_growth():
    process = Process(1000 * MIB, 1000)
    watch = await started(process)
    process.size = 100 * MIB
    assert not watch.look()
    process.size = 200 * MIB
    assert watch.look()


async def test_where_the_system_does_not_tell_nobody_watches():
    with trio.fail_after(60):
        await garbage.MemoryWatch(lambda: 0, lambda: 0).run()


def test_the_memory_of_this_process_is_known():
    assert garbage.resident_bytes() > MIB
