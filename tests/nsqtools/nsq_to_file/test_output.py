"""The files of one topic."""

import errno
import gzip
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from nsqtools.nsq_to_file import log_file
from nsqtools.nsq_to_file.output import Output, OutputSettings

START = time.strptime("2026-11-03 07:05:09", "%Y-%m-%d %H:%M:%S")
LATER = time.strptime("2026-11-03 08:00:00", "%Y-%m-%d %H:%M:%S")


@attrs.define
class Bench:
    """Outputs into a temporary directory, and clocks to turn."""

    folder: Path
    now: time.struct_time = START
    seconds: float = 0.0

    def output(self, template: str = "t<REV>.log", **settings: object) -> Output:
        fields: dict[str, object] = {
            "template": template,
            "datetime_format": "%H",
            "output_dir": str(self.folder / "out"),
            "work_dir": str(self.folder / "out"),
            "gzip_level": 0,
            "rotate_size": 0,
            "rotate_interval": 0.0,
            "skip_empty_files": False,
        }
        return Output(
            OutputSettings(**(fields | settings)),
            "t",
            now=lambda: self.now,
            clock=lambda: self.seconds,
        )

    def work(self) -> dict[str, object]:
        return {"work_dir": str(self.folder / "work")}

    def files(self, folder: str = "out") -> dict[str, bytes]:
        top = self.folder / folder
        paths = sorted(path for path in top.rglob("*") if path.is_file())
        return {str(path.relative_to(top)): path.read_bytes() for path in paths}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_records_are_lines(bench):
    output = bench.output("t.log")
    output.write([b"one", b"two"])
    output.write([b"three"])
    output.close()
    assert bench.files() == {"t.log": b"one\ntwo\nthree\n"}


def test_a_file_that_is_there_is_appended_to(bench):
    for record in (b"one", b"two"):
        output = bench.output("t.log")
        output.write([record])
        output.close()
    assert bench.files() == {"t.log": b"one\ntwo\n"}


def test_half_a_line_of_a_killed_process_does_not_swallow_the_next(bench):
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "t.log").write_bytes(b"one\ntw")
    output = bench.output("t.log")
    output.write([b"two"])
    output.write([b"three"])
    output.close()
    assert bench.files() == {"t.log": b"one\ntw\ntwo\nthree\n"}


def test_a_new_name_begins_a_new_file(bench):
    output = bench.output("<DATETIME>/t.log")
    assert output.write([b"one"]) is True
    assert output.write([b"two"]) is False
    bench.now = LATER
    assert output.write([b"three"]) is True
    output.close()
    assert bench.files() == {"07/t.log": b"one\ntwo\n", "08/t.log": b"three\n"}


def test_a_file_beyond_its_size_is_followed_by_the_next(bench):
    output = bench.output(rotate_size=7)
    output.write([b"one", b"two", b"three", b"four"])
    output.close()
    assert bench.files() == {"t-000000.log": b"one\ntwo\n", "t-000001.log": b"three\nfour\n"}


def test_one_that_is_not_full_yet_is_gone_on_with(bench):
    for _ in range(3):
        output = bench.output(rotate_size=5)
        output.write([b"one"])
        output.close()
    assert bench.files() == {"t-000000.log": b"one\none\n", "t-000001.log": b"one\n"}


def test_a_file_that_is_old_is_followed_by_the_next(bench):
    output = bench.output(rotate_interval=60.0)
    output.write([b"one"])
    bench.seconds = 60.0
    output.write([b"two"])
    bench.seconds = 60.1
    output.write([b"three"])
    output.close()
    assert bench.files() == {"t-000000.log": b"one\ntwo\n", "t-000001.log": b"three\n"}


def test_time_alone_begins_a_file_unless_empty_ones_are_unwanted(bench):
    output = bench.output("a<REV>", rotate_interval=60.0)
    other = bench.output("b<REV>", rotate_interval=60.0, skip_empty_files=True)
    for one in (output, other):
        one.tick()
    other.write([b"one"])
    bench.seconds = 61.0
    for one in (output, other):
        one.tick()
        one.tick()
        one.close()
    assert bench.files() == {"a-000000": b"", "a-000001": b"", "b-000000": b"one\n"}


@pytest.mark.parametrize("settings", [{"gzip_level": 6}, {"rotate_interval": 60.0}])
def test_compressed_and_timed_files_are_always_new_ones(bench, settings):
    for _ in range(2):
        output = bench.output(**settings)
        output.write([b"one"])
        output.close()
    assert list(bench.files()) == ["t-000000.log", "t-000001.log"]


@pytest.mark.parametrize("level", [1, 6, 9])
def test_a_compressed_file_can_be_read_after_each_sync(bench, level):
    output = bench.output(gzip_level=level)
    for number in range(3):
        output.write([b"%d" % number] * 1000)
        output.sync()
        (content,) = bench.files().values()
        assert gzip.decompress(content).count(b"\n") == 1000 * (number + 1)
        output.sync()
    output.close()
    (content,) = bench.files().values()
    assert gzip.decompress(content) == b"0\n" * 1000 + b"1\n" * 1000 + b"2\n" * 1000


def test_between_two_syncs_no_part_of_a_member_is_in_the_file(bench):
    output = bench.output(gzip_level=1)
    output.write([os.urandom(1000) for _ in range(100)])
    assert list(bench.files().values()) == [b""]
    output.sync()
    (content,) = bench.files().values()
    assert len(content) > 100_000


def test_a_large_member_ends_early(bench, monkeypatch):
    monkeypatch.setattr(log_file, "MEMBER_LIMIT", 10_000)
    output = bench.output(gzip_level=1)
    records = [os.urandom(1000) for _ in range(100)]
    for record in records:
        output.write([record])
    (content,) = bench.files().values()
    assert gzip.decompress(content)
    output.close()
    (content,) = bench.files().values()
    assert gzip.decompress(content) == b"".join(record + b"\n" for record in records)


def test_large_records_that_do_not_shrink_are_stored(bench):
    """Compressing what is compressed already took most of the CPU."""
    packed, text = os.urandom(1024 * 1024), b"text " * 200_000
    records = [packed, b"small", text, packed, packed, b"small"]
    output = bench.output(gzip_level=6)
    for record in records:
        output.write([record])
    output.sync()
    [content] = bench.files().values()
    assert gzip.decompress(content) == b"".join(record + b"\n" for record in records)
    assert content.count(packed[1000:5000]) == 3
    assert len(content) < 3.01 * len(packed)


def test_size_of_a_compressed_file_is_that_of_its_records(bench):
    output = bench.output(gzip_level=9, rotate_size=1000)
    output.write([b"x" * 600] * 4)
    output.close()
    assert [len(gzip.decompress(content)) for content in bench.files().values()] == [1202, 1202]


def test_finished_files_move(bench):
    output = bench.output("<DATETIME>/t<REV>.log", **bench.work())
    output.write([b"one"])
    assert (list(bench.files("work")), bench.files()) == (["07/t-000000.log"], {})
    bench.now = LATER
    output.write([b"two"])
    assert bench.files() == {"07/t-000000.log": b"one\n"}
    output.close()
    assert bench.files() == {"07/t-000000.log": b"one\n", "08/t-000000.log": b"two\n"}
    assert bench.files("work") == {}


def test_a_number_that_is_taken_in_the_output_directory_is_left_out(bench):
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "t-000000.log").write_bytes(b"precious")
    output = bench.output(**bench.work())
    output.write([b"one"])
    output.close()
    assert bench.files() == {"t-000000.log": b"precious", "t-000001.log": b"one\n"}


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(bench):
    output = bench.output(**bench.work())
    output.write([b"one"])
    for number in range(2):
        (bench.folder / "out" / f"t-{number:06d}.log").write_bytes(b"precious")
    output.close()
    assert bench.files() == {
        "t-000000.log": b"precious",
        "t-000001.log": b"precious",
        "t-000002.log": b"one\n",
    }
    assert bench.files("work") == {}


def test_after_closing_another_file_begins(bench):
    output = bench.output(**bench.work())
    for record in (b"one", b"two"):
        output.write([record])
        output.close()
    output.close()
    assert bench.files() == {"t-000000.log": b"one\n", "t-000001.log": b"two\n"}


def fill_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> Callable[[], None]:
    """Let only ``room`` more bytes be written; returns what makes room again."""
    write = os.write
    left = [room]

    def limited(descriptor: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, bytes(data[: left[0]]))
        left[0] -= written
        return written

    monkeypatch.setattr(log_file.os, "write", limited)
    return monkeypatch.undo


def test_a_full_disk_leaves_only_whole_records(bench, monkeypatch):
    output = bench.output("t.log")
    output.write([b"one"])
    free = fill_disk(monkeypatch, 5)
    with pytest.raises(OSError, match=r"No space left.*t\.log"):
        output.write([b"two", b"three"])
    output.abandon()
    free()
    assert bench.files() == {"t.log": b"one\n"}


def test_a_full_disk_leaves_only_whole_members(bench, monkeypatch):
    output = bench.output(gzip_level=6)
    output.write([b"one"])
    output.sync()
    output.write([b"two"])
    free = fill_disk(monkeypatch, 10)
    with pytest.raises(OSError, match="No space left"):
        output.sync()
    output.abandon()
    free()
    (content,) = bench.files().values()
    assert gzip.decompress(content) == b"one\n"


def test_a_full_disk_does_not_fill_with_empty_files(bench, monkeypatch):
    free = fill_disk(monkeypatch, 0)
    for _ in range(3):
        output = bench.output(gzip_level=6)
        output.write([b"one"])
        with pytest.raises(OSError, match="No space left"):
            output.sync()
        output.abandon()
    free()
    assert bench.files() == {}


def test_what_another_process_appended_is_never_taken_back(bench, monkeypatch):
    output = bench.output("t.log")
    output.write([b"one"])
    write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        if not done:
            done.append(write(descriptor, bytes(data[:2])))
            with open(bench.folder / "out" / "t.log", "ab") as other:
                other.write(b"other\n")
            return 2
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    done: list[int] = []
    monkeypatch.setattr(log_file.os, "write", interrupted)
    with pytest.raises(OSError, match="No space left"):
        output.write([b"two"])
    output.abandon()
    monkeypatch.undo()
    assert bench.files()["t.log"].endswith(b"other\n")


def test_files_can_be_read_by_the_group_as_the_mask_allows(bench):
    before = os.umask(0o027)
    try:
        output = bench.output("sub/t.log")
        output.write([b"one"])
        output.close()
    finally:
        os.umask(before)
    assert (bench.folder / "out" / "sub" / "t.log").stat().st_mode & 0o777 == 0o640
    assert (bench.folder / "out" / "sub").stat().st_mode & 0o777 == 0o750


def test_a_compressed_file_without_messages_is_a_whole_gzip_file(bench):
    output = bench.output("t<REV>.log.gz", gzip_level=6)
    output.tick()
    output.sync()
    (content,) = bench.files().values()
    assert gzip.decompress(content) == b""
    output.close()
    assert [gzip.decompress(content) for content in bench.files().values()] == [b""]


def test_a_compressed_file_that_moves_without_messages_is_a_whole_gzip_file(bench):
    output = bench.output("t<REV>.log.gz", gzip_level=6, **bench.work())
    output.tick()
    output.close()
    assert [gzip.decompress(content) for content in bench.files().values()] == [b""]


def test_files_rotate_by_time_though_no_message_comes(bench):
    output = bench.output(rotate_interval=60.0)
    for second in (0.0, 0.001 + 59.99, 120.0):  # ticks come a little early and a little late
        bench.seconds = second
        output.tick()
        output.sync()
        bench.seconds = second + 0.002
    output.close()
    assert bench.files() == {"t-000000.log": b"", "t-000001.log": b"", "t-000002.log": b""}


def test_directories_are_for_the_user_and_the_group(bench):
    old = os.umask(0o022)
    try:
        output = bench.output("a/b/t<REV>.log", **bench.work())
        output.write([b"one"])
        output.close()
    finally:
        os.umask(old)
    for folder in ("out/a", "out/a/b", "work/a", "work/a/b", "out", "work"):
        assert (bench.folder / folder).stat().st_mode & 0o777 == 0o750, folder


def test_a_file_that_was_removed_is_noticed_at_the_sync(bench):
    output = bench.output("t.log")
    output.write([b"one"])
    output.sync()
    output.write([b"two"])
    (bench.folder / "out" / "t.log").unlink()
    with pytest.raises(log_file.FileRemovedError, match=r"t\.log"):
        output.sync()
    output.forget()
    output.write([b"two"])
    output.close()
    assert bench.files() == {"t.log": b"two\n"}


@pytest.mark.parametrize("gzip_level", [0, 6])
def test_a_directory_that_was_removed_is_noticed_and_made_again(bench, gzip_level):
    output = bench.output(gzip_level=gzip_level, **bench.work())
    output.write([b"one"])
    for folder in ("out", "work"):
        shutil.rmtree(bench.folder / folder)
    with pytest.raises(log_file.FileRemovedError):
        output.close()
    output.forget()
    output.write([b"one"])
    output.close()
    (content,) = bench.files().values()
    assert (gzip.decompress(content) if gzip_level else content) == b"one\n"


def left_output(bench: Bench, **settings: object) -> Output:
    """An output whose files may have leftovers of other processes and hours."""
    return bench.output(
        "t<REV>.<DATETIME>.77.log",
        leftover_template="t<REV>.<DATETIME>.<PID>.log",
        datetime_format="%Y-%m-%d_%H",
        **bench.work(),
        **settings,
    )


def leave(bench: Bench, files: dict[str, bytes]) -> None:
    (bench.folder / "work").mkdir(exist_ok=True)
    for name, content in files.items():
        (bench.folder / "work" / name).write_bytes(content)


def test_what_an_earlier_run_left_in_the_work_directory_is_finished(bench):
    left = {
        "t-000000.2026-11-02_07.77.log": b"yesterday\n",
        "t-000001.2026-11-03_07.12.log": b"another process\n",
        "t-000003.2026-11-03_07.77.log": b"too large\n",
    }
    other = {"other-000000.2026-11-02_07.77.log": b"x\n", "t-1.2026-11-02_07.77.log": b"x\n"}
    going_on = {"t-000000.2026-11-03_07.77.log": b"ok\n"}
    leave(bench, left | other | going_on | {"t-000009.2026-11-02_07.77.log": b""})
    output = left_output(bench, rotate_size=5)
    output.finish_leftovers()
    assert bench.files() == left
    assert bench.files("work") == other | going_on
    output.write([b"new"])
    output.close()
    assert bench.files() == left | {"t-000000.2026-11-03_07.77.log": b"ok\nnew\n"}


def test_a_leftover_never_overwrites_a_finished_file(bench):
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "t-000000.2026-11-02_07.77.log").write_bytes(b"finished\n")
    leave(bench, {"t-000000.2026-11-02_07.77.log": b"left\n"})
    left_output(bench).finish_leftovers()
    assert bench.files() == {
        "t-000000.2026-11-02_07.77.log": b"finished\n",
        "t-000001.2026-11-02_07.77.log": b"left\n",
    }


def test_a_file_that_another_process_writes_is_no_leftover(bench):
    running = left_output(bench, rotate_interval=60.0)
    running.write([b"one"])
    other = left_output(bench, rotate_interval=60.0)
    other.finish_leftovers()
    assert bench.files() == {}
    running.write([b"two"])
    running.close()
    assert list(bench.files().values()) == [b"one\ntwo\n"]


def test_half_a_gzip_member_of_a_killed_process_is_cut_off(bench):
    whole = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    leave(
        bench,
        {
            "t-000000.2026-11-02_07.77.log": whole + gzip.compress(b"three\n" * 99)[:-9],
            "t-000001.2026-11-02_07.77.log": gzip.compress(b"nothing whole")[:9],
        },
    )
    left_output(bench, gzip_level=6).finish_leftovers()
    assert bench.files() == {"t-000000.2026-11-02_07.77.log": whole}
    assert bench.files("work") == {}


@pytest.mark.slow
@pytest.mark.parametrize("gzip_level", [0, 1])
def test_large_records_are_written_piece_by_piece(bench, gzip_level):
    output = bench.output("t<REV>.log", gzip_level=gzip_level)
    record = bytes(range(256)) * 80_000  # 20 MB
    tracemalloc.start()
    try:
        output.write([memoryview(record)] * 3)
        output.sync()
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    output.close()
    (content,) = bench.files().values()
    assert (gzip.decompress(content) if gzip_level else content) == (record + b"\n") * 3
