"""Moving files without overwriting."""

import errno
import os
import shutil
from pathlib import Path
from typing import BinaryIO

import pytest

from nsqtools.nsq_to_file import moving
from nsqtools.nsq_to_file.moving import move_exclusively


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("work", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "f").write_bytes(b"content")
    return tmp_path / "work" / "f", tmp_path / "out" / "f"


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Links fail between two names; from a file without a name they work, as on another disk."""
    real = os.link

    def link(source: str, target: str, **directory: int) -> None:
        if not directory:
            raise OSError(number, os.strerror(number), source, None, target)
        real(source, target, **directory)

    monkeypatch.setattr(moving.os, "link", link)


@pytest.fixture(params=["nameless", "hidden"])
def copying(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to copy: where the file system knows files without a name, and where not."""
    if request.param == "hidden":
        monkeypatch.setattr(moving, "_open_unnamed", lambda folder: None)


LINKS = [None, errno.EXDEV, errno.EPERM]


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("refused", LINKS)
def test_a_file_moves(folders, monkeypatch, refused):
    source, target = folders
    if refused:
        refuse_links(monkeypatch, refused)
    move_exclusively(str(source), str(target))
    assert target.read_bytes() == b"content"
    assert os.listdir(source.parent) == []
    assert os.listdir(target.parent) == ["f"]


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("refused", LINKS)
def test_a_file_that_is_there_is_never_overwritten(folders, monkeypatch, refused):
    source, target = folders
    target.write_bytes(b"precious")
    if refused:
        refuse_links(monkeypatch, refused)
    with pytest.raises(FileExistsError):
        move_exclusively(str(source), str(target))
    assert (source.read_bytes(), target.read_bytes()) == (b"content", b"precious")
    assert os.listdir(target.parent) == ["f"]


@pytest.mark.usefixtures("copying")
def test_a_full_disk_leaves_no_litter(folders, monkeypatch):
    source, target = folders
    refuse_links(monkeypatch, errno.EXDEV)

    def copy(old: object, new: object, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(moving.shutil, "copyfileobj", copy)
    with pytest.raises(OSError, match=f"No space left.*{target}"):
        move_exclusively(str(source), str(target))
    assert source.read_bytes() == b"content"
    assert os.listdir(target.parent) == []


def test_a_process_killed_while_copying_leaves_nothing_behind(folders, monkeypatch):
    source, target = folders
    probe = moving._open_unnamed(str(target.parent))
    if probe is None:
        pytest.skip("the file system has no files without a name")
    os.close(probe)
    refuse_links(monkeypatch, errno.EXDEV)
    seen = []
    real = shutil.copyfileobj

    def copy(old: BinaryIO, new: BinaryIO, size: int) -> None:
        real(old, new, size)
        seen.append(os.listdir(target.parent))

    monkeypatch.setattr(moving.shutil, "copyfileobj", copy)
    move_exclusively(str(source), str(target))
    assert seen == [[]]
    assert os.listdir(target.parent) == ["f"]


def test_other_errors_are_told(folders):
    source, target = folders
    with pytest.raises(FileNotFoundError):
        move_exclusively(str(source), str(target.parent / "missing" / "f"))
    assert source.read_bytes() == b"content"
