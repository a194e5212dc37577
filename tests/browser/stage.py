"""A small cluster with traffic for the pages to show: nsqlookupds, nsqds, producers, consumers,
nsqadmin.

Real processes on free ports. One thread publishes, another plays all consumers; both end with the
stage. Used by the browser tests and by `tests.browser.screenshots`.
"""

import contextlib
import http.client
import json
import os
import selectors
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType

import attrs
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.e2e.peer import Peer, body
from tests.support import forks


@attrs.define(eq=False)
class AdminProcess:
    """A running nsqadmin."""

    folder: Path
    flags: list[str]
    port: int = 0
    process: forks.Process | None = None

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "AdminProcess":
        """Start it, again where it was before, and wait until it answers."""
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["nsqadmin", f"--http-address=127.0.0.1:{self.port}", *self.flags]
        with (self.folder / "log").open("wb") as log, open(os.devnull) as nothing:
            self.process = forks.start(
                command, stdin=nothing.fileno(), stdout=log.fileno(), stderr=log.fileno()
            )
        wait_until(self._is_up, "nsqadmin is up")
        return self

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"nsqadmin ended at once:\n{self.log()}"
        with contextlib.suppress(OSError):
            return self.request("GET", "/ping")[0] == 200
        return False

    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def request(
        self, method: str, path: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


@attrs.define(eq=False)
class Crowd:
    """Consumers, all played by one thread: what they get they finish, unless they are lazy."""

    peers: list[tuple[Peer, bool]] = attrs.field(factory=list)
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _selector: selectors.BaseSelector = attrs.field(factory=selectors.DefaultSelector)
    _thread: threading.Thread | None = None

    def join(
        self, nsqd: Daemon, topic: str, channel: str, *, ready: int = 20, lazy: bool = False,
        **identity: object,
    ) -> Peer:  # fmt: skip
        """One more consumer; ``identity`` is what it says of itself."""
        peer = Peer.connect(nsqd.tcp_port)
        peer.ask(b"IDENTIFY\n", body(json.dumps(identity).encode()))
        peer.subscribe(topic, channel, ready=ready)
        peer.sock.setblocking(False)
        self.peers.append((peer, lazy))
        self._selector.register(peer.sock, selectors.EVENT_READ, (peer, lazy, bytearray()))
        return peer

    def start(self) -> None:
        """Begin to consume."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                peer, lazy, buffer = key.data
                try:
                    data = peer.sock.recv(1 << 16)
                except OSError:
                    data = b""
                if not data:
                    self._selector.unregister(peer.sock)
                    continue
                buffer += data
                self._answer(peer, buffer, lazy=lazy)

    def _answer(self, peer: Peer, buffer: bytearray, *, lazy: bool) -> None:
        replies = b""
        while len(buffer) >= 8:
            size, kind = struct.unpack_from(">II", buffer)
            if len(buffer) < 4 + size:
                break
            frame = bytes(buffer[8 : 4 + size])
            del buffer[: 4 + size]
            if kind == 2 and not lazy:
                replies += b"FIN " + frame[10:26] + b"\n"
            elif frame == b"_heartbeat_":
                replies += b"NOP\n"
        if replies:
            with contextlib.suppress(OSError):
                peer.sock.sendall(replies)

    def stop(self) -> None:
        """Everybody leaves."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
        for peer, _ in self.peers:
            peer.close()
        self._selector.close()


@attrs.define(eq=False)
class Stage:
    """The cluster and its traffic; a context manager."""

    folder: Path
    nodes: int = 3
    lookupds: list[Daemon] = attrs.field(factory=list)
    nsqds: list[Daemon] = attrs.field(factory=list)
    crowd: Crowd = attrs.field(factory=Crowd)
    admins: list[AdminProcess] = attrs.field(factory=list)
    flows: dict[str, float] = attrs.field(factory=dict)  # topic: messages per second and nsqd
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _publisher: threading.Thread | None = None

    def __enter__(self) -> "Stage":
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        for index in range(2):
            self.lookupds.append(Daemon("nsqlookupd", self.folder / f"lookupd-{index}").start())
        known = [f"--lookupd-tcp-address={lookupd.tcp}" for lookupd in self.lookupds]
        for index in range(self.nodes):
            place = [
                "--topology-region=eu-north", f"--topology-zone=zone-{'abc'[index % 3]}",
                "--e2e-processing-latency-percentile=0.99,0.95,0.5",
            ]  # fmt: skip
            nsqd = Daemon("nsqd", self.folder / f"nsqd-{index}", known + place)
            self.nsqds.append(nsqd.start())
        for lookupd in self.lookupds:
            wait_until(lambda d=lookupd: len(d.get("/nodes")["producers"]) == self.nodes)  # type: ignore[misc]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._publisher is not None:
            self._publisher.join(PATIENCE)
        for admin in self.admins:
            admin.stop()
        self.crowd.stop()
        for daemon in [*self.nsqds, *self.lookupds]:
            daemon.clean_up()

    def admin(self, *flags: str, mode: str = "lookupd") -> AdminProcess:
        """An nsqadmin of this cluster."""
        if mode == "lookupd":
            upstream = [f"--lookupd-http-address={lookupd.http}" for lookupd in self.lookupds]
        else:
            upstream = [f"--nsqd-http-address={nsqd.http}" for nsqd in self.nsqds]
        admin = AdminProcess(self.folder / f"admin-{len(self.admins)}", [*upstream, *flags])
        self.admins.append(admin)
        return admin.start()

    def publish(self) -> None:
        """Begin to publish what `flows` says."""
        self._publisher = threading.Thread(target=self._publish, daemon=True)
        self._publisher.start()

    def _publish(self) -> None:
        connections = [
            http.client.HTTPConnection("127.0.0.1", nsqd.http_port, timeout=PATIENCE)
            for nsqd in self.nsqds
        ]
        owed: dict[tuple[int, str], float] = {}
        before = time.monotonic()
        while not self._stop.wait(0.25):
            now = time.monotonic()
            for index, connection in enumerate(connections):
                for topic, rate in self.flows.items():
                    key = (index, topic)
                    due = owed.get(key, 0.0) + rate * (now - before) / (1 + index * 0.35)
                    count, owed[key] = int(due), due % 1
                    if count:
                        self._send(connection, topic, count)
            before = now
        for connection in connections:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, topic: str, count: int) -> None:
        try:
            connection.request("POST", f"/mpub?topic={topic}", b"\n".join([b"x" * 40] * count))
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()

    def populate(self) -> None:
        """Topics, channels and consumers as a small company might have."""
        plan = {
            "orders": (38.0, {"billing": 5, "warehouse": 2, "analytics": 1}),
            "payments": (12.0, {"ledger": 2, "fraud-check": 1}),
            "clickstream": (240.0, {"archive": 2, "sessions": 3}),
            "emails": (6.0, {"sender": 2}),
            "thumbnails": (3.0, {"resize": 0}),
            "audit.log": (1.5, {"archive": 1}),
            "presence%23ephemeral": (20.0, {"tail%23ephemeral": 1}),
        }
        agents = ("nsq-trio/0.1.0", "go-nsq/1.1.0", "pynsq/0.9.1")
        for topic, (rate, channels) in plan.items():
            for nsqd in self.nsqds:
                nsqd.create(topic, *channels)
            for channel, count in channels.items():
                self._staff(topic, channel, count, agents)
            self.flows[topic] = rate
        for lookupd in self.lookupds:
            lookupd.post("/channel/create?topic=legacy.import&channel=loader")
            lookupd.post("/topic/create?topic=unused")
        self.nsqds[0].post("/channel/pause?topic=emails&channel=sender")
        self.crowd.start()
        self.publish()

    def _staff(self, topic: str, channel: str, count: int, agents: tuple[str, ...]) -> None:
        name, part = topic.replace("%23", "#"), channel.replace("%23", "#")
        for nsqd in self.nsqds:
            for number in range(count):
                self.crowd.join(
                    nsqd, name, part, ready=50 + 10 * number, lazy=part == "analytics",
                    client_id=f"{part}-{number}", hostname=f"{part}-{number}.example.net",
                    user_agent=agents[(number + len(part)) % 3], topology_region="eu-north",
                    topology_zone=f"zone-{'abc'[number % 3]}", msg_timeout=600_000,
                )  # fmt: skip
