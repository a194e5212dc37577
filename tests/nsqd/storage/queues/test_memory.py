import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.storage.queues.memory import MemoryQueue


def test_records_come_out_in_the_order_they_went_in(make_record):
    queue = MemoryQueue()
    records = [make_record(number) for number in range(1000)]
    queue.put(records[:3])
    queue.put(records[3:503])
    for one in records[503:]:
        queue.put([one])

    assert queue.depth == 1000
    assert [queue.take(7) for _ in range(200)] == [records[at : at + 7] for at in range(0, 1400, 7)]
    assert queue.depth == 0


def test_a_list_put_in_two_queues_is_not_changed_by_either(make_record):
    shared = [make_record(number) for number in range(200)]
    first, second = MemoryQueue(), MemoryQueue()
    first.put(shared)
    second.put(shared)
    first.take(150).clear()
    first.put([make_record(999)])

    assert second.take(1000) == [make_record(number) for number in range(200)]


def test_cleared_queue_is_empty_and_usable(make_record):
    queue = MemoryQueue()
    queue.put([make_record(number) for number in range(100)])
    queue.take(10)
    queue.clear()
    queue.put([make_record(1)])

    assert queue.depth == 1
    assert queue.take(5) == [make_record(1)]


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 700)),
            st.tuples(st.just("take"), st.integers(-1, 900)),
        )
    )
)
def test_it_is_a_queue(steps):
    queue, model, number = MemoryQueue(), [], 0
    for step, count in steps:
        if step == "put":
            records = [b"%d" % n for n in range(number, number + count)]
            number += count
            queue.put(records)
            model += records
        else:
            expected = model[: max(count, 0)]
            del model[: max(count, 0)]
            assert queue.take(count) == expected
        assert queue.depth == len(model)
