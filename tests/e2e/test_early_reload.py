"""A SIGHUP that comes while a daemon still starts does not end one that reads files again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.daemons import wait_until

pytestmark = pytest.mark.slow

# The signal comes before anything else is imported.
EARLY = """
import os, signal, sys
from nsqcore.app import startup
startup.begin()
os.kill(os.getpid(), signal.SIGHUP)
sys.exit(startup.start("{program}.program:start"))
"""


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("nsqd", ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"]),
        (
            "nsqlookupd",
            [
                "--tcp-address=127.0.0.1:0",
                "--http-address=127.0.0.1:0",
                "--auth-file={folder}/users",
            ],
        ),
        (
            "nsqadmin",
            [
                "--http-address=127.0.0.1:0",
                "--nsqd-http-address=127.0.0.1:1",
                "--audit-file={folder}/audit",
            ],
        ),
    ],
)
def test_it_goes_on_starting(program: str, flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "users").write_text("")
    log = tmp_path / "log"
    code = EARLY.format(program=program)
    arguments = [flag.format(folder=tmp_path) for flag in flags]
    with log.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stderr=file,
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1"},
        )
    try:
        wait_until(
            lambda: running.poll() is not None or "listening on" in log.read_text(),
            f"{program} listens",
        )
        assert "SIGHUP): stopping" not in log.read_text()
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
        assert "process(SIGHUP): nothing to reload yet" in log.read_text()
    finally:
        running.kill()
        running.wait()
