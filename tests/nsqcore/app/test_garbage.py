"""The collector's settings for daemons."""

import gc
import weakref

import pytest

from nsqcore.app import garbage


@pytest.fixture
def _collector_as_it_was():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


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
