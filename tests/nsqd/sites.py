"""Everything of nsqd and nsqlookupd that listens, on one reactor in the test's process."""

import json
import ssl
import struct
import zlib
from collections.abc import Callable
from typing import Any

import attrs
import cramjam
import pytest
import trio
import trustme
from tests.nsqd.client.conftest import World

from nsqcore.http.request import Request
from nsqcore.http.responses import Response, text
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Handler, Peer
from nsqcore.net.layers import Layer
from nsqcore.net.tls import ServerTls
from nsqcore.reactor.listeners import open_listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.wire.identify import Limits
from nsqlookupd.dispatch import LookupSession
from nsqlookupd.registry import Registry

MIB = 1024 * 1024


def sized(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def identify(**wishes: Any) -> bytes:
    return b"IDENTIFY\n" + sized(json.dumps(wishes).encode())


@attrs.define(eq=False)
class Site:
    """Everything that listens, on one reactor."""

    world: World
    reactor: Reactor
    tls: ServerTls
    trusting: ssl.SSLContext
    #: The certificate of the authority that they trust, in PEM.
    authority: str
    clients: list[trio.SocketStream] = attrs.field(factory=list)
    ports: dict[str, int] = attrs.field(factory=dict)
    rounds: list[float] = attrs.field(factory=list)

    def listen(
        self, name: str, make: Callable[[Peer], Handler], layer: Callable[[], Layer] | None = None
    ) -> None:
        listener = open_listener("127.0.0.1:0")
        self.ports[name] = listener.port
        self.reactor.listen(listener, make, layer=layer)

    async def connect(self, name: str) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.ports[name])
        self.clients.append(stream)
        return stream


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[trustme.CA, str]:
    path = str(tmp_path_factory.mktemp("tls") / "server.pem")
    ca = trustme.CA()
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    return ca, path


@pytest.fixture
def longest() -> float:
    """Seconds that a test may take, on its clock."""
    return 100


@pytest.fixture
async def site(nursery, tmp_path, certificate, longest):
    ca, path = certificate
    world = World(tmp_path, limits=Limits(tls=True), clock=lambda: round(trio.current_time() * 1e9))
    rounds: list[float] = []
    world.reactor = reactor = Reactor(world.dispatch, watchdog=rounds.append)
    world.tls = ServerTls(path, path)
    world.tls.load()
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    authority = ca.cert_pem.bytes().decode()
    site = Site(world, reactor, world.tls, trusting, authority, rounds=rounds)
    router = Router()
    router.add("GET", "/ping", lambda _request: text("OK"))
    router.add("GET", "/big", lambda _request: text("x" * MIB))
    router.add("POST", "/pub", publish(world), max_body=MIB)
    registry = Registry(inactive_after=1 << 40, tombstone_lifetime=1 << 40)

    def make_http(peer: Peer) -> HttpSession:
        return HttpSession(router, peer)

    def make_lookup(peer: Peer) -> LookupSession:
        return LookupSession(peer, registry, lambda: {}, world.time)

    site.listen("tcp", lambda peer: world.session(peer.address))
    site.listen("http", make_http)
    site.listen("https", make_http, world.tls.layer)
    site.listen("lookup", make_lookup)
    await nursery.start(lambda task_status: reactor.run(task_status=task_status))
    nursery.start_soon(world.timers.run)
    with trio.fail_after(longest):
        yield site
    for stream in site.clients:
        stream.socket.close()
    nursery.cancel_scope.cancel()


def publish(world: World) -> Callable[[Request], Response]:
    def pub(request: Request) -> Response:
        world.broker.publish("t", [request.body], world.time())
        return text("OK")

    return pub


def socket_of(stream: Any) -> Any:
    """The socket below the layers of a client's ``stream``."""
    while not hasattr(stream, "socket"):
        stream = stream.transport_stream if hasattr(stream, "transport_stream") else stream.stream
    return stream.socket


async def encrypted(site: Site, stream: trio.SocketStream) -> trio.SSLStream:
    inside = trio.SSLStream(stream, site.trusting, server_hostname="localhost")
    await inside.do_handshake()
    return inside


@attrs.define(eq=False)
class Packed:
    """A stream whose bytes are compressed once, and sent as they are."""

    stream: Any
    pack: Callable[[bytes], bytes]

    async def send_all(self, data: bytes) -> None:
        await self.stream.send_all(self.pack(data))

    async def receive_some(self, size: int) -> bytes:
        return bytes(await self.stream.receive_some(size))

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


PACK = {"deflate": deflated, "snappy": lambda data: bytes(cramjam.snappy.compress(data))}


async def identified(site: Site, **wishes: Any) -> trio.SocketStream:
    """A client of the V2 protocol that has been told what IDENTIFY agreed."""
    stream = await site.connect("tcp")
    await stream.send_all(b"  V2" + identify(feature_negotiation=True, **wishes))
    header = b""
    while len(header) < 4:
        header += await stream.receive_some(4 - len(header))
    left = struct.unpack(">i", header)[0]
    while left:
        left -= len(await stream.receive_some(left))
    return stream


async def before_tls(site: Site) -> trio.SocketStream:
    """A client of the V2 protocol whose next bytes are to be a TLS handshake."""
    return await identified(site, tls_v1=True)


async def upgraded(site: Site, form: str, **wishes: Any) -> Any:
    """A client of the V2 protocol that has upgraded as ``form`` says."""
    compression = form.split()[-1] if form.split()[-1] in PACK else ""
    if compression:
        wishes[compression] = True
    stream: Any = await identified(site, tls_v1="tls" in form, **wishes)
    if "tls" in form:
        stream = await encrypted(site, stream)
    if compression:
        stream = Packed(stream, PACK[compression])
    return stream
