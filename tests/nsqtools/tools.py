"""A utility, in a thread of the test's process or in one of its own; an HTTP endpoint for it."""

import contextlib
import importlib
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGTERM, Signals

from attrs import define, field
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until
from tests.support import forks

from nsqcore.app.process.streams import Streams
from nsqcore.app.service import Process


@define(eq=False)
class Outputs:
    """The files that a utility writes its output and its log to."""

    folder: Path

    @property
    def out(self) -> bytes:
        """What it has printed."""
        return (self.folder / "out").read_bytes()

    @property
    def err(self) -> str:
        """What it has logged."""
        return (self.folder / "err").read_text(errors="replace")

    @property
    def lines(self) -> list[bytes]:
        """The lines it has printed, sorted."""
        return sorted(self.out.splitlines())


def open_input(folder: Path, stdin: bytes | int) -> int:
    """A descriptor for standard input: of a file with the bytes, or the one that is given."""
    if isinstance(stdin, int) and stdin >= 0:
        return os.dup(stdin)
    (folder / "in").write_bytes(stdin if isinstance(stdin, bytes) else b"")
    return os.open(folder / "in", os.O_RDONLY)


@define(eq=False)
class Tool(Outputs):
    """A utility that runs in a thread: its `main`, with files as standard streams."""

    thread: threading.Thread = field(init=False)
    process: Process = field(init=False)
    status: int | None = None

    @classmethod
    def start(
        cls, program: str, flags: Sequence[str], folder: Path, stdin: bytes | int, stdout: int
    ) -> "Tool":
        """Start it, with ``stdin`` as its input; ``stdout`` is a file below 0."""
        main = importlib.import_module(f"nsqtools.{program}").main
        tool = cls(folder)
        write = os.O_WRONLY | os.O_CREAT
        out = os.open(folder / "out", write) if stdout < 0 else os.dup(stdout)
        streams = Streams(open_input(folder, stdin), out, os.open(folder / "err", write))
        tool.process = Process(streams=streams)

        def run() -> None:
            try:
                tool.status = main(list(flags), tool.process)
            except SystemExit as end:
                tool.status = int(end.code or 0)
            finally:
                for descriptor in (streams.stdin, streams.stdout, streams.stderr):
                    os.close(descriptor)

        tool.thread = threading.Thread(target=run, daemon=True, name=program)
        tool.thread.start()
        return tool

    def signal(self, number: Signals) -> None:
        """Tell it of a signal, once it runs."""
        wait_until(lambda: self.process.send_signal(number) or not self.thread.is_alive())

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        self.thread.join(PATIENCE)
        assert self.status is not None, f"still running, or failed: {self.err}"
        return self.status

    def end(self, number: Signals = SIGTERM) -> int:
        """Send a signal; the exit status."""
        self.signal(number)
        return self.wait()

    def clean_up(self) -> None:
        """End it if it still runs."""
        if self.thread.is_alive():
            self.signal(SIGTERM)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), f"does not end: {self.err}"


@contextlib.contextmanager
def kept_logging() -> Iterator[None]:
    """Undo what a utility does to the log of this process."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:], logging.raiseExceptions = handlers, raises
        root.setLevel(level)


@define(eq=False)
class ToolProcess(Outputs):
    """A utility that runs in a process of its own."""

    process: forks.Process = field(init=False)

    @classmethod
    def start(
        cls,
        program: str,
        flags: Sequence[str],
        folder: Path,
        stdin: bytes | int,
        limits: Callable[[], None] | None,
        stdout: int = -1,
    ) -> "ToolProcess":
        """Start it, with ``stdin`` as its input; ``stdout`` is a file below 0."""
        tool = cls(folder)
        given = open_input(folder, stdin)
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            output = out.fileno() if stdout < 0 else stdout
            streams = {"stdin": given, "stdout": output, "stderr": err.fileno()}
            if limits is None:
                tool.process = forks.start([program, *flags], cwd=folder, **streams)
            else:
                tool.process = subprocess.Popen(
                    [str(BIN / program), *flags], cwd=folder, preexec_fn=limits, **streams
                )
        os.close(given)
        return tool

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        return self.process.wait(PATIENCE)

    def end(self, number: Signals = SIGTERM) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def clean_up(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def settled(nsqd: Daemon, topic: str, channel: str, count: int) -> None:
    """Wait until ``count`` messages came to the channel and all of them are finished."""

    def is_so() -> bool:
        stats = nsqd.channel(topic, channel)
        return bool(stats) and (
            stats["message_count"] >= count
            and not stats["depth"] + stats["in_flight_count"] + stats["deferred_count"]
        )

    wait_until(is_so, f"{count} messages of {topic}/{channel} are finished")


def consuming(nsqd: Daemon, topic: str, channel: str) -> None:
    """Wait until the channel has a consumer that wants messages."""

    def is_so() -> bool:
        clients = nsqd.channel(topic, channel).get("clients") or []
        return any(client["ready_count"] for client in clients)

    wait_until(is_so, f"{topic}/{channel} has a consumer")


@define(eq=False)
class Endpoint:
    """An HTTP server in a thread; ``answer`` gives the status of each request."""

    answer: Callable[[bytes], int]
    server: ThreadingHTTPServer | None = None
    bodies: list[bytes] = field(factory=list)

    def open(self) -> "Endpoint":
        """Start to listen on a free port."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = endpoint.answer(body)
                endpoint.bodies.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *given: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """Listen no more."""
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()
