"""One nsqd or nsqlookupd under test: started, asked over HTTP, stopped.

Servers listen on loopback at ports the kernel chooses; the log says which. They end with the `with`
block that started them, whatever happens inside it.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.processes import Broken, cpu_seconds, memory, pause, wait_until

LISTENING = re.compile(r"(TCP|HTTP): listening on (127\.0\.0\.1:\d+)")
START_LIMIT = 60.0  # seconds; a start with thousands of topics takes some


@define(eq=False)
class Server:
    """A running program; ``tcp`` and ``web`` are its addresses, ``boot`` the seconds it took."""

    process: subprocess.Popen[bytes]
    log: Path
    data: Path
    tcp: str = ""
    web: str = ""
    boot: float = 0.0
    _http: http.client.HTTPConnection | None = field(default=None, alias="_http")

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self.pid)

    def rss(self) -> int:
        """Bytes of resident memory."""
        return memory(self.pid)

    def peak_rss(self) -> int:
        """The most resident memory so far."""
        return memory(self.pid, "VmHWM")

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer; anything but 200 is Broken."""
        if self._http is None:
            self._http = http.client.HTTPConnection(self.web, timeout=30)
        try:
            self._http.request(method, path, body)
            answer = self._http.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            self._http = None
            raise Broken(f"{method} {path}: {error!r}; log: {self.log_tail()}") from error
        if answer.status != 200:
            raise Broken(f"{method} {path}: {answer.status} {content[:80]!r}")
        return content

    def create(self, topic: str, *channels: str) -> None:
        """Make a topic and its channels."""
        self.request("POST", f"/topic/create?topic={topic}")
        for channel in channels:
            self.request("POST", f"/channel/create?topic={topic}&channel={channel}")

    def topic(self, topic: str) -> dict[str, Any]:
        """The topic's part of /stats, its channels as a dict by name."""
        flags = "format=json&include_clients=false&include_mem=false"
        stats = json.loads(self.request("GET", f"/stats?{flags}&topic={topic}"))
        found: dict[str, Any] = stats["topics"][0]
        found["channels"] = {c["channel_name"]: c for c in found["channels"]}
        return found

    def settle(self, topic: str, count: int) -> float:
        """Seconds until ``count`` messages have reached every channel."""

        def settled() -> bool:
            stats = self.topic(topic)
            reached = all(c["message_count"] >= count for c in stats["channels"].values())
            return reached and not stats["depth"]

        return wait_until(settled, f"{count} messages in every channel", timeout=90)

    def quiet(self) -> float:
        """Seconds until it has nothing more to do."""
        start = time.monotonic()
        last = self.cpu()
        while time.monotonic() - start < 30:
            pause(0.25)
            now = self.cpu()
            if now - last < 0.015:
                break
            last = now
        return time.monotonic() - start - 0.25

    def stop(self) -> float:
        """Seconds from SIGTERM until it was gone."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired as error:
            raise Broken("still running 60 s after SIGTERM") from error
        return time.monotonic() - start

    def log_tail(self) -> str:
        """The end of its log, for an error."""
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-4:])


def await_addresses(server: Server, program: str) -> None:
    """Wait until ``server`` has said where it listens and answers /ping."""
    start = time.monotonic()
    while not (server.tcp and server.web):
        if server.process.poll() is not None:
            raise Broken(f"{program} exited {server.process.returncode}: {server.log_tail()}")
        if time.monotonic() - start > START_LIMIT:
            raise Broken(f"{program} does not say where it listens: {server.log_tail()}")
        found = dict(LISTENING.findall(server.log.read_text(errors="replace")))
        server.tcp, server.web = found.get("TCP", ""), found.get("HTTP", "")
        pause(0.0005)
    server.request("GET", "/ping")


@contextlib.contextmanager
def running(bin_dir: Path, program: str, *flags: str, data: Path | None = None) -> Iterator[Server]:
    """A server from ``bin_dir``, ready; killed at the end if it still runs.

    ``data`` keeps a data directory beyond the block; otherwise it goes with it.
    """
    with tempfile.TemporaryDirectory(prefix="nsq-bench-") as scratch:
        home = data or Path(scratch, "data")
        home.mkdir(exist_ok=True)
        log = Path(scratch, "log")
        command = [
            str(bin_dir / program),
            "--tcp-address=127.0.0.1:0",
            "--http-address=127.0.0.1:0",
        ]
        command += ["--broadcast-address=127.0.0.1", *flags]
        if program == "nsqd":
            command.append(f"--data-path={home}")
        start = time.monotonic()
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment()
            )
        server = Server(process, log, home)
        try:
            await_addresses(server, program)
            server.boot = time.monotonic() - start
            yield server
        finally:
            process.kill()
            process.wait()


def environment() -> dict[str, str]:
    """Our environment without what would tune a server of either kind."""
    tuned = ("GOMAXPROCS", "GOGC", "GODEBUG", "PYTHONMALLOC", "PYTHONOPTIMIZE")
    return {k: v for k, v in os.environ.items() if k not in tuned and not k.startswith("NSQD_")}
