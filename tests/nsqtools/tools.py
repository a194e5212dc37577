"""A utility as a real process, with what it printed; an HTTP endpoint for it to call."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from attrs import define, field
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until


@define(eq=False)
class Tool:
    """A running utility; its output goes to files."""

    process: subprocess.Popen[bytes]
    folder: Path

    @classmethod
    def start(
        cls,
        program: str,
        flags: Sequence[str],
        folder: Path,
        stdin: bytes | int,
        limits: Callable[[], None] | None,
    ) -> "Tool":
        """Start it, with ``stdin`` as its input."""
        given = stdin
        if isinstance(stdin, bytes):
            (folder / "in").write_bytes(stdin)
            given = os.open(folder / "in", os.O_RDONLY)
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [str(BIN / program), *flags],
                cwd=folder,
                stdin=given,
                stdout=out,
                stderr=err,
                preexec_fn=limits,
            )
        if isinstance(stdin, bytes):
            os.close(int(given))
        return cls(process, folder)

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

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        return self.process.wait(PATIENCE)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
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
