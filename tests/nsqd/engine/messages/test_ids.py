import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.engine.messages.ids import MessageIds

TICK = 1 << 20  # ns
NOW = 1_700_000_000_000_000_000


def split(ids):
    assert len(ids) % 16 == 0
    return [ids[at : at + 16] for at in range(0, len(ids), 16)]


def test_id_is_sixteen_lower_case_hex_digits_of_time_node_and_sequence():
    ids = MessageIds(777)
    first, second, third = split(ids.take(1, NOW) + ids.take(2, NOW))
    assert first == b"%016x" % (NOW // TICK << 22 | 777 << 12 | 0)
    assert second == b"%016x" % (NOW // TICK << 22 | 777 << 12 | 1)
    assert third == b"%016x" % (NOW // TICK << 22 | 777 << 12 | 2)


def test_sequence_starts_anew_with_every_tick():
    ids = MessageIds(0)
    ids.take(5, NOW)
    assert int(ids.take(1, NOW + TICK), 16) & 0xFFF == 0


def test_burst_beyond_a_tick_borrows_the_next_ones():
    ids = MessageIds(1023)
    burst = split(ids.take(3, NOW) + ids.take(10_000, NOW) + ids.take(1, NOW))
    assert burst == sorted(set(burst))
    assert {int(id, 16) >> 12 & 0x3FF for id in burst} == {1023}
    assert int(burst[-1], 16) >> 22 == NOW // TICK + 2


def test_ids_rise_after_a_burst_that_ran_ahead_of_the_clock():
    ids = MessageIds(0)
    burst = split(ids.take(9000, NOW))
    assert ids.take(1, NOW + TICK) > burst[-1]
    assert ids.take(1, NOW + 10 * TICK) == b"%016x" % (NOW // TICK + 10 << 22)


def test_ids_rise_when_the_clock_is_set_back():
    ids = MessageIds(0)
    first = ids.take(1, NOW)
    assert ids.take(1, NOW - 10**12) > first


@pytest.mark.slow
@given(
    node=st.integers(0, 1023),
    takes=st.lists(st.tuples(st.integers(1, 5000), st.integers(-TICK, 3 * TICK)), max_size=12),
)
def test_ids_of_any_sequence_of_calls_are_unique_and_rising(node, takes):
    ids, clock, found = MessageIds(node), NOW, []
    for count, step in takes:
        clock += step
        taken = split(ids.take(count, clock))
        assert len(taken) == count
        found += taken
    assert found == sorted(set(found))
    assert all(int(id, 16) >> 12 & 0x3FF == node for id in found)
