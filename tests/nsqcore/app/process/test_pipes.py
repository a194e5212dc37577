"""What the ends of a process's pipes mean to it."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PATIENCE = 60.0


@pytest.mark.parametrize(
    ("code", "number"),
    [
        # its parent lets go of its input
        ("stop_at_end_of_input(); signal.pause()", signal.SIGTERM),
        # its reader is gone
        ("end_by_broken_pipe()", signal.SIGPIPE),
    ],
)
def test_a_process_ends_by_the_signal_that_shells_and_supervisors_know(code, number):
    program = f"from nsqcore.app.process.pipes import *\n{code}"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    try:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -number
    finally:
        process.kill()
