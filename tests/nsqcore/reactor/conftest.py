"""Sessions for the tests of the drivers, and a reactor that serves them on loopback."""

from functools import partial
from typing import Any

import attrs
import pytest
import trio

from nsqcore.net.effects import Close, Effect, HandOver, Peer, Upgrade, Wait
from nsqcore.net.layers import Compression
from nsqcore.net.outbox import Outbox, Slot
from nsqcore.reactor.listeners import Listener, open_listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.wire.compression.deflate import DeflateCodec
from nsqcore.wire.compression.snappy import SnappyCodec

CODECS = {b"deflate": DeflateCodec, b"snappy": SnappyCodec}


@attrs.define(eq=False)
class LineSession:
    """A session of words, one a line; every word has an effect or is echoed.

    ``bye`` closes, ``quit`` does and hardly lingers, ``wait`` waits for the gate, ``fail`` raises,
    ``slot`` takes a place for what the test answers, ``deflate`` and ``snappy`` upgrade,
    ``stream`` leaves the connection to ``run``, ``big N`` is answered with N bytes, ``noise…`` not
    at all.
    """

    peer: Peer
    gate: trio.Event = attrs.field(factory=trio.Event)
    outbox: Outbox = attrs.field(factory=Outbox, init=False)
    run: Any = None
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    error: Exception | None = attrs.field(default=None, init=False)
    ends: int = attrs.field(default=0, init=False)
    taken: int = attrs.field(default=0, init=False)
    slots: list[Slot] = attrs.field(factory=list, init=False)
    _rest: bytes = attrs.field(default=b"", init=False)

    def received(self, data: bytes) -> Effect | None:
        self.taken += len(data)
        if not data:
            self.outbox.add(b"end\n")
            return Close()
        self._rest += data
        return self._run()

    def _resume(self) -> Effect | None:
        self.outbox.add(b"resumed\n")
        return self._run()

    def closed(self, error: Exception | None) -> None:
        self.ends += 1
        self.error = error
        self.ended.set()

    def _run(self) -> Effect | None:
        while self._rest:
            word, newline, rest = self._rest.partition(b"\n")
            if not newline:
                break
            self._rest = rest
            if word == b"bye":
                self.outbox.add(b"goodbye\n")
                return Close("asked to")
            if word == b"quit":
                self.outbox.add(b"goodbye\n")
                return Close("asked to", linger=0.02)
            if word == b"wait":
                return Wait(self.gate.wait, self._resume)
            if word == b"slot":
                self.slots.append(self.outbox.hold())
                continue
            if word == b"fail":
                raise RuntimeError("a session's fault")
            if word in CODECS:
                rest, self._rest = self._rest, b""
                self.outbox.add(b"upgrading\n")
                resume = partial(self.outbox.add, b"upgraded\n")
                return Upgrade(Compression(CODECS[word]()), resume, rest)
            if word == b"stream":
                return HandOver(self.run)
            if word.startswith(b"big "):
                self.outbox.add(bytes(int(word[4:])))
            elif not word.startswith(b"noise"):
                self.outbox.add(b"%s!\n" % word)
        return None


@attrs.define(eq=False)
class Server:
    """A reactor that serves `LineSession`s, and its clients."""

    reactor: Reactor
    listener: Listener
    sessions: list[LineSession] = attrs.field(factory=list)
    clients: list[trio.SocketStream] = attrs.field(factory=list)
    #: What the sessions of the clients to come wait for.
    gate: trio.Event = attrs.field(factory=trio.Event)

    async def connect(self) -> trio.SocketStream:
        """A client, closed with the test."""
        if self.listener.path:
            stream = await trio.open_unix_socket(self.listener.path)
        else:
            stream = await trio.open_tcp_stream("127.0.0.1", self.listener.port)
        self.clients.append(stream)
        return stream

    async def ask(self, stream: trio.abc.Stream, text: bytes) -> bytes:
        """The line that ``text`` is answered with."""
        await stream.send_all(text)
        return await self.line(stream)

    async def line(self, stream: trio.abc.ReceiveStream) -> bytes:
        """The next line, read with care not to read more."""
        line = b""
        while not line.endswith(b"\n"):
            byte = await stream.receive_some(1)
            if not byte:
                break
            line += byte
        return line

    async def rest(self, stream: trio.abc.ReceiveStream) -> bytes:
        """Everything up to the end."""
        found = b""
        while chunk := await stream.receive_some(65536):
            found += chunk
        return found

    async def skip(self, stream: trio.abc.ReceiveStream, size: int) -> None:
        """Read ``size`` bytes."""
        while size:
            chunk = await stream.receive_some(size)
            assert chunk
            size -= len(chunk)

    def make(self, peer: Peer) -> LineSession:
        session = LineSession(peer, self.gate)
        self.sessions.append(session)
        return session


@pytest.fixture
def new_session():
    """Makes a `LineSession` of no particular peer."""
    return lambda: LineSession(Peer("127.0.0.1:1"))


@pytest.fixture
async def start_server(nursery):
    """Starts a `Server`; all are closed, with their clients, after the test."""
    servers: list[Server] = []

    async def start(
        address: str = "127.0.0.1:0", end_tick=lambda: None, layer=None, **options: Any
    ) -> Server:
        reactor = Reactor(end_tick, **options)
        server = Server(reactor, open_listener(address))
        servers.append(server)
        reactor.listen(server.listener, server.make, layer=layer)

        async def run(task_status: Any) -> None:
            await reactor.run(task_status=task_status)

        await nursery.start(run)
        return server

    with trio.fail_after(120):  # a test that waits in vain fails
        yield start
    for server in servers:
        for client in server.clients:
            await trio.aclose_forcefully(client)
    nursery.cancel_scope.cancel()


@pytest.fixture(params=["epoll", "tasks"])
async def server(start_server, request):
    """A `Server`, both ways: with the epoll set, and as where there is none."""
    return await start_server(use_epoll=request.param == "epoll")
