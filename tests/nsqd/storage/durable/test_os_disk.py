"""The calls of durable storage on a real file system."""

from pathlib import Path

import pytest

from nsqd.storage.durable.journal.files import JournalFiles
from nsqd.storage.files.durable_disk import OsDisk


def test_room_is_reserved_without_making_the_file_longer(tmp_path: Path):
    disk = OsDisk()
    descriptor = disk.open(str(tmp_path / "segment"), create=True)
    try:
        disk.reserve(descriptor, 0, 1 << 20)
        assert (tmp_path / "segment").stat().st_size == 0
        assert (tmp_path / "segment").stat().st_blocks * 512 >= 1 << 20
    finally:
        disk.close(descriptor)


def test_a_disk_without_room_says_so_before_anything_is_written(tmp_path: Path):
    disk = OsDisk()
    descriptor = disk.open(str(tmp_path / "segment"), create=True)
    try:
        with pytest.raises(OSError, match=r"No space left|too large"):
            disk.reserve(descriptor, 0, 1 << 50)
    finally:
        disk.close(descriptor)


def test_a_journal_file_whose_maker_was_killed_is_no_damage(tmp_path: Path):
    (tmp_path / "journal.000001").write_bytes(bytes(1 << 16))
    (found,) = JournalFiles(OsDisk(), str(tmp_path), file_size=1 << 16).find()
    assert found.blank
