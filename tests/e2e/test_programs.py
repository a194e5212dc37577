"""Each program starts, as it was installed."""

import subprocess

import pytest
from tests.e2e.daemons import BIN

UTILITIES = ("nsq_stat", "nsq_tail", "nsq_to_file", "nsq_to_http", "nsq_to_nsq", "to_nsq")
PROGRAMS = ("nsqd", "nsqlookupd", "nsqadmin", "nsqctl", *UTILITIES)

pytestmark = pytest.mark.slow


def told(program: str, flag: str) -> str:
    done = subprocess.run([BIN / program, flag], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_tells_its_version(program):
    assert told(program, "--version").startswith(f"{program} v")


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_tells_its_flags(program):
    assert "--" in told(program, "--help" if program == "nsqctl" else "-h")
