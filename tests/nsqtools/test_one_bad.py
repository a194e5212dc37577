"""One nsqd of several is bad: whatever is on the others comes through every utility, once."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.nsqtools.tools import Endpoint, Tool, settled

pytestmark = pytest.mark.slow

BODIES = [b"%03d" % number for number in range(100)]


def refuse(peer: socket.socket) -> None:
    """Hang up at once."""


def hang(peer: socket.socket) -> None:
    """Read, and never say a word."""
    while peer.recv(65536):
        pass


def talk_nonsense(peer: socket.socket) -> None:
    """Answer with what is no frame."""
    peer.recv(4)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
    hang(peer)


def promise_a_giant(peer: socket.socket) -> None:
    """Announce a frame of two gigabytes."""
    peer.recv(4)
    peer.sendall(b"\x7f\xff\xff\xff\x00\x00\x00\x00{}")
    hang(peer)


@contextlib.contextmanager
def bad_nsqd(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of something that is no good nsqd."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    threading.Thread(target=talk, args=(peer,), daemon=True).start()

        def talk(peer: socket.socket) -> None:
            with contextlib.suppress(OSError), peer:
                behave(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def lookupd(nsqds: list[tuple[str, int, int]]) -> Iterator[str]:
    """The address of an nsqlookupd that names these nsqds for every topic."""
    producers = [
        {
            "remote_address": f"{host}:1",
            "hostname": "h",
            "broadcast_address": host,
            "tcp_port": tcp,
            "http_port": http,
            "version": "1.3.0",
        }
        for host, tcp, http in nsqds
    ]
    answer = json.dumps({"channels": [], "producers": producers}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def target(daemon: Callable[..., Daemon]) -> Daemon:
    """An nsqd to publish to."""
    made = daemon("nsqd")
    made.create("orders", "c")
    return made


@pytest.mark.parametrize(
    "behave", [refuse, hang, talk_nonsense, promise_a_giant], ids=lambda behave: behave.__name__
)
@pytest.mark.parametrize("program", ["nsq_tail", "nsq_to_file", "nsq_to_http"])
def test_a_bad_nsqd_costs_the_others_nothing(
    nsqd: Daemon,
    tool: Callable[..., Tool],
    endpoint: Callable[..., Endpoint],
    tmp_path: Path,
    program: str,
    behave: Callable[[socket.socket], None],
) -> None:
    nsqd.create("orders", "c")
    nsqd.post("/mpub?topic=orders", b"\n".join(BODIES))
    posted = endpoint()
    flags = {
        "nsq_tail": [],
        "nsq_to_file": [
            f"--output-dir={tmp_path}/out",
            "--filename-format=x.log",
            "--sync-interval=100ms",
        ],
        "nsq_to_http": [f"--post={posted.url}", "-n=4"],  # its backlog is short
    }[program]
    with bad_nsqd(behave) as port:
        nsqds = [("127.0.0.1", port, 1), ("127.0.0.1", nsqd.tcp_port, nsqd.http_port)]
        with lookupd(nsqds) as address:
            run = tool(program, "--topic=orders", "--channel=c", *flags,
                       f"--lookupd-http-address={address}")  # fmt: skip
            settled(nsqd, "orders", "c", len(BODIES))
            assert run.end() == 0
    assert "Traceback" not in run.err
    got = {
        "nsq_tail": lambda: run.lines,
        "nsq_to_file": lambda: sorted((tmp_path / "out" / "x.log").read_bytes().splitlines()),
        "nsq_to_http": lambda: sorted(posted.bodies),
    }[program]()
    assert got == BODIES


def test_a_bad_destination_costs_the_messages_nothing(nsqd, target, tool):
    nsqd.create("orders", "c")
    nsqd.post("/mpub?topic=orders", b"\n".join(BODIES))
    with bad_nsqd(talk_nonsense) as port:
        run = tool("nsq_to_nsq", "--topic=orders", "--channel=c",
                   f"--nsqd-tcp-address={nsqd.tcp}",
                   f"--destination-nsqd-tcp-address=127.0.0.1:{port}",
                   f"--destination-nsqd-tcp-address={target.tcp}")  # fmt: skip
        settled(nsqd, "orders", "c", len(BODIES))
        wait_until(lambda: target.channel("orders", "c")["message_count"] == len(BODIES))
        assert run.end() == 0
    assert nsqd.channel("orders", "c")["requeue_count"] == 0
    assert "Traceback" not in run.err
