"""Real nsqd and nsqlookupd processes for tests: started on free ports, stopped, started again.

The programs come from the environment that runs the tests (`tests.support.forks`); `NSQ_BIN` names
another folder. Ports
are chosen by the kernel and read from the log; a daemon started again gets the same ports and
directory, and meanwhile nobody else gets them. Everything here blocks: trio tests call it in a
thread.
"""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from tests.support import forks
from tests.support.forks import BIN

LISTENING = re.compile(r"(TCP|HTTP): listening on 127\.0\.0\.1:(\d+)")
PATIENCE = 60.0  # seconds; many times what anything here takes, for machines with other work


def wait_until(
    condition: Callable[[], object], what: str = "it happens", *, timeout: float = PATIENCE
) -> None:
    """Return as soon as ``condition`` holds; fail when it does not within ``timeout``."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s until {what}"
        select.select([], [], [], 0.01)


@define(eq=False)
class Daemon:
    """One program with its flags and its folder; `start` gives it a process."""

    program: str
    folder: Path
    flags: list[str] = field(factory=list)
    tcp_port: int = 0
    http_port: int = 0
    limits: Callable[[], None] | None = None  # called in the child, to set resource limits
    path: Path | None = None  # of another program that goes by the same name
    process: forks.Process | None = None
    starts: int = 0
    _held: list[socket.socket] = field(factory=list)

    @property
    def tcp(self) -> str:
        """Its TCP address."""
        return f"127.0.0.1:{self.tcp_port}"

    @property
    def http(self) -> str:
        """Its HTTP address."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def pid(self) -> int:
        """The process id of the running daemon."""
        assert self.process is not None
        return self.process.pid

    @property
    def data(self) -> Path:
        """The data directory of an nsqd."""
        return self.folder / "data"

    @property
    def log_path(self) -> Path:
        """The log of the latest start."""
        return self.folder / f"log-{self.starts}"

    def log(self) -> str:
        """What it has logged since its latest start."""
        return self.log_path.read_text(errors="replace")

    def command(self) -> list[str]:
        """The command line; the ports are 0 until the first start has chosen them."""
        command = [
            self.program,
            f"--tcp-address=127.0.0.1:{self.tcp_port}",
            f"--http-address=127.0.0.1:{self.http_port}",
            "--broadcast-address=127.0.0.1",
        ]
        if self.program == "nsqd":
            command.append(f"--data-path={self.data}")
        return command + self.flags

    def spawn(self) -> None:
        """Start the process, without waiting for it to be ready."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        command = self.command()
        with self.log_path.open("wb") as log, open(os.devnull, "rb") as nothing:
            if self.limits is None and self.path is None:
                self.process = forks.start(
                    command,
                    cwd=self.folder,
                    stdin=nothing.fileno(),
                    stdout=log.fileno(),
                    stderr=log.fileno(),
                )
            else:
                self.process = subprocess.Popen(
                    [str(self.path or BIN / command[0]), *command[1:]],
                    cwd=self.folder,
                    stdin=nothing,
                    stdout=log,
                    stderr=log,
                    preexec_fn=self.limits,
                )

    def start(self) -> "Daemon":
        """Start it and wait until it answers."""
        self.spawn()
        wait_until(self._is_up, f"{self.program} is up")
        return self

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.program} ended at once:\n{self.log()}"
        ports = {kind: int(port) for kind, port in LISTENING.findall(self.log())}
        if len(ports) < 2:
            return False
        self.tcp_port, self.http_port = ports["TCP"], ports["HTTP"]
        return self.request("GET", "/ping") == (200, b"OK")

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL; the exit status."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._hold_ports()
        return status

    def _hold_ports(self) -> None:
        """Keep the kernel from giving the ports to others; the next start can listen there."""
        for port in (self.tcp_port, self.http_port):
            self._held.append(socket.socket())
            self._held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # a program of several processes has others too
                self._held[-1].bind(("127.0.0.1", port))

    def clean_up(self) -> None:
        """End it if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        while self._held:
            self._held.pop().close()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of an HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, path: str, body: bytes = b"") -> bytes:
        """The body of a POST that succeeds."""
        status, content = self.request("POST", path, body)
        assert status == 200, f"POST {path}: {status} {content!r}"
        return content

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON of a GET that succeeds."""
        status, content = self.request("GET", path, headers=headers)
        assert status == 200, f"GET {path}: {status} {content!r}"
        return json.loads(content)

    def channel(self, topic: str, channel: str) -> dict[str, Any]:
        """The counters of a channel; empty when there is none."""
        topics = self.get(f"/stats?format=json&topic={topic}&channel={channel}")["topics"] or []
        found = [c for t in topics for c in t["channels"] if c["channel_name"] == channel]
        return dict(found[0]) if found else {}

    def create(self, topic: str, *channels: str) -> None:
        """Make a topic and its channels."""
        self.post(f"/topic/create?topic={topic}")
        for channel in channels:
            self.post(f"/channel/create?topic={topic}&channel={channel}")

    def open_files(self) -> int:
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def processor_time(self) -> float:
        """Seconds that it has computed, whatever else the machine does."""
        numbers = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Bytes of resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


@contextlib.contextmanager
def daemons(folder: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons, each with a folder of its own in ``folder``; they end with the block."""
    made: list[Daemon] = []

    def make(
        program: str,
        *flags: str,
        limits: Callable[[], None] | None = None,
        path: Path | None = None,
    ) -> Daemon:
        place = folder / f"{program}-{len(made)}"
        made.append(Daemon(program, place, list(flags), limits=limits, path=path))
        made[-1].folder.mkdir()
        return made[-1].start()

    try:
        yield make
    finally:
        for one in made:
            one.clean_up()
