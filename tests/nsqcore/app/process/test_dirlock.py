"""One daemon at a time in a data directory."""

import fcntl
import os

import pytest

from nsqcore.app.process.dirlock import DirectoryLocked, lock_directory


def test_a_directory_is_had_by_one_at_a_time(tmp_path):
    with lock_directory(str(tmp_path)), pytest.raises(DirectoryLocked, match=str(tmp_path)):
        lock_directory(str(tmp_path))
    lock_directory(str(tmp_path)).release()


def test_the_lock_is_flock_on_the_directory_itself(tmp_path):
    lock = lock_directory(str(tmp_path))
    assert os.listdir(tmp_path) == []
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)
        lock.release()
        lock.release()


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_what_is_no_directory_is_refused_by_name(tmp_path, kind):
    path = tmp_path / "there"
    if kind == "file":
        path.write_text("")
    with pytest.raises(DirectoryLocked, match="there"):
        lock_directory(str(path))


def test_an_empty_path_is_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lock_directory("") as lock:
        assert lock.path == str(tmp_path)
