"""Clients for the soak: each kind of connection to nsqd and nsqlookupd, each way to end it."""

import contextlib
import json
import random
import socket
import ssl
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
from attrs import define, field
from tests.e2e.daemons import Daemon
from tests.e2e.peer import Peer, body

FORMS = ("plain", "plain", "tls", "deflate", "snappy", "tls deflate", "tls snappy")
ENDS = ("closed", "closed", "reset", "cut off", "silent")

#: Connections that say nothing more, until another one takes their place.
MOST_SILENT = 40


@define(eq=False)
class Deflated:
    """A socket whose bytes are deflated."""

    sock: Any
    _packer: Any = field(factory=lambda: zlib.compressobj(6, zlib.DEFLATED, -15))
    _unpacker: Any = field(factory=lambda: zlib.decompressobj(-15))

    def sendall(self, data: bytes) -> None:
        self.sock.sendall(self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH))

    def unpack(self, data: bytes) -> bytes:
        return bytes(self._unpacker.decompress(data))

    def recv(self, size: int) -> bytes:
        while data := self.sock.recv(size):
            if plain := self.unpack(data):
                return plain
        return b""

    def settimeout(self, seconds: float) -> None:
        self.sock.settimeout(seconds)

    def setsockopt(self, *values: Any) -> None:
        self.sock.setsockopt(*values)

    def close(self) -> None:
        self.sock.close()


@define(eq=False)
class Snappy(Deflated):
    """A socket whose bytes are in snappy's framing format."""

    _rest: bytes = b""

    def sendall(self, data: bytes) -> None:
        self.sock.sendall(bytes(cramjam.snappy.compress(data)))

    def unpack(self, data: bytes) -> bytes:
        self._rest += data
        plain = b""
        while len(self._rest) >= 4:
            kind, size = self._rest[0], int.from_bytes(self._rest[1:4], "little")
            if len(self._rest) < 4 + size:
                break
            chunk, self._rest = self._rest[8 : 4 + size], self._rest[4 + size :]
            if kind == 0:
                plain += bytes(cramjam.snappy.decompress_raw(chunk))
            elif kind == 1:
                plain += chunk
        return plain


@define(eq=False)
class Visitors:
    """Random visits to an nsqd with TLS and to an nsqlookupd."""

    nsqd: Daemon
    https_port: int
    lookupd: Daemon
    trusting: ssl.SSLContext
    chance: random.Random
    names: int = 0
    visits: int = 0
    topics: list[str] = field(factory=list)
    silent: list[Any] = field(factory=list)

    def visit(self) -> None:
        """One visit of a random kind. A daemon may hang up on it, and must answer the next."""
        self.visits += 1
        kinds: list[Callable[[], None]] = [self.client] * 6
        kinds += [self.topic_life, self.http, self.http, self.registrations, self.lookups]
        kinds += [self.garbage, self.poison]
        with contextlib.suppress(EOFError, ConnectionError, ssl.SSLError):
            self.chance.choice(kinds)()

    def name(self) -> str:
        """A name that was never there before: whatever is kept by name shows."""
        self.names += 1
        return f"n{self.names}"

    # ------------------------------------------------------------ connections

    def connect(self, form: str) -> Peer:
        """A V2 client that has upgraded as ``form`` says."""
        peer = Peer.connect(self.nsqd.tcp_port)
        wishes: dict[str, object] = {"feature_negotiation": True, "client_id": self.name()}
        wishes |= {"heartbeat_interval": 1000, "tls_v1": "tls" in form}
        compression = form.split()[-1]
        if compression in ("deflate", "snappy"):
            wishes[compression] = True
        peer.ask(b"IDENTIFY\n", body(json.dumps(wishes).encode()))
        if "tls" in form:
            secure = self.trusting.wrap_socket(peer.sock, server_hostname="localhost")
            peer = Peer(secure)
            assert peer.frame()[1] == b"OK"
        if compression in ("deflate", "snappy"):
            packed = (Deflated if compression == "deflate" else Snappy)(peer.sock)
            early, peer._buffer = peer._buffer, b""
            peer.sock = packed  # type: ignore[assignment]
            peer._buffer = packed.unpack(early)
            assert peer.frame()[1] == b"OK"
        return peer

    def end(self, sock: Any, half: bytes) -> None:
        """End a connection in one of the ways; ``half`` is a beginning of something."""
        how = self.chance.choice(ENDS)
        if how == "silent":
            self.silent.append(sock)
            if len(self.silent) > MOST_SILENT:
                self.silent.pop(self.chance.randrange(MOST_SILENT)).close()
            return
        if how == "cut off":
            sock.sendall(half)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def web(self, port: int, *, secure: bool = False) -> Any:
        """A connection for HTTP."""
        sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        return self.trusting.wrap_socket(sock, server_hostname="localhost") if secure else sock

    def request(self, sock: Any, method: str, path: str, data: bytes = b"") -> None:
        """A request, whose answer is read as far as it comes at once."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        sock.sendall(head.encode() + data)
        sock.recv(1 << 16)

    # ------------------------------------------------------------ visits

    def topic(self) -> str:
        """A topic: a new one, or one that was there lately."""
        if not self.topics or self.chance.random() < 0.3:
            prefix = self.chance.choice(["t.", "kept.", ""])
            suffix = self.chance.choice(["", "", "#ephemeral"]) if prefix != "kept." else ""
            self.topics.append(prefix + self.name() + suffix)
        return self.chance.choice(self.topics)

    def message(self) -> bytes:
        return bytes(self.chance.choice([1, 10, 200, 200, 5000, 40_000]))

    def client(self) -> None:
        """Publishes, consumes, finishes, requeues, and leaves the rest in flight."""
        peer, topic = self.connect(self.chance.choice(FORMS)), self.topic()
        channel = self.chance.choice(["a", "b", "c#ephemeral"])
        published = 0
        for _ in range(self.chance.randrange(4)):
            bodies = [self.message() for _ in range(self.chance.randrange(1, 30))]
            if peer.publish(topic, *bodies) == b"OK":
                published += len(bodies)
        if self.chance.random() < 0.3:
            peer.ask(b"DPUB %s 500\n" % topic.encode(), body(self.message()))
        if published and self.chance.random() < 0.7:
            peer.subscribe(topic, channel, ready=self.chance.choice([1, 10, 100]))
            self.consume(peer, self.chance.randrange(published))
        self.end(peer.sock, b"PUB t\n" + struct.pack(">I", 100_000) + bytes(50_000))

    def consume(self, peer: Peer, count: int) -> None:
        """Take some messages, as far as other consumers leave them."""
        peer.patience = 0.1
        with contextlib.suppress(TimeoutError):
            for _ in range(count):
                message = peer.message()
                what = self.chance.choice([b"FIN %b\n"] * 5 + [b"REQ %b 0\n", b"TOUCH %b\n"])
                peer.send((what if message.attempts < 4 else b"FIN %b\n") % message.id)

    def poison(self) -> None:
        """A message that nobody can handle comes again and again."""
        peer = self.connect(self.chance.choice(FORMS))
        peer.publish("poison", b"poison")
        peer.subscribe("poison", "c", ready=1)
        peer.patience = 0.1
        with contextlib.suppress(TimeoutError):
            for _ in range(10):
                message = peer.message()
                over = message.attempts > 8
                peer.send((b"FIN %b\n" if over else b"REQ %b 0\n") % message.id)
        self.end(peer.sock, b"REQ ")

    def topic_life(self) -> None:
        """A topic and its channels are made, paused, emptied, deleted."""
        topic = self.topic().replace("#", "%23")
        self.nsqd.request("POST", f"/topic/create?topic={topic}")
        channel = f"topic={topic}&channel={self.name()}"
        self.nsqd.request("POST", f"/channel/create?{channel}")
        self.nsqd.request("POST", f"/pub?topic={topic}", self.message())
        for what in self.chance.sample(["pause", "unpause", "empty", "delete"], 2):
            self.nsqd.request("POST", f"/channel/{what}?{channel}")
        while len(self.topics) > 20:
            gone = self.topics.pop(self.chance.randrange(len(self.topics)))
            self.delete(gone)

    def delete(self, topic: str) -> None:
        self.nsqd.request("POST", f"/topic/delete?topic={topic.replace('#', '%23')}")

    def http(self) -> None:
        """A connection of HTTP or HTTPS, with some requests."""
        secure = self.chance.random() < 0.5
        sock = self.web(self.https_port if secure else self.nsqd.http_port, secure=secure)
        topic = self.topic().replace("#", "%23")
        for _ in range(self.chance.randrange(4)):
            method, path, data = self.chance.choice([
                ("POST", f"/pub?topic={topic}", self.message()),
                ("POST", f"/mpub?topic={topic}", b"a\nb\nc"),
                ("GET", "/stats?format=json", b""),
                ("GET", "/metrics", b""),
                ("GET", f"/{self.name()}", b""),
                ("POST", f"/pub?topic=bad${self.name()}", b"x"),
            ])  # fmt: skip
            self.request(sock, method, path, data)
        self.end(
            sock, b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nhalf"
        )

    def registrations(self) -> None:
        """An nsqd that registers names at nsqlookupd."""
        sock = self.web(self.lookupd.tcp_port)
        info = {"broadcast_address": self.name(), "hostname": "h", "version": "1"}
        info |= {"tcp_port": 1, "http_port": 2}  # type: ignore[dict-item]
        sock.sendall(b"  V1IDENTIFY\n" + body(json.dumps(info).encode()))
        for _ in range(self.chance.randrange(20)):
            name = self.name().encode()
            sock.sendall(b"REGISTER %b c\nPING\n" % name)
            if self.chance.random() < 0.5:
                sock.sendall(b"UNREGISTER %b c\nUNREGISTER %b\n" % (name, name))
        sock.recv(1 << 16)
        self.end(sock, b"REGISTER half")

    def lookups(self) -> None:
        """What consumers and admins ask nsqlookupd."""
        sock, name = self.web(self.lookupd.http_port), self.name()
        for _ in range(self.chance.randrange(4)):
            method, path = self.chance.choice([
                ("GET", f"/lookup?topic={name}"),
                ("GET", "/nodes"),
                ("GET", "/topics"),
                ("POST", f"/topic/create?topic={name}"),
                ("POST", f"/channel/create?topic={name}&channel=c"),
                ("POST", f"/topic/tombstone?topic={name}&node={name}:1"),
                ("POST", f"/topic/delete?topic={name}"),
            ])  # fmt: skip
            self.request(sock, method, path)
        self.end(sock, b"GET /lookup?top")

    def garbage(self) -> None:
        """Bytes that mean nothing, at any port."""
        ports = [self.nsqd.tcp_port, self.nsqd.http_port, self.https_port]
        ports += [self.lookupd.tcp_port, self.lookupd.http_port]
        sock = self.web(self.chance.choice(ports))
        sock.sendall(self.chance.choice([b"", b"  V2", b"  V1"]) + self.chance.randbytes(500))
        self.end(sock, b"\r\n\r\n")

    # ------------------------------------------------------------ rest

    def rest(self) -> None:
        """End all connections and delete all topics."""
        for sock in self.silent:
            sock.close()
        self.silent.clear()
        self.topics.clear()
        for topic in self.nsqd.get("/stats?format=json&include_clients=false")["topics"] or []:
            self.delete(topic["topic_name"])
