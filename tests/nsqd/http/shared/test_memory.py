"""The memory section of the statistics."""

import gc

import pytest

from nsqd.http.shared.memory import GcWatch, percentile


def test_memory_is_told_in_whole_numbers_that_make_sense():
    stats = GcWatch().take()
    assert stats.heap_objects > 1000
    assert stats.heap_in_use_bytes > 1_000_000
    assert all(type(value) is int and value >= 0 for value in stats.to_json().values())


def test_pauses_of_the_collector_are_timed_while_it_is_watched():
    watch = GcWatch()
    watch.install()
    try:
        gc.collect()
    finally:
        watch.remove()
    stats = watch.take()
    assert stats.gc_total_runs > 0
    assert stats.gc_pause_usec_100 >= stats.gc_pause_usec_99 >= stats.gc_pause_usec_95 > 0


@pytest.mark.parametrize(
    ("percent", "values", "result"),
    [(100, [], 0), (100, [1, 2, 3], 3), (95, list(range(100)), 95), (50, [1], 1)],
)
def test_percentile_is_one_of_the_values(percent, values, result):
    assert percentile(percent, values) == result
