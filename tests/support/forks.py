"""Programs for tests without their start-up: forks of one process that has everything imported.

A daemon takes 0.2 to 0.4 s of CPU to import what it is made of; a suite that starts hundreds of
them does little else. `start` forks them from a server instead: a process beside each test process,
or beside all of one run, that has imported all of them once. Each fork is a process of its own in
every other respect: its own descriptors, signals, directory, environment, memory, and its exit
status.

They end when the test processes end, however they do: the server then kills what is left.
`tests/e2e/test_programs.py` starts the installed programs themselves; with NSQ_TEST_FORKS=0 all
tests do so.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define

BIN = Path(os.environ.get("NSQ_BIN") or sysconfig.get_path("scripts"))
ENABLED = "NSQ_BIN" not in os.environ and os.environ.get("NSQ_TEST_FORKS") != "0"

Process = Any  # a subprocess.Popen, or what does the same of it


@define(eq=False)
class Forked:
    """A fork, with what the tests use of `subprocess.Popen`."""

    args: list[str]
    pid: int
    _status: socket.socket  # has the exit status when it has ended
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, when it has ended. Raises TimeoutExpired."""
        if self.returncode is None:
            waiting = select.poll()  # unlike select() it knows descriptors beyond 1023
            waiting.register(self._status, select.POLLIN)
            if not waiting.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            told = self._status.recv(64)
            assert told, "the server of forks has ended"
            self.returncode = int(told)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run_script(path: Path, env: Mapping[str, str], seconds: float) -> tuple[int, str, str]:
    """The exit status of a Python program that ends by itself, what it writes, and its errors.

    Warnings are errors there. Raises TimeoutExpired after so many seconds.
    """
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull) as nothing,
    ):
        streams = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
        process = start([str(path)], env=env, **streams)
        try:
            status = process.wait(seconds)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return status, out.read().decode(), err.read().decode()


def start(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    terminal: bool = False,
) -> Process:
    """Start a program, one of ours or another: its name, its arguments, descriptors for it.

    What ends in ``.py`` is a program in Python, in which warnings are errors.

    Args:
        env: the environment, if it is not this process's.
        terminal: whether it is to have a session of its own with ``stdin`` as its terminal.
    """
    environment = dict(os.environ if env is None else env)
    ours, script = (BIN / command[0]).exists(), command[0].endswith(".py")
    if ENABLED and (ours or script) and environment.get("NSQ_PURE") == os.environ.get("NSQ_PURE"):
        return _server().start(
            {
                "command": list(command),
                "cwd": str(cwd or Path.cwd()),
                "env": environment,
                "terminal": terminal,
            },
            [stdin, stdout, stderr],
        )
    words = [str(BIN / command[0]) if ours else command[0], *command[1:]]
    return subprocess.Popen(
        [sys.executable, "-W", "error", *words] if script else words,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=environment,
        preexec_fn=take_terminal if terminal else None,
    )


def take_terminal() -> None:
    """Begin a session whose terminal is standard input."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class _Server:
    """The other end of `tests.support.fork_server`."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.socket = ours
        self.owner = os.getpid()
        self.shared = False

    def start(self, wanted: dict[str, Any], descriptors: list[int]) -> Forked:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            message = json.dumps(wanted).encode("utf-8", "surrogateescape")
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(message) + 65536)
            socket.send_fds(self.socket, [message], [*descriptors, theirs.fileno()])
        pid = ours.recv(64)
        assert pid, "the server of forks has ended"
        return Forked(wanted["command"], int(pid), ours)

    def stop(self) -> None:
        """Have it end, and what it started."""
        self.socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)


_servers: list[_Server] = []


def share_server() -> None:
    """Have one server for this process and for those that it forks."""
    if ENABLED:
        _server().shared = True


def _server() -> _Server:
    if not _servers or not (_servers[0].shared or _servers[0].owner == os.getpid()):
        _servers[:] = [_Server()]
        atexit.register(_servers[0].stop)
    return _servers[0]
