"""What the original's nsqd and nsqlookupd said to our client, recorded once and said again.

``python -m tests.nsqclient.recordings FOLDER`` records anew, with the original's programs in
``FOLDER``, into ``recorded/``: for each scene its connections, each a list of what client and
daemon said in turn, and what came out of it for the program.
"""

import base64
import json
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import trustme
from anyio.streams.tls import TLSStream
from attrs import Factory, define
from tests.e2e.daemons import wait_until
from tests.fakes.raw_server import RawServer
from tests.nsqclient.recorded_layers import Reader, TlsEnd, trusting

import nsqclient
from nsqclient import ConnectionOptions
from nsqclient.http.lookupd import LookupdHttp

FOLDER = Path(__file__).with_name("recorded")
ADDRESS = "recorded:4150"

Turn = tuple[str, bytes]  # "client" or "nsqd", and what it said
Outcome = list[str]
Scene = Callable[[ConnectionOptions, Callable[[], Awaitable[None]]], Awaitable[Outcome]]


# ------------------------------------------------------------------ the scenes


async def publishing(options: ConnectionOptions, _end: object) -> Outcome:
    """One message, several, one for later, and one that is too large."""
    told = []
    async with nsqclient.open_producer(ADDRESS, options=options) as producer:
        await producer.publish("t", b"one")
        await producer.publish_many("t", [b"two", b"three"])
        await producer.publish("t", b"later", defer=60.0)
        try:
            await producer.publish("t", b"x" * 101)
        except nsqclient.PublishError as error:
            told.append(f"{error.code}: {error}")
    return told


async def consuming(options: ConnectionOptions, _end: object) -> Outcome:
    """Messages that are finished, given back, kept, and the end."""
    told = []
    async with nsqclient.open_consumer(
        "t", "c", nsqd=ADDRESS, max_in_flight=1, max_backoff=0, options=options
    ) as consumer:
        async for message in consumer:
            told.append(f"{message.body.decode()} {message.attempts}")
            if message.body == b"two" and message.attempts == 1:
                await message.requeue(0)
                continue
            if message.body == b"two":
                await message.touch()
            await message.finish()
            if len(told) == 4:
                break
    return told


async def waiting(options: ConnectionOptions, end: Callable[[], Awaitable[None]]) -> Outcome:
    """Nothing comes but a heartbeat, which is answered."""
    async with nsqclient.open_consumer("empty", "c", nsqd=ADDRESS, options=options) as consumer:
        await consumer.wait_until_connected()
        await end()
        return [str(consumer.stats().received)]


async def refused(options: ConnectionOptions, _end: object) -> Outcome:
    """An nsqd whose auth server does not answer."""
    try:
        async with nsqclient.open_consumer("t", "c", nsqd=ADDRESS, options=options) as consumer:
            await consumer.wait_until_connected()
    except nsqclient.AuthFailed as error:
        return [f"{error.code}: {error}"]
    return []


def there_and_back(topic: str) -> Scene:
    """One message of ``topic``, by a connection that agrees on something, and by another one."""

    async def scene(options: ConnectionOptions, _end: object) -> Outcome:
        body = b"there and back " * 20
        async with nsqclient.open_producer(ADDRESS, options=options) as producer:
            await producer.publish(topic, body)
        async with nsqclient.open_consumer(
            topic, "c", nsqd=ADDRESS, max_in_flight=1, options=options
        ) as consumer:
            async for message in consumer:
                await message.finish()
                return [f"{message.body == body} {message.attempts}"]
        return []

    return scene


SETTINGS: dict[str, dict[str, Any]] = {
    "refused": {"auth_secret": "secret"},
    "authorized": {"auth_secret": "secret"},
    "deflated": {"deflate": 3},
    "snappy": {"snappy": True},
    "sampled": {"sample_rate": 99},
    "encrypted": {"tls": trusting()},
    "everything": {
        "tls": trusting(),
        "deflate": 6,
        "auth_secret": "secret",
        "sample_rate": 99,
    },
}
SCENES: dict[str, Scene] = {
    scene.__name__: scene for scene in (publishing, consuming, waiting, refused)
} | {name: there_and_back(name) for name in SETTINGS if name != "refused"}


def layered(name: str, stream: "Replayed | Recorded") -> "Replayed | Recorded | TlsEnd":
    """What the client of the scene is given for ``stream``."""
    return TlsEnd(stream) if "tls" in SETTINGS.get(name, {}) else stream


def options(name: str, dial: Callable[[str], Awaitable[Any]]) -> ConnectionOptions:
    """Of the client in the scene called ``name``: nothing of the machine it runs on."""
    return ConnectionOptions(
        client_id="me",
        hostname="here",
        user_agent="tests/1",
        heartbeat_interval=1.0,
        dial=dial,
        **SETTINGS.get(name, {}),
    )


async def lookups(api: LookupdHttp) -> Outcome:
    """All that the client asks an nsqlookupd for."""
    told: Outcome = []
    for topic in ("t", "nowhere"):
        found = await api.lookup(topic)
        told.append(f"{found.channels} {[node.tcp_address for node in found.producers]}")
    told.append(str([node.tcp_address for node in await api.nodes()]))
    told.append(f"{await api.topics()} {await api.channels('t')}")
    return told


# ------------------------------------------------------------------ said again


@define(eq=False)
class Replayed:
    """A stream to an nsqd that says what was recorded, once it has heard what was said before."""

    turns: list[Turn]
    read: Callable[[bytes], bytes] = bytes
    sent: bytes = b""
    heard: anyio.Event = Factory(anyio.Event)
    over: anyio.Event = Factory(anyio.Event)

    @property
    def wanted(self) -> bytes:
        """All that the client said."""
        return b"".join(said for who, said in self.turns if who == "client")

    async def send(self, item: bytes, /) -> None:
        """Raises AssertionError if it is not what was said then."""
        self.sent += self.read(item)
        assert self.wanted.startswith(self.sent), (self.sent, self.wanted)
        self.heard.set()
        self.heard = anyio.Event()
        await anyio.lowlevel.checkpoint()

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        """What comes next; raises `anyio.EndOfStream` at the end."""
        await anyio.lowlevel.checkpoint()
        before = 0
        for number, (who, said) in enumerate(self.turns):
            if who == "client":
                before += len(said)
                continue
            if not said:
                continue
            while len(self.sent) < before:
                await self.heard.wait()
            self.turns[number] = (who, said[max_bytes:])
            return said[:max_bytes]
        while self.sent != self.wanted:
            await self.heard.wait()
        self.over.set()
        raise anyio.EndOfStream

    async def upgrade(self) -> None:
        """Go on behind a handshake."""

    async def aclose(self) -> None:
        """Nothing more is said."""
        self.over.set()


def load(name: str) -> dict[str, Any]:
    """A recording, with bytes as such."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    found["connections"] = [
        [(who, base64.b64decode(said)) for who, said in turns] for turns in found["connections"]
    ]
    return found


# ------------------------------------------------------------------ recording


@define(eq=False)
class Recorded:
    """A stream to a real nsqd that writes down what is said."""

    stream: anyio.abc.ByteStream
    turns: list[Turn]
    read: Callable[[bytes], bytes] = bytes

    def _note(self, who: str, said: bytes) -> None:
        if self.turns and self.turns[-1][0] == who:
            said = self.turns.pop()[1] + said
        self.turns.append((who, said))

    async def send(self, item: bytes, /) -> None:
        """Send it."""
        self._note("client", self.read(item))
        await self.stream.send(item)

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        """What comes."""
        said = await self.stream.receive(max_bytes)
        self._note("nsqd", said)
        return said

    async def upgrade(self) -> None:
        """Shake hands with nsqd; what it says then is a turn of its own."""
        self.turns.append(("client", b""))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.stream = await TLSStream.wrap(
            self.stream, server_side=False, ssl_context=context, standard_compatible=False
        )

    async def aclose(self) -> None:
        """Close it."""
        await self.stream.aclose()


async def record(name: str, port: int) -> dict[str, Any]:
    """The recording of a scene with the nsqd at ``port``."""
    connections: list[list[Turn]] = []

    async def dial(_address: str) -> Any:
        stream = await anyio.connect_tcp("127.0.0.1", port)
        connections.append([])
        return layered(name, Recorded(stream, connections[-1], Reader(name)))

    async def end() -> None:
        await anyio.sleep(1.3)  # until after the first heartbeat, and before the second

    outcome = await SCENES[name](options(name, dial), end)
    turns = [
        [(who, base64.b64encode(said).decode()) for who, said in turns] for turns in connections
    ]
    return {"outcome": outcome, "connections": turns}


@contextmanager
def daemon(program: Path, tcp: int, http: int, *flags: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), f"--tcp-address=127.0.0.1:{tcp}", *flags]
        command.append(f"--http-address=127.0.0.1:{http}")
        if program.name == "nsqd":
            command.append(f"--data-path={folder}")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: answers(http), "it answers")
            yield
            process.terminate()


def answers(http: int) -> bool:
    """Whether somebody answers at the port."""
    try:
        return ask("GET", http, "/ping").startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def ask(method: str, http: int, target: str) -> bytes:
    """The whole answer."""

    with socket.create_connection(("127.0.0.1", http)) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: recorded\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def encrypting() -> Iterator[list[str]]:
    """Flags of an nsqd that has a certificate."""
    with tempfile.TemporaryDirectory() as folder:
        pem = f"{folder}/nsqd.pem"
        trustme.CA().issue_cert("here").private_key_and_cert_chain_pem.write_to_path(pem)
        yield [f"--tls-cert={pem}", f"--tls-key={pem}", "--https-address=127.0.0.1:0"]


MAY = {"topic": ".*", "channels": [".*"], "permissions": ["subscribe", "publish"]}
GRANT = json.dumps({"ttl": 60, "identity": "me", "authorizations": [MAY]}).encode()

QUESTIONS = ("/lookup?topic=t", "/lookup?topic=nowhere", "/nodes", "/topics", "/channels?topic=t")


def main(programs: Path) -> None:
    """Record everything."""
    tcp, http, lookup_tcp, lookup_http = 24150, 24151, 24160, 24161
    small, version = "--max-msg-size=100", subprocess.check_output([programs / "nsqd", "--version"])
    found: dict[str, Any] = {}
    lookupd = f"--lookupd-tcp-address=127.0.0.1:{lookup_tcp}"
    with daemon(programs / "nsqlookupd", lookup_tcp, lookup_http):
        with daemon(programs / "nsqd", tcp, http, small, lookupd, "--broadcast-address=here"):
            for name in ("publishing", "consuming", "waiting"):
                found[name] = anyio.run(record, name, tcp)
            answers = {
                target: base64.b64encode(ask("GET", lookup_http, target)).decode()
                for target in QUESTIONS
            }
    auth = "--auth-http-address=127.0.0.1:1"
    with daemon(programs / "nsqd", tcp, http, auth):
        found["refused"] = anyio.run(record, "refused", tcp)
    with encrypting() as tls, RawServer(b"HTTP/1.0 200 OK\r\n\r\n" + GRANT) as server:
        with daemon(programs / "nsqd", tcp, http, *tls):
            for name in ("deflated", "snappy", "sampled", "encrypted"):
                found[name] = anyio.run(record, name, tcp)
        auth = f"--auth-http-address={server.url.removeprefix('http://').rstrip('/')}"
        with daemon(programs / "nsqd", tcp, http, auth, *tls):
            for name in ("authorized", "everything"):
                found[name] = anyio.run(record, name, tcp)
    for name, recording in found.items():
        recording = {"of": version.decode().strip(), **recording}
        (FOLDER / f"{name}.json").write_text(json.dumps(recording, indent=1) + "\n")
    recording = {"of": version.decode().strip(), "answers": answers}
    (FOLDER / "lookups.json").write_text(json.dumps(recording, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
