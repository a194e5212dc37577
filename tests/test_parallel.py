"""`tests.support.parallel`: what a run in several processes tells is what one in one would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ONE = """
import os, pytest, warnings

warnings.warn("once for all")

def test_before(): pass
def test_that_ends_its_process(): os._exit(3)
def test_after(tmp_path): print("printed"); os.write(1, b"written"); assert tmp_path == 2
"""
OTHER = """
import pytest, warnings

@pytest.fixture(scope="session")
def kept():
    yield
    raise ValueError("at the end")

def test_skipped(): pytest.skip("for a reason")
def test_warns(): warnings.warn("have a look")
def test_kept(kept): pass
"""

LONG = """
import os, pathlib, pytest, select

@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_where_another_process_comes_to(number):
    pathlib.Path(f"{os.getpid()}.pid").touch()
    for _ in range(6000):
        if len(list(pathlib.Path().glob("*.pid"))) == 2:
            return
        select.select([], [], [], 0.01)
    raise AssertionError("nobody came")
"""


def run(folder: Path, *arguments: str, status: int = 1, **files: str) -> str:
    for name, content in (files or {"test_one": ONE, "test_other": OTHER}).items():
        (folder / f"{name}.py").write_text(content)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:asyncio",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
    ]
    command += ["-p", "tests.support.parallel", "--workers=2", "-rs", *arguments, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_every_test_is_run_and_told_of(tmp_path: Path) -> None:
    told = run(tmp_path)
    assert "2 failed, 3 passed, 1 skipped, 2 warnings, 1 error" in told, told
    for text in (
        "the process of this test ended with status 3",
        "printed\nwritten",
        "ValueError: at the end",
        "for a reason",
        "UserWarning: have a look",
        "UserWarning: once for all",
        "worker-",  # folders of their own
    ):
        assert text in told, told


@pytest.mark.slow
def test_it_stops_where_it_is_to_stop(tmp_path: Path) -> None:
    told = run(tmp_path, "-x", "-k", "one and not that")
    assert "1 failed, 1 passed" in told
    assert "stopping after 1 failures" in told


@pytest.mark.slow
def test_who_has_nothing_to_do_gets_half_of_a_file(tmp_path: Path) -> None:
    assert "8 passed" in run(tmp_path, status=0, test_long=LONG)
