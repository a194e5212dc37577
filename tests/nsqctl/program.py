"""nsqctl as a user has it, with or without a terminal.

Clusters of `nsqctl up` each get a loopback address of their own, so that the well-known ports
are free there, whatever else runs on this machine.
"""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until
from tests.support import forks

from nsqctl.__main__ import main

NSQCTL = str(BIN / "nsqctl")
UP = "Ctrl-C stops it"
END = b"<the end>"
STEERING = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Z]?")


def nsqctl(*arguments: str, status: int = 0) -> tuple[str, str]:
    """What the command writes to standard output and standard error; it ends with ``status``.

    It runs here, without a terminal: a process for each would be most of what these tests take.
    """
    written, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(written, encoding="utf-8", newline="", write_through=True)
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = main(list(arguments))
    except SystemExit as refused:  # a wrong command line
        ended = int(refused.code or 0)
    finally:
        sys.stdin = stdin
    shown = written.getvalue().decode()
    assert ended == status, f"{arguments}: {ended}\n{shown}\n{err.getvalue()}"
    return shown, err.getvalue()


def nsqctl_json(*arguments: str, status: int = 0) -> Any:
    """What the command says with ``--json``."""
    return json.loads(nsqctl(*arguments, "--json", status=status)[0])


@frozen
class Pair:
    """Two nsqd and their nsqlookupd."""

    lookupd: Daemon
    nsqds: tuple[Daemon, Daemon]

    @property
    def option(self) -> str:
        """Names the cluster to nsqctl."""
        return f"--lookupd-http-address={self.lookupd.http}"

    @property
    def nsqd_options(self) -> list[str]:
        """Name the nsqds themselves to nsqctl."""
        return [f"--nsqd-http-address={nsqd.http}" for nsqd in self.nsqds]

    def depth(self, number: int, topic: str = "orders", channel: str = "kitchen") -> int:
        """Messages in a channel of one of the nsqds."""
        return int(self.nsqds[number].channel(topic, channel).get("depth", -1))

    def producers(self, topic: str) -> list[Any]:
        """What nsqlookupd says who has the topic."""
        status, answer = self.lookupd.request("GET", f"/lookup?topic={topic}")
        return list(json.loads(answer)["producers"]) if status == 200 else []


@define(eq=False)
class Up:
    """An `nsqctl up`, on an address and in a folder of its own."""

    folder: Path
    host: str = field(factory=lambda: "127." + ".".join(str(b % 254 + 1) for b in os.urandom(3)))
    process: forks.Process | None = None

    def spawn(self, *flags: str, nohup: bool = False) -> "Up":
        """Start it, and wait for nothing."""
        self.folder.mkdir(exist_ok=True)
        command = ["up", f"--host={self.host}", *flags]
        with self.out.open("wb") as out, self.err.open("wb") as err, open(os.devnull) as nothing:
            streams = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            if nohup:
                words = ["nohup", NSQCTL, *command]
                self.process = subprocess.Popen(words, cwd=self.folder, **streams)
            else:
                self.process = forks.start(["nsqctl", *command], cwd=self.folder, **streams)
        return self

    def start(self, *flags: str, nohup: bool = False) -> "Up":
        """Start it, and wait until the cluster is up."""
        self.spawn(*flags, nohup=nohup)
        self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Return once it has told that it is up."""
        wait_until(self._is_up, "the cluster is up")

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.told()
        return UP in self.out.read_text()

    @property
    def out(self) -> Path:
        """Where its standard output goes."""
        return self.folder / "out"

    @property
    def err(self) -> Path:
        """Where its standard error goes."""
        return self.folder / "err"

    def told(self) -> str:
        """All that it wrote."""
        return f"{self.out.read_text()}\n{self.err.read_text()}"

    def address(self, member: str, kind: str = "http") -> str:
        """The address that it tells of a member."""
        found = re.search(rf"{member} .*?{kind} (?:http://)?(\S+)", self.out.read_text())
        assert found, self.told()
        return found[1]

    def members(self) -> dict[str, int]:
        """The process ids of what it started, by program; also of what it left behind."""
        found: dict[str, int] = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if b"nsqcore.app.process.child" in words and any(
                self.host.encode() in word for word in words
            ):
                name = words[words.index(b"nsqcore.app.process.child") + 1].decode()
                path_flags = [word for word in words if word.startswith(b"--data-path=")]
                suffix = path_flags[0].rpartition(b"nsqd")[2].decode() if path_flags else ""
                found[name + suffix] = int(path.parent.name)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def clean_up(self) -> None:
        """End everything, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        wait_until(lambda: not self.members(), "no member is left")


def can_read(fd: int, seconds: float) -> bool:
    """Whether there is something to read, now or within ``seconds``."""
    waiting = select.poll()  # unlike select() it knows descriptors beyond 1023
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(1000 * seconds))


def terminal_environment() -> dict[str, str]:
    """The environment of a program in a terminal: its size is the terminal's to tell."""
    told = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**told, "TERM": "xterm-256color"}


@define(eq=False)
class Terminal:
    """A command in a terminal of ``rows`` lines: what it shows, and keys for it."""

    command: list[str]
    rows: int = 24
    columns: int = 120
    master: int = -1
    slave: int = -1
    shown: bytes = b""
    process: forks.Process = field(init=False)

    def start(self) -> "Terminal":
        """Start the command, with the terminal as its standard input, output and error."""
        self.master, self.slave = pty.openpty()
        self.resize(self.rows, self.columns)
        self.process = forks.start(
            self.command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            terminal=True,
            env=terminal_environment(),
        )
        return self

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal, as a window manager does."""
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        """Type ``keys``."""
        os.write(self.master, keys)

    def wait_for(self, text: str) -> str:
        """What is shown from now on, up to the first picture that has ``text``."""
        seen = b""
        deadline = time.monotonic() + PATIENCE
        while text not in self.plain(seen):
            assert time.monotonic() < deadline, f"no {text!r} in {self.plain(seen)[-3000:]!r}"
            seen += self._read()
        return self.plain(seen)

    def picture_count(self) -> int:
        """How often the terminal's other screen was taken."""
        self._read()
        return self.shown.count(b"\x1b[?1049h")

    def _read(self) -> bytes:
        data = os.read(self.master, 65536) if can_read(self.master, 0.1) else b""
        self.shown += data
        return data

    @staticmethod
    def plain(data: bytes) -> str:
        """Text without what steers the terminal."""
        return STEERING.sub(b"", data).decode(errors="replace")

    def wait(self) -> int:
        """The exit status; all that it wrote is in ``shown`` then."""
        wait_until(lambda: (self._read(), self.process.poll())[1] is not None, "it ends")
        os.write(self.slave, END)  # what was written before it comes before it
        wait_until(lambda: (self._read(), END in self.shown)[1], "all is read")
        return self.process.returncode

    def modes(self) -> list[Any]:
        """How the terminal treats keys."""
        return termios.tcgetattr(self.slave)

    def clean_up(self) -> None:
        """End the command, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
