"""Standard streams as parents such as node and ssh leave them."""

import fcntl
import os
import subprocess

import pytest
from tests.e2e.daemons import BIN, PATIENCE

pytestmark = pytest.mark.slow


def test_what_does_not_fit_into_a_non_blocking_pipe_is_printed_when_there_is_room():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    os.write(writing, b"x" * 4096)
    command = subprocess.Popen(
        [str(BIN / "nsqctl"), "--help"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    shown = b""
    while part := os.read(reading, 65536):
        shown += part
    os.close(reading)
    _, err = command.communicate(timeout=PATIENCE)
    assert (command.returncode, err) == (0, b"")
    assert shown.lstrip(b"x").startswith(b"usage: nsqctl")


@pytest.mark.parametrize("command", [["completion", "bash"], ["token", "ann", "--role=admin"]])
def test_a_standard_output_that_is_full_is_named(command: list[str]):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [str(BIN / "nsqctl"), *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert done.stderr.endswith("nsqctl: standard output: No space left on device\n")


def test_a_closed_standard_output_is_no_reason_to_fail():
    done = subprocess.run(
        [str(BIN / "nsqctl"), "--version"],
        preexec_fn=lambda: os.close(1),
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, b"")
