import errno
import resource
import struct
from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsqd.storage.diskqueue.disk import DiskQueue
from nsqd.storage.files.filesystem import SYSTEM

SECOND = 1_000_000_000


def take_all(queue: DiskQueue, step: int = 1000) -> list[bytes]:
    taken = []
    while queue.depth:
        taken += queue.take(step)
    return taken


def sync(queue: DiskQueue) -> None:
    jobs = queue.sync_jobs()
    jobs.sync_files()
    jobs.note_cursors()


def bodies(records: list[bytes]) -> list[bytes]:
    return [record[26:] for record in records]


# ---------------------------------------------------------------- format


def test_unused_queue_has_no_files(store, files):
    queue = DiskQueue("t", store)

    assert queue.depth == 0
    assert queue.take(10) == []
    assert files.names() == []


def test_files_are_as_the_format_has_them(store, files, make_record, make_stored):
    queue = DiskQueue("t:c", store)
    queue.put([make_record(1), make_record(2, attempts=3)])
    queue.close()

    assert files.names() == ["t:c.diskqueue.000000.dat", "t:c.diskqueue.meta.dat"]
    content = make_stored(1) + make_stored(2, deliveries=2)
    assert (files.directory / "t:c.diskqueue.000000.dat").read_bytes() == content
    assert (files.directory / "t:c.diskqueue.meta.dat").read_text() == f"2\n0,0\n0,{len(content)}\n"
    assert {path.stat().st_mode & 0o777 for path in files.directory.iterdir()} == {0o600}


def test_closed_unused_queue_leaves_its_positions_as_the_original_does(store, files):
    DiskQueue("t", store).close()

    assert files.names() == ["t.diskqueue.meta.dat"]
    assert files.meta("t") == (0, (0, 0), (0, 0))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_file_is_begun_before_a_record_would_pass_the_limit(batch, make_store, files, make_record):
    queue = DiskQueue("t", make_store(max_bytes_per_file=300))
    records = [make_record(number, body=b"x" * 70) for number in range(10)]  # 100 bytes each
    records += [make_record(10, body=b"y" * 500), make_record(11, body=b"z")]
    for at in range(0, len(records), batch):
        queue.put(records[at : at + batch])
    queue.close()

    assert files.sizes("t") == {0: 300, 1: 300, 2: 300, 3: 100, 4: 530, 5: 31}
    assert files.meta("t") == (12, (0, 0), (5, 31))
    assert [body for *_, body in files.unread("t")] == bodies(records)
    assert take_all(DiskQueue("t", make_store(max_bytes_per_file=300))) == records


@pytest.mark.parametrize("limit", [0, -1])
def test_each_record_has_a_file_of_its_own_where_there_is_no_room(
    limit, make_store, files, make_record
):
    store = make_store(max_bytes_per_file=limit)
    queue = DiskQueue("t", store)
    records = [make_record(number, body=b"x") for number in range(5)]
    queue.put(records[:3])
    queue.put(records[3:])
    queue.close()

    assert files.sizes("t") == dict.fromkeys(range(5), 31)
    assert take_all(DiskQueue("t", store)) == records


def test_files_that_were_read_are_removed(make_store, files, make_record):
    queue = DiskQueue("t", make_store(max_bytes_per_file=300))
    queue.put([make_record(number, body=b"x" * 70) for number in range(12)])
    assert len(files.sizes("t")) == 4

    queue.take(3)
    queue.take(1)
    assert list(files.sizes("t")) == [1, 2, 3]
    take_all(queue, step=2)
    queue.close()

    assert list(files.sizes("t")) == [3]
    assert files.meta("t") == (0, (3, 300), (3, 300))


def test_what_was_just_taken_is_still_there_after_a_crash(make_store, make_record):
    records = [make_record(number, body=b"x" * 70) for number in range(12)]
    queue = DiskQueue("t", make_store(max_bytes_per_file=300))
    queue.put(records)
    queue.take(2)
    taken = queue.take(8)  # the rest of the first file, all of the second, some of the third
    after_a_crash = take_all(DiskQueue("t", make_store(max_bytes_per_file=300)))
    assert set(after_a_crash) >= {*taken, *records[10:]}


def test_files_that_were_read_go_when_the_queue_rests(make_store, files, make_record):
    store = make_store(max_bytes_per_file=300)
    queue = DiskQueue("t", store)
    queue.put([make_record(number, body=b"x" * 70) for number in range(4)])
    queue.take(3)
    jobs = queue.sync_jobs()
    assert list(files.sizes("t")) == [1]
    jobs.sync_files()
    jobs.note_cursors()
    assert files.meta("t") == (1, (1, 0), (1, 100))


def test_restart_goes_on_where_it_was(store, make_store, files, make_record):
    queue = DiskQueue("t", store)
    queue.put([make_record(number) for number in range(10)])
    queue.take(4)
    queue.close()
    assert [body for *_, body in files.unread("t")] == [b"body %d" % n for n in range(4, 10)]

    queue = DiskQueue("t", make_store())
    assert queue.depth == 6
    queue.put([make_record(10)])
    assert take_all(queue) == [make_record(number) for number in range(4, 11)]


def test_record_larger_than_a_block_is_read(store, make_record):
    queue = DiskQueue("t", store)
    records = [make_record(1, body=b"x" * 300_000), make_record(2), make_record(3, body=b"y" * 99)]
    queue.put(records)

    assert take_all(queue, step=1) == records


def test_large_records_are_taken_a_few_at_a_time(store, make_record):
    records = [make_record(number, body=bytes(1 << 20)) for number in range(12)]
    queue = DiskQueue("t", store)
    queue.put(records)

    assert len(queue.take(5000)) < 8
    assert 0 < queue.depth < 12
    assert take_all(queue)[-1] == records[-1]


def test_records_put_while_a_block_is_being_read_are_read_too(make_store, make_record):
    queue = DiskQueue("t", make_store(max_bytes_per_file=1000))
    number, expected, taken = 0, [], []
    for count in (3, 20, 1, 50, 2, 30):
        records = [make_record(n) for n in range(number, number + count)]
        number += count
        queue.put(records)
        expected += records
        taken += queue.take(count // 2 + 1)
    taken += take_all(queue)

    assert taken == expected


def test_record_of_impossible_size_is_refused(make_store, files, make_record):
    queue = DiskQueue("t", make_store(max_record_size=100))
    for bad in (make_record(1, body=b"x" * 75), b"too short"):
        with pytest.raises(ValueError, match="size"):
            queue.put([make_record(0), bad])

    assert queue.depth == 0
    assert files.names() == []


# ---------------------------------------------------------------- emptying and deleting


def test_emptied_queue_stays_empty_after_a_crash(make_store, files, make_record):
    queue = DiskQueue("t", make_store(max_bytes_per_file=300))
    queue.put([make_record(number, body=b"x" * 70) for number in range(9)])
    queue.take(1)
    queue.empty()
    assert queue.depth == 0
    assert queue.take(5) == []

    assert DiskQueue("t", make_store()).depth == 0
    queue.put([make_record(1)])
    assert take_all(queue) == [make_record(1)]


def test_deleted_queue_leaves_nothing(make_store, files, make_record):
    store = make_store(max_bytes_per_file=300)
    queue = DiskQueue("t", store)
    queue.put([make_record(number, body=b"x" * 70) for number in range(9)])
    late = queue.sync_jobs()
    queue.delete()
    late.sync_files()
    late.note_cursors()
    store.finish()()

    assert files.names() == []


def test_queue_made_anew_is_safe_from_the_removal_of_the_old_one(
    make_store, files, make_record, warnings
):
    store = make_store(max_bytes_per_file=300)
    queue = DiskQueue("t", store)
    queue.put([make_record(number, body=b"x" * 70) for number in range(30)])
    queue.delete()

    again = DiskQueue("t", store)
    assert again.depth == 0
    again.put([make_record(99)])
    store.finish()()
    assert take_all(again) == [make_record(99)]
    assert warnings == []
    again.close()
    assert len(files.sizes("t")) == 1


def test_what_is_passed_on_is_there_until_it_is_settled_and_synced(make_store, files, make_record):
    store = make_store(max_bytes_per_file=300)
    store.due(0)
    queue = DiskQueue("t", store, forwarding=True)
    records = [make_record(number, body=b"x" * 70) for number in range(12)]
    queue.put(records)
    assert queue.take(7) == records[:7]

    store.due(2 * SECOND)()
    assert (files.meta("t"), len(files.sizes("t"))) == ((12, (0, 0), (3, 300)), 4)
    queue.commit()
    assert take_all(DiskQueue("t", make_store())) == records

    store.due(2 * SECOND + 1)()
    assert (files.meta("t"), list(files.sizes("t"))) == ((5, (2, 100), (3, 300)), [2, 3])


# ---------------------------------------------------------------- failing writes


@pytest.fixture
def small_disk():
    """Files can't grow past a size: a write fails half-way, with an error like a full disk's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


@pytest.mark.parametrize("already", [0, 3])
def test_batch_that_does_not_fit_leaves_nothing_behind(
    already, small_disk, store, files, make_record
):
    queue = DiskQueue("t", store)
    records = [make_record(number, body=b"x" * 70) for number in range(already)]
    queue.put(records)
    more = [make_record(number, body=b"x" * 70) for number in range(10, 20)]

    small_disk(550)
    with pytest.raises(OSError, match="File too large"):
        queue.put(more)
    assert queue.depth == already
    assert sum(files.sizes("t").values()) == already * 100

    small_disk(None)
    queue.put(more)
    assert take_all(queue) == records + more


def test_batch_over_several_files_is_written_whole_or_not_at_all(
    small_disk, make_store, files, make_record
):
    queue = DiskQueue("t", make_store(max_bytes_per_file=300))
    first = [make_record(number, body=b"x" * 70) for number in range(2)]
    queue.put(first)
    batch = [make_record(number, body=b"x" * 70) for number in range(2, 7)]
    batch.append(make_record(7, body=b"y" * 500))

    small_disk(400)
    with pytest.raises(OSError, match="File too large"):
        queue.put(batch)
    assert files.sizes("t") == {0: 200}
    small_disk(None)
    queue.put(batch)

    assert take_all(queue) == first + batch


def test_queue_works_again_once_its_directory_is_back(tmp_path, make_store, make_record, warnings):
    data, away = tmp_path / "data", tmp_path / "away"
    store = make_store()
    store.files.directory = str(data)
    queue = DiskQueue("t", store)
    with pytest.raises(FileNotFoundError):
        queue.put([make_record(1)])
    data.mkdir()
    queue.put([make_record(1)])

    data.rename(away)
    data.mkdir()
    sync(queue)  # finds the file gone
    queue.put([make_record(2)])

    assert take_all(queue) == [make_record(2)]
    assert any("missing" in line or "lost" in line for line in warnings)


def test_positions_that_can_not_be_noted_do_not_fail_a_write(
    tmp_path, store, make_record, warnings
):
    queue = DiskQueue("t", store)
    (tmp_path / "t.diskqueue.meta.dat.loop.tmp").mkdir()
    queue.put([make_record(1)])

    assert take_all(queue) == [make_record(1)]
    assert "failed to note positions" in warnings[0]


# ---------------------------------------------------------------- damage


def test_data_beyond_the_noted_end_is_read_and_a_new_file_begun(
    store, files, make_record, make_stored, warnings
):
    rs = [make_stored(number) for number in range(3)]
    files.write("t", {0: b"".join(rs)}, f"1\n0,0\n0,{len(rs[0])}\n")
    queue = DiskQueue("t", store)
    queue.put([make_record(3)])

    assert list(files.sizes("t")) == [0, 1]
    assert take_all(queue) == [make_record(number) for number in range(4)]
    assert queue.depth == 0
    assert len(warnings) == 1


def test_crash_after_a_recovery_loses_nothing(make_store, files, make_record, make_stored):
    files.write("t", {1: make_stored(1)}, "0\n1,0\n1,0\n")
    queue = DiskQueue("t", make_store())
    assert take_all(queue) == [make_record(1)]
    queue.put([make_record(2)])

    assert take_all(DiskQueue("t", make_store())) == [make_record(2)]


def test_files_without_positions_are_read(store, files, make_record, make_stored):
    files.write("t", {0: make_stored(0) + make_stored(1), 1: make_stored(2)}, None)

    assert take_all(DiskQueue("t", store)) == [make_record(number) for number in range(3)]


def test_files_without_positions_are_read_whatever_their_numbers(
    make_store, files, make_record, make_stored, warnings
):
    files.write("t", {7: make_stored(1) + make_stored(2), 9: make_stored(3)}, None)
    files.write("t:c", {0: make_stored(4)}, None)
    queue = DiskQueue("t", make_store())
    queue.put([make_record(5)])

    assert take_all(queue) == [make_record(number) for number in (1, 2, 3, 5)]
    assert "reading all of 2 files" in warnings[0]


@pytest.mark.parametrize("first", [0, 1])
def test_files_that_could_not_be_noted_any_more_are_read(
    first, make_store, files, make_record, make_stored
):
    """A full disk takes no new meta file; and the file that it speaks of may be read and gone."""
    stored = {number: make_stored(number) for number in range(4)}
    end = len(stored[0])
    files.write("t", dict(list(stored.items())[first:]), f"1\n0,{first * end}\n0,{end}\n")
    queue = DiskQueue("t", make_store())
    queue.put([make_record(9)])

    assert take_all(queue) == [make_record(number) for number in (*range(first, 4), 9)]


@pytest.mark.parametrize(
    "meta", ["", "garbage", "1\n0,0\n", "1\n0,0\n99999999999,0\n", "1\n0,-1\n0,5\n", "2\n7,0\n9,3"]
)
def test_garbage_for_positions_is_set_aside_and_the_files_are_read(
    meta, store, files, make_record, make_stored, warnings
):
    files.write("t", {7: make_stored(0), 9: make_stored(1)}, meta)
    queue = DiskQueue("t", store)

    assert take_all(queue) == [make_record(0), make_record(1)]
    assert "t.diskqueue.meta.dat.bad" in files.names()
    assert "setting it aside" in warnings[0]


def test_impossible_size_sets_the_file_aside(store, files, make_record, make_stored, warnings):
    bad = struct.pack(">i", 3) + bytes(60)
    after = make_stored(2)
    files.write("t", {0: make_stored(1) + bad, 1: after}, f"3\n0,0\n1,{len(after)}\n")

    assert take_all(DiskQueue("t", store)) == [make_record(1), make_record(2)]
    assert "t.diskqueue.000000.dat.bad" in files.names()
    assert "invalid record size 3" in warnings[0]


def test_unfinished_record_sets_the_file_aside(store, files, make_record, make_stored, warnings):
    content, after = make_stored(1) + make_stored(2)[:-3], make_stored(3)
    files.write("t", {7: content, 8: after}, f"3\n7,0\n8,{len(after)}\n")
    queue = DiskQueue("t", store)

    assert take_all(queue) == [make_record(1), make_record(3)]
    assert "t.diskqueue.000007.dat.bad" in files.names()
    assert queue.depth == 0
    queue.put([make_record(4)])
    assert take_all(queue) == [make_record(4)]


def test_damage_in_the_last_file_does_not_stop_writing(store, files, make_record, make_stored):
    bad = make_stored(1) + struct.pack(">i", -5) + bytes(60)
    files.write("t", {0: bad}, f"2\n0,0\n0,{len(bad)}\n")
    queue = DiskQueue("t", store)

    assert queue.take(10) == [make_record(1)]
    queue.put([make_record(2)])
    assert take_all(queue) == [make_record(2)]
    assert list(files.sizes("t")) == [1]


def test_shortened_last_file_loses_only_what_was_cut(store, files, make_record, make_stored):
    files.write("t", {0: make_stored(1)}, f"5\n0,0\n0,{5 * len(make_stored(1))}\n")
    queue = DiskQueue("t", store)
    queue.put([make_record(2)])

    assert take_all(queue) == [make_record(1), make_record(2)]
    assert queue.depth == 0


def test_missing_files_are_skipped(store, files, make_record, make_stored, warnings):
    after = make_stored(2)
    files.write("t", {0: make_stored(1), 40: after}, f"9\n0,0\n40,{len(after)}\n")
    queue = DiskQueue("t", store)

    assert take_all(queue) == [make_record(1), make_record(2)]
    assert len(warnings) == 2  # one file missing, fewer messages than noted


def test_noted_to_be_read_further_than_written_starts_anew(store, files, make_record, warnings):
    files.write("t", {}, "3\n5,0\n4,0\n")
    queue = DiskQueue("t", store)
    assert take_all(queue) == []
    queue.put([make_record(1)])

    assert take_all(queue) == [make_record(1)]
    assert warnings


def test_file_in_the_way_of_writing_is_set_aside(make_store, files, make_record, warnings):
    queue = DiskQueue("t", make_store(max_bytes_per_file=100))
    queue.put([make_record(1, body=b"x" * 70)])
    files.write("t", {1: b"stale"}, None)
    records = [make_record(2, body=b"y" * 70), make_record(3)]
    queue.put(records)

    assert bodies(take_all(queue))[1:] == bodies(records)
    assert "t.diskqueue.000001.dat.bad" in files.names()


def test_file_that_can_not_be_opened_now_is_not_given_up(monkeypatch, store, make_record, warnings):
    queue = DiskQueue("t", store)
    queue.put([make_record(1)])

    def refuse(path, flags, *rest):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(SYSTEM, "open", refuse)
        assert queue.take(5) == []
        assert queue.take(5) == []
    assert queue.depth == 1
    assert len(warnings) == 1
    assert take_all(queue) == [make_record(1)]


def test_ten_million_records_open_at_once(store, files, make_record, make_stored):
    block = make_stored(0) * 1000
    path = files.directory / "t.diskqueue.000000.dat"
    with path.open("wb") as file:
        file.write(block)
        file.truncate(3_700_000_000)  # sparse: nobody may walk through it
    files.write("t", {}, "10000000\n0,0\n0,3700000000\n")
    queue = DiskQueue("t", store)

    assert queue.depth == 10_000_000
    assert queue.take(1000) == [make_record(0)] * 1000
    assert queue.depth == 9_999_000
    queue.empty()
    assert queue.depth == 0


# ---------------------------------------------------------------- the whole, against a model


@pytest.mark.slow
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_it_is_a_queue_through_restarts_and_crashes(
    data, tmp_path_factory, make_record, make_store
):
    directory = tmp_path_factory.mktemp("queue")

    def open_queue() -> DiskQueue:
        store = make_store(max_bytes_per_file=data.draw(st.sampled_from([60, 300, 5000])))
        store.files.directory = str(directory)
        return DiskQueue("t", store)

    queue, model, number = open_queue(), deque(), 0
    seen_since_sync: list[bytes] = []
    steps = st.sampled_from(["put", "put", "take", "take", "sync", "restart", "crash", "empty"])
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(steps)
        if step == "put":
            count, size = data.draw(st.integers(0, 12)), data.draw(st.integers(0, 80))
            records = [make_record(n, body=b"b" * size) for n in range(number, number + count)]
            number += count
            queue.put(records)
            model += records
        elif step == "take":
            taken = queue.take(data.draw(st.integers(1, 15)))
            assert taken == [model.popleft() for _ in taken]
            assert taken or not model
            seen_since_sync += taken
        elif step == "sync":
            sync(queue)
            seen_since_sync = []
        elif step == "restart":
            queue.close()
            queue = open_queue()
            seen_since_sync = []
        elif step == "empty":
            queue.empty()
            model.clear()
            seen_since_sync = []
        else:  # the process is gone: what is in the page cache stays, reads may come again
            queue.release()
            queue = open_queue()
            expected = list(model)
            found = take_all(queue)
            again = found[: len(found) - len(expected)]
            assert found[len(again) :] == expected
            assert again == seen_since_sync[len(seen_since_sync) - len(again) :]
            model.clear()
            seen_since_sync = found
        if step != "crash":
            assert (queue.depth > 0) == bool(model)
    assert take_all(queue) == list(model)


@pytest.mark.slow
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_happens_to_the_files_writing_goes_on_and_loses_nothing(
    data, tmp_path_factory, make_record, make_store
):
    directory = tmp_path_factory.mktemp("damaged")
    store = make_store(max_bytes_per_file=300)
    store.files.directory = str(directory)
    queue = DiskQueue("t", store)
    records = [make_record(number) for number in range(data.draw(st.integers(1, 40)))]
    queue.put(records)
    queue.take(data.draw(st.integers(0, 20)))
    queue.close()
    names = sorted(path.name for path in directory.iterdir())
    for name in data.draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        damage(data, directory / name)

    queue = DiskQueue("t", store)
    fresh = [make_record(number) for number in range(100, 110)]
    queue.put(fresh)
    found = take_all(queue)

    kept = b"".join(path.read_bytes() for path in directory.glob("*.bad"))
    assert [record for record in fresh if record not in found and record[10:] not in kept] == []
    assert queue.depth == 0
    queue.put(fresh)
    assert take_all(queue) == fresh


def damage(data, path) -> None:
    content = bytearray(path.read_bytes())
    match data.draw(st.sampled_from(["cut", "flip", "append", "remove"])):
        case "cut":
            del content[data.draw(st.integers(0, len(content))) :]
        case "flip" if content:
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        case "append":
            content += data.draw(st.binary(max_size=40))
        case "remove":
            path.unlink()
            return
    path.write_bytes(content)


def test_a_meta_file_that_cannot_be_read_is_named(store, files):
    meta = files.directory / "t.diskqueue.meta.dat"
    meta.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        DiskQueue("t", store)
    assert caught.value.filename == str(meta)
