"""The original's programs, from the folder that NSQ_ORIGINAL names, for tests of both together."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE, wait_until

FOLDER = os.environ.get("NSQ_ORIGINAL", "")


def original(program: str) -> Path:
    """The original's program; skips the test where it is not at hand."""
    if not FOLDER:
        pytest.skip("NSQ_ORIGINAL names no folder with the programs of the original")
    found = Path(FOLDER).absolute() / program
    if not os.access(found, os.X_OK):
        pytest.skip(f"NSQ_ORIGINAL: there is no {found}")
    return found


def run(program: Path, *flags: str, lines: list[bytes] | None = None) -> list[bytes]:
    """What a utility prints until it ends by itself, given ``lines`` to read."""
    fed = b"".join(line + b"\n" for line in lines or [])
    done = subprocess.run(
        [program, *flags], input=fed, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.splitlines()


@contextlib.contextmanager
def running(program: Path, log: Path, *flags: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that ends with the block; ``log`` has all that it says."""
    with log.open("wb") as told, open(os.devnull, "rb") as nothing:
        command = [str(program), *flags]
        with subprocess.Popen(command, stdin=nothing, stdout=told, stderr=told) as process:
            try:
                yield process
            finally:
                process.terminate()


@contextlib.contextmanager
def admin(program: Path, folder: Path, *flags: str) -> Iterator[str]:
    """The address of an nsqadmin, the original's or ours."""
    log = folder / f"{program.parent.name}-nsqadmin.log"
    listening = re.compile(rb"HTTP: listening on (127\.0\.0\.1:\d+)")
    with running(program, log, "--http-address=127.0.0.1:0", *flags):
        wait_until(lambda: listening.search(log.read_bytes()), "nsqadmin listens")
        found = listening.search(log.read_bytes())
        assert found is not None
        yield found[1].decode()
