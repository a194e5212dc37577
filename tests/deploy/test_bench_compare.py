"""`make bench-compare` where it cannot be done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("path", "told"),
    [("/nonexistent", "git is needed"), (os.environ["PATH"], "no-such-revision cannot be")],
)
def test_what_is_missing_is_told_in_a_line(path, told):
    """A traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare", "--base=no-such-revision"],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("bench.compare: ")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
