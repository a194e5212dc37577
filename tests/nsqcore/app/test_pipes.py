"""What the ends of a process's pipes mean to it."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PATIENCE = 60.0


def start(code: str) -> subprocess.Popen[bytes]:
    program = f"from nsqcore.app.pipes import *\n{code}"
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)


def test_a_process_stops_when_its_parent_lets_go_of_its_input():
    process = start("stop_at_end_of_input(); signal.pause()")
    try:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGTERM
    finally:
        process.kill()


def test_a_process_without_a_reader_ends_by_the_signal_that_shells_know():
    process = start("end_by_broken_pipe()")
    try:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGPIPE
    finally:
        process.kill()
