"""Connections that are TLS from the beginning, over real sockets."""

import socket
import ssl
import time

import attrs
import pytest
import trio
import trustme
from tests.nsqcore.reactor.conftest import CODECS, Server

from nsqcore.net.layers import Layer
from nsqcore.net.tls import ServerTls
from nsqcore.net.tls_layer import TlsError
from nsqcore.reactor.connections.lifecycle import BUDGET


@attrs.frozen
class Certificates:
    """A server that can be trusted."""

    ca: trustme.CA
    server: ServerTls

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    path = str(tmp_path_factory.mktemp("tls") / "server.pem")
    ca = trustme.CA()
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    server = ServerTls(path, path)
    server.load()
    return Certificates(ca, server)


@pytest.fixture(params=["epoll", "tasks"])
async def server(start_server, certificates, request) -> Server:
    """A `Server` that speaks TLS, both ways: with the epoll set, and as where there is none."""
    return await start_server(layer=certificates.server.layer, use_epoll=request.param == "epoll")


@pytest.fixture
def connect(server, certificates):
    """Connects a client that has shaken hands."""

    async def connect_client() -> trio.SSLStream:
        stream = trio.SSLStream(
            await server.connect(), certificates.trusting(), server_hostname="localhost"
        )
        await stream.do_handshake()
        return stream

    return connect_client


async def test_a_session_is_served_inside_tls(server, connect):
    client = await connect()
    await client.send_all(b"\nbig 1000000\nbye\n")
    assert await server.rest(client) == b"!\n" + bytes(1_000_000) + b"goodbye\n"
    session = server.sessions[0]
    await session.ended.wait()
    assert (session.ends, session.error) == (1, None)


@pytest.mark.parametrize("name", [b"deflate", b"snappy"])
async def test_what_is_compressed_inside_tls_is_understood(server, connect, name):
    client, codec = await connect(), CODECS[name]()
    await client.send_all(name + b"\n")
    assert await server.line(client) == b"upgrading\n"
    await client.send_all(codec.compress(b"big 2000000\nlast\n"))
    found = b""
    while not found.endswith(b"last!\n"):
        found += codec.decompress(bytes(await client.receive_some()))
        while codec.has_more:
            found += codec.decompress(b"")
    assert found == b"upgraded\n" + bytes(2_000_000) + b"last!\n"


class Slow:
    """A layer that takes as long to encode something as a round has for all."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> object:
        return getattr(self._layer, name)

    def encode(self, data: bytes | memoryview) -> bytes:
        until = time.perf_counter() + BUDGET
        while time.perf_counter() < until:
            pass
        return self._layer.encode(data)


@pytest.mark.slow
@pytest.mark.parametrize("use_epoll", [True, False], ids=["epoll", "tasks"])
async def test_those_whom_a_round_has_no_time_for_are_answered_in_the_next(
    start_server, certificates, use_epoll
):
    server = await start_server(
        layer=lambda: Slow(certificates.server.layer()), use_epoll=use_epoll
    )
    clients = [await server.connect() for _ in range(4)]
    for client in clients:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificates.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        # Without a checkpoint, so that the server finds the hellos of all in one round.
        client.socket._sock.sendall(outgoing.read())
    with trio.fail_after(4):  # less than a handshake may take
        for client in clients:
            assert (await client.receive_some()).startswith(b"\x16\x03\x03")  # a server's hello


class Faulty:
    """A layer with a programming error in the method ``where`` when its client comes to it."""

    def __init__(self, layer: Layer, where: str) -> None:
        self._layer, self._where = layer, where

    def __getattr__(self, name: str) -> object:
        return self._fail if name == self._where else getattr(self._layer, name)

    def _fail(self, *_: object) -> bytes:
        raise RuntimeError("a fault of the layer")


@pytest.mark.parametrize("use_epoll", [True, False], ids=["epoll", "tasks"])
@pytest.mark.parametrize("where", ["decode", "encode", "end_input"])
async def test_an_unexpected_error_in_a_handshake_costs_that_connection_only(
    start_server, certificates, caplog, use_epoll, where
):
    layers = [certificates.server.layer, lambda: Faulty(certificates.server.layer(), where)]
    server = await start_server(layer=lambda: layers.pop()(), use_epoll=use_epoll)
    layers.insert(0, certificates.server.layer)
    faulty = await server.connect()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    await faulty.send_all(outgoing.read())
    await faulty.send_eof()
    await server.rest(faulty)
    assert "session failed" in caplog.text
    assert "a fault of the layer" in caplog.text
    client = trio.SSLStream(
        await server.connect(), certificates.trusting(), server_hostname="localhost"
    )
    assert await server.ask(client, b"hello\n") == b"hello!\n"
    assert server.sessions[0].ends == 1


async def test_a_client_that_goes_without_a_word_is_no_error(server, connect):
    client = await connect()
    assert await server.ask(client, b"hello\n") == b"hello!\n"
    await client.transport_stream.aclose()
    await server.sessions[0].ended.wait()
    assert server.sessions[0].error is None


async def test_a_client_that_says_goodbye_gets_its_answers(server, connect):
    client = await connect()
    await client.send_all(b"one\n")
    assert await server.line(client) == b"one!\n"
    await client.aclose()
    await server.sessions[0].ended.wait()
    assert server.sessions[0].taken == 4


async def test_a_failed_handshake_is_the_end_of_one_connection(server, connect):
    await (await server.connect()).send_all(b"GET / HTTP/1.1\r\n\r\n")
    client = await connect()
    assert await server.ask(client, b"hello\n") == b"hello!\n"
    await server.sessions[0].ended.wait()
    assert isinstance(server.sessions[0].error, TlsError)


@pytest.mark.parametrize("what", [b"", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16"])
async def test_a_client_that_never_shakes_hands_is_given_up(server, autojump_clock, what):
    client = await server.connect()
    await client.send_all(what)
    assert await server.rest(client) == b""
    await server.sessions[0].ended.wait()
    assert "took too long" in str(server.sessions[0].error)
    assert 5 <= trio.current_time() < 8


async def test_a_peer_that_hangs_up_during_its_handshake_is_gone(server, connect):
    client = await server.connect()
    await client.send_all(b"\x16\x03\x01")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.socket.close()
    other = await connect()
    assert await server.ask(other, b"hello\n") == b"hello!\n"
    await server.sessions[0].ended.wait()
    assert server.reactor.connections == 1


async def test_the_clients_are_closed_with_a_parting_word(server, connect):
    client = await connect()
    assert await server.ask(client, b"hello\n") == b"hello!\n"
    silent = await server.connect()
    assert await server.ask(client, b"again\n") == b"again!\n"
    server.sessions[0].outbox.add(b"farewell\n")
    await server.reactor.close_clients(5)
    assert server.reactor.connections == 0
    assert await server.rest(client) == b"farewell\n"  # the end would else be an error
    assert await server.rest(silent) == b""
