import pytest

from nsqd.storage.files.filesystem import SYSTEM
from nsqd.storage.queues.tiered import TieredQueue


def records_of(make_record, count, start=0):
    return [make_record(number) for number in range(start, start + count)]


def test_what_memory_has_no_room_for_goes_to_disk(store, files, make_record):
    queue = TieredQueue("t", 3, store)
    queue.put(records_of(make_record, 3))
    assert (queue.depth, queue.backend_depth) == (3, 0)
    assert files.names() == []

    queue.put(records_of(make_record, 5, start=3))
    assert (queue.depth, queue.backend_depth) == (8, 5)


def test_one_batch_is_split_between_memory_and_disk(store, make_record):
    queue = TieredQueue("t", 3, store)
    queue.put(records_of(make_record, 10))

    assert (queue.depth, queue.backend_depth) == (10, 7)
    assert queue.take(100) == records_of(make_record, 10)


def test_no_memory_means_all_on_disk(store, make_record):
    queue = TieredQueue("t", 0, store)
    queue.put(records_of(make_record, 4))

    assert (queue.depth, queue.backend_depth) == (4, 4)
    assert queue.take(100) == records_of(make_record, 4)


def test_room_is_made_for_what_consumers_would_take_at_once(store, files, make_record):
    queue = TieredQueue("t", 0, store)
    queue.put(records_of(make_record, 4), wanted=5)

    assert files.names() == []
    assert queue.take(100) == records_of(make_record, 4)


def test_memory_and_disk_take_turns(store, make_record):
    queue = TieredQueue("t", 6, store)
    queue.put(records_of(make_record, 12))

    assert queue.take(2) == records_of(make_record, 2)
    assert queue.take(2) == records_of(make_record, 2, start=6)
    assert queue.take(2) == records_of(make_record, 2, start=2)
    queue.put(records_of(make_record, 4, start=12))
    assert queue.take(2) == records_of(make_record, 2, start=8)


def test_taking_fills_up_from_the_other_side(store, make_record):
    queue = TieredQueue("t", 2, store)
    queue.put(records_of(make_record, 5))

    assert queue.take(4) == records_of(make_record, 4)
    assert queue.take(4) == records_of(make_record, 1, start=4)


def test_ephemeral_queue_drops_what_is_new_and_finds_no_room(files, make_record):
    queue = TieredQueue("t#ephemeral", 5, None)

    assert queue.put(records_of(make_record, 3)) == 0
    assert queue.put(records_of(make_record, 17, start=3)) == 15
    queue.give_back(records_of(make_record, 1, start=99))
    queue.close()
    queue.delete()
    assert files.names() == []


def test_ephemeral_queue_gives_what_it_kept(make_record):
    queue = TieredQueue("t#ephemeral", 5, None)
    queue.put(records_of(make_record, 20))

    assert (queue.depth, queue.backend_depth) == (5, 0)
    assert queue.take(100) == records_of(make_record, 5)


def test_batch_refused_by_the_disk_is_not_half_in_memory(tmp_path, make_store, make_record):
    store = make_store()
    store.files.directory = str(tmp_path / "gone")
    queue = TieredQueue("t", 3, store)
    with pytest.raises(FileNotFoundError):
        queue.put(records_of(make_record, 10))

    assert queue.depth == 0


def test_what_is_put_back_is_kept_in_memory_while_the_disk_fails(tmp_path, make_store, make_record):
    store = make_store()
    store.files.directory = str(tmp_path / "gone")
    queue = TieredQueue("t", 1, store)
    queue.give_back(records_of(make_record, 3))

    assert queue.take(10) == records_of(make_record, 3)


def test_close_moves_memory_to_disk(store, make_store, files, make_record):
    queue = TieredQueue("t", 100, store)
    queue.put(records_of(make_record, 50))
    queue.close()
    assert [body for *_, body in files.unread("t")] == [b"body %d" % n for n in range(50)]

    again = TieredQueue("t", 100, make_store())
    assert (again.depth, again.backend_depth) == (50, 50)
    assert again.take(100) == records_of(make_record, 50)


@pytest.mark.parametrize(("memory", "numbers"), [(0, {0: 0}), (1, {})])
def test_without_memory_a_queue_that_was_bypassed_leaves_an_empty_file(
    memory, numbers, store, make_store, files, make_record
):
    TieredQueue("t", memory, store).close(bypassed=True)
    assert files.sizes("t") == numbers

    again = TieredQueue("t", memory, make_store())
    assert again.depth == 0
    again.put(records_of(make_record, 2))
    assert again.take(5) == records_of(make_record, 2)


def test_failed_flush_keeps_what_it_could_not_write(tmp_path, make_store, make_record):
    store = make_store()
    store.files.directory = str(tmp_path / "later")
    queue = TieredQueue("t", 100, store)
    queue.put(records_of(make_record, 50))
    loss = queue.flush()
    assert loss.messages == queue.depth == 50
    assert "No such file" in loss.reason

    (tmp_path / "later").mkdir()
    assert queue.flush() is None
    assert (queue.depth, queue.backend_depth) == (50, 50)


def test_emptied_queue_is_empty_on_both_sides(store, make_record):
    queue = TieredQueue("t", 3, store)
    queue.put(records_of(make_record, 10))
    queue.empty()

    assert (queue.depth, queue.backend_depth) == (0, 0)
    assert queue.take(10) == []


def test_deleted_queue_leaves_no_files(store, files, make_record):
    queue = TieredQueue("t", 3, store)
    queue.put(records_of(make_record, 10))
    queue.delete()

    assert files.names() == []


def test_a_stop_makes_two_files_for_a_queue_and_no_more(store, files, make_record, monkeypatch):
    """With thousands of queues it is the files made that a stop takes its time for."""
    made, real = [], SYSTEM.open

    def counted(path: str, flags: int, mode: int = 0o600) -> int:
        made.append(path)
        return real(path, flags, mode)

    monkeypatch.setattr(SYSTEM, "open", counted)
    queue = TieredQueue("t", 100, store)
    queue.put(records_of(make_record, 3))
    queue.close()

    assert len(made) == 2
    assert files.meta("t")[0] == 3
    assert files.names() == ["t.diskqueue.000000.dat", "t.diskqueue.meta.dat"]
