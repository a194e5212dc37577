"""Real daemons, and programs written with other clients."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE

Peer = Callable[..., Callable[[], list[bytes]]]


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Starts ``<client>_peer.py``; what it gives waits for the end and returns the lines."""
    running: list[subprocess.Popen[bytes]] = []

    def start(
        client: str, *arguments: str, feed: list[bytes] | None = None
    ) -> Callable[[], list[bytes]]:
        program = Path(__file__).with_name(f"{client}_peer.py")
        process = subprocess.Popen(
            [sys.executable, str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)

        def result() -> list[bytes]:
            text = b"".join(line + b"\n" for line in feed or ())
            out, err = process.communicate(text, PATIENCE * 3)
            assert process.returncode == 0, err.decode(errors="replace")[-3000:]
            return out.splitlines()

        return result

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def pynsq(peer: Peer) -> Peer:
    """Starts a program written with pynsq."""
    return partial(peer, "pynsq")
