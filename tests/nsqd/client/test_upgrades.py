"""Upgrades: TLS, deflate and snappy under a session that stays the same."""

import json
import random
import ssl
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
import trustme
from attrs import define, field, frozen
from tests.nsqd.client.conftest import Wire, bodies, body, grant, identify

from nsqcore.net.tls import ServerTls
from nsqcore.wire.compression.snappy import SnappyCodec
from nsqcore.wire.identify import Limits

PUB = b"PUB t\n" + body(b"x")
CODECS = ["deflate", "snappy"]


@frozen
class Certificates:
    """A server that can be trusted, and a client it may know."""

    ca: trustme.CA
    server: str
    ca_file: str


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    path = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    server = str(path / "server.pem")
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(server)
    ca.cert_pem.write_to_path(str(path / "ca.pem"))
    return Certificates(ca, server, str(path / "ca.pem"))


@define(eq=False)
class Deflate:
    """A client's end of deflate, by zlib alone."""

    level: int = 6
    out: Any = field(init=False)
    into: Any = field(factory=lambda: zlib.decompressobj(-15))

    def __attrs_post_init__(self) -> None:
        self.out = zlib.compressobj(self.level, zlib.DEFLATED, -15)

    def compress(self, data: bytes) -> bytes:
        return self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)

    def decompress(self, data: bytes) -> bytes:
        return self.into.decompress(data)


def make_codec(name: str) -> Any:
    return Deflate() if name == "deflate" else SnappyCodec()


@define(eq=False)
class Compressed:
    """A stream whose bytes travel compressed."""

    stream: Any
    codec: Any

    async def send_all(self, data: bytes) -> None:
        await self.stream.send_all(self.codec.compress(data))

    async def receive_some(self) -> bytes:
        data = self.codec.decompress(b"")
        while not data:
            more = await self.stream.receive_some()
            if not more:
                return b""
            data = self.codec.decompress(bytes(more))
        return data


@define(eq=False)
class Ahead:
    """A stream that sends ``first`` together with whatever comes first, and keeps its answer."""

    stream: Any
    first: bytes
    answer: bytes = b""
    answered: bool = False

    async def send_all(self, data: bytes) -> None:
        first, self.first = self.first, b""
        await self.stream.send_all(first + data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while not self.answered:
            self.answer += await self.stream.receive_some()
            if len(self.answer) >= 4:
                (size,) = struct.unpack_from(">I", self.answer)
                if len(self.answer) >= 4 + size:
                    self.answered = True
                    rest, self.answer = self.answer[4 + size :], self.answer[8 : 4 + size]
                    if rest:
                        return rest
        return bytes(await self.stream.receive_some())

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


@pytest.fixture
def start(make_world, nursery, certificates):
    """Connects a client that has sent its magic; gives the world and the client's stream."""

    async def connect(*, policy: str = "", tls_required: bool = False, auth_required: bool = False):
        world = make_world(
            limits=Limits(tls=True, auth_required=auth_required),
            settings={"tls_required": tls_required, "max_msg_size": 4_000_000},
            clock=lambda: round(trio.current_time() * 1e9),
        )
        root_ca = certificates.ca_file if policy else ""
        tls = ServerTls(certificates.server, certificates.server, policy, root_ca)
        tls.load()
        world.tls = tls
        session = world.session()
        stream = await world.serve(nursery, session)
        nursery.start_soon(world.timers.run)
        return world, session, stream

    return connect


def trusting(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context()
    certificates.ca.configure_trust(context)
    return context


async def over_tls(stream: Any, certificates: Certificates, **wishes: Any) -> tuple[Any, dict]:
    """The stream inside TLS, its hello sent together with the IDENTIFY; what was agreed."""
    first = b"  V2" + identify(feature_negotiation=True, tls_v1=True, **wishes)
    ahead = Ahead(stream, first)
    inside = trio.SSLStream(ahead, trusting(certificates), server_hostname="localhost")
    await inside.do_handshake()
    return inside, json.loads(ahead.answer)


@pytest.fixture(autouse=True)
async def patience():
    """A test that waits in vain fails."""
    with trio.fail_after(60):
        yield


async def test_a_client_hello_right_behind_identify_is_understood(start, certificates):
    world, session, stream = await start()
    inside, agreed = await over_tls(stream, certificates)
    assert agreed["tls_v1"] is True
    wire = Wire(inside)
    assert await wire.next() == "OK"  # says that TLS is on
    await wire.send(PUB)
    assert await wire.next() == "OK"
    assert world.broker.topics["t"].depth == 1
    assert session.client.tls.version == "TLS1.3"


async def test_where_tls_is_required_everything_works_inside(start, certificates):
    _, _, stream = await start(tls_required=True)
    inside, _ = await over_tls(stream, certificates)
    wire = await Wire(inside).send(PUB, b"SUB t c\nRDY 1\n")
    assert await wire.many(3) == ["OK"] * 3
    assert (await wire.next()).body == b"x"


@pytest.mark.parametrize("name", CODECS)
async def test_compressed_commands_right_behind_identify_are_understood(start, name):
    world, _, stream = await start()
    ahead = Ahead(stream, b"  V2" + identify(feature_negotiation=True, **{name: True}))
    wire = await Wire(Compressed(ahead, make_codec(name))).send(PUB, b"SUB t c\nRDY 1\n")
    assert await wire.many(3) == ["OK"] * 3
    assert (await wire.next()).body == b"x"
    assert json.loads(ahead.answer)[name] is True
    assert world.broker.topics["t"].channels["c"].in_flight_count == 1


@pytest.mark.parametrize("name", CODECS)
async def test_compression_goes_inside_tls_and_each_layer_says_ok(start, certificates, name):
    world, _, stream = await start()
    inside, agreed = await over_tls(stream, certificates, **{name: True})
    assert (agreed["tls_v1"], agreed[name]) == (True, True)
    # both may come at once: the OK of TLS is plain inside it, the other is compressed
    data = bytes(await inside.receive_some())
    assert data[:10] == b"\0\0\0\6\0\0\0\0OK"
    codec = make_codec(name)
    wire = Wire(Compressed(inside, codec))
    left = codec.decompress(data[10:]) if data[10:] else b""
    if left:
        wire.waiting = [frame.data.decode() for frame in wire.frames.feed(left)]
    assert await wire.next() == "OK"
    await wire.send(PUB)
    assert await wire.next() == "OK"
    assert world.broker.topics["t"].depth == 1


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.slow
async def test_large_and_small_messages_make_the_round_trip(start, name):
    _, _, stream = await start()
    ahead = Ahead(stream, b"  V2" + identify(feature_negotiation=True, **{name: True}))
    wire = await Wire(Compressed(ahead, make_codec(name))).send(b"SUB t c\nRDY 100\n")
    assert await wire.many(2) == ["OK"] * 2
    sent = [bytes([n]) * 3_000_000 for n in range(3)] + [b"%d" % n for n in range(50)]
    for one in sent:
        await wire.send(b"PUB t\n", body(one))
    answers = await wire.many(2 * len(sent))
    assert sorted(bodies(answers)) == sorted(sent)
    assert answers.count("OK") == len(sent)


@pytest.mark.parametrize("name", CODECS)
async def test_heartbeats_come_compressed_and_silence_ends_the_connection(
    start, name, autojump_clock
):
    _, session, stream = await start()
    wishes = {"feature_negotiation": True, "heartbeat_interval": 1000, name: True}
    ahead = Ahead(stream, b"  V2" + identify(**wishes))
    wire = await Wire(Compressed(ahead, make_codec(name))).send(b"NOP\n")
    assert await wire.rest() == ["OK", "_heartbeat_"]
    assert session.outbox.ended


@pytest.mark.parametrize("name", CODECS)
async def test_what_is_not_compressed_ends_the_connection(start, name):
    world, session, stream = await start()
    await stream.send_all(b"  V2" + identify(feature_negotiation=True, **{name: True}))
    await stream.send_all(b"\xff" * 100)
    while await stream.receive_some():
        pass
    await trio.testing.wait_all_tasks_blocked()
    assert world.ended == [session]


async def test_a_handshake_that_fails_ends_the_connection_with_an_error(start):
    world, session, stream = await start()
    await stream.send_all(b"  V2" + identify(feature_negotiation=True, tls_v1=True) + b"GET /\r\n")
    answers = b""
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some():
            answers += data
    assert answers.endswith(
        b"\0\0\0\1E_IDENTIFY_FAILED IDENTIFY failed"
        b" tls: first record does not look like a TLS handshake"
    )
    await trio.testing.wait_all_tasks_blocked()
    assert world.ended == [session]


async def test_a_handshake_that_never_comes_is_not_waited_for(start, autojump_clock):
    world, session, stream = await start()
    await stream.send_all(b"  V2" + identify(feature_negotiation=True, tls_v1=True))
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    await trio.testing.wait_all_tasks_blocked()
    assert world.ended == [session]
    assert trio.current_time() < 10


async def test_the_name_in_a_clients_certificate_is_known(start, certificates):
    _, session, stream = await start(policy="require-verify")
    first = b"  V2" + identify(feature_negotiation=True, tls_v1=True)
    context = trusting(certificates)
    certificates.ca.issue_cert("x@example.test", common_name="a client").configure_cert(context)
    inside = trio.SSLStream(Ahead(stream, first), context, server_hostname="localhost")
    wire = await Wire(inside).send(PUB)
    assert await wire.many(2) == ["OK", "OK"]
    assert session.client.tls.common_name == "a client"


async def test_a_consumer_inside_tls_gives_back_what_it_held_when_it_goes(start, certificates):
    world, _, stream = await start()
    inside, _ = await over_tls(stream, certificates)
    wire = await Wire(inside).send(PUB, b"SUB t c\nRDY 1\n")
    answers = await wire.many(4)
    assert bodies(answers) == [b"x"]
    await trio.aclose_forcefully(stream)
    await trio.testing.wait_all_tasks_blocked()
    assert world.broker.topics["t"].channels["c"].depth == 1
    assert not world.broker.topics["t"].channels["c"].consumers


@pytest.mark.parametrize("outer", CODECS)
@pytest.mark.parametrize("inner", ["deflate", "snappy", "tls_v1"])
async def test_a_compressed_connection_is_not_upgraded_again(start, outer, inner):
    _, _, stream = await start()
    ahead = Ahead(stream, b"  V2" + identify(feature_negotiation=True, **{outer: True}))
    wire = Wire(Compressed(ahead, make_codec(outer)))
    await wire.send(identify(feature_negotiation=True, **{inner: True}), PUB)
    assert await wire.rest() == [
        "OK",
        "E_INVALID cannot IDENTIFY with TLS or compression inside a compressed connection",
    ]


@pytest.mark.slow
async def test_tls_is_not_upgraded_to_tls_but_may_be_compressed_later(start, certificates):
    _, _, stream = await start()
    inside, _ = await over_tls(stream, certificates)
    wire = Wire(inside)
    assert await wire.next() == "OK"
    await wire.send(identify(feature_negotiation=True, deflate=True))
    assert json.loads(await wire.next())["deflate"] is True
    wire = Wire(Compressed(inside, Deflate()))
    await wire.send(PUB)
    assert await wire.many(2) == ["OK", "OK"]

    _, _, stream = await start()
    inside, _ = await over_tls(stream, certificates)
    wire = await Wire(inside).send(identify(feature_negotiation=True, tls_v1=True))
    assert await wire.rest() == ["OK", "E_INVALID cannot IDENTIFY with TLS inside TLS"]


@pytest.mark.parametrize("name", CODECS)
async def test_an_upgraded_client_may_identify_again_without_upgrades(start, name):
    _, session, stream = await start()
    ahead = Ahead(stream, b"  V2" + identify(feature_negotiation=True, **{name: True}))
    wire = Wire(Compressed(ahead, make_codec(name)))
    await wire.send(identify(feature_negotiation=True, client_id="second"), PUB)
    first, second, third = await wire.many(3)
    assert (first, json.loads(second)[name], third) == ("OK", False, "OK")
    assert session.client.identity.client_id == "second"


async def test_what_a_client_says_of_itself_is_logged_in_part_only(start, caplog):
    _, _, stream = await start()
    with caplog.at_level("INFO"):
        wire = Wire(stream)
        await wire.send(b"  V2", identify(user_agent="x" * 1_000_000) * 3, PUB)
        assert await wire.many(4) == ["OK"] * 4
    assert len(caplog.text) < 10_000


@pytest.mark.parametrize("name", CODECS)
async def test_others_are_served_while_a_few_bytes_expand_to_many_commands(start, nursery, name):
    world, _, stream = await start()
    wire = Wire(await world.serve(nursery, world.session()))
    await wire.send(b"  V2", PUB)
    assert await wire.next() == "OK"
    await stream.send_all(b"  V2" + identify(feature_negotiation=True, **{name: True}))
    await stream.receive_some()
    # in one read, 2 MB of commands, eight times what a session is given at once
    last = b"PUB last\n" + body(b"x")
    await stream.send_all(make_codec(name).compress(b"NOP\n" * 500_000 + last))
    await wire.send(PUB)
    assert await wire.next() == "OK"
    assert list(world.broker.topics) == ["t"]


@pytest.mark.parametrize("name", CODECS)
async def test_auth_is_waited_for_inside_an_upgraded_connection_too(start, name):
    world, _, stream = await start(auth_required=True)
    world.verdicts = [grant(topic="^t$")]
    ahead = Ahead(stream, b"  V2" + identify(feature_negotiation=True, **{name: True}))
    wire = Wire(Compressed(ahead, make_codec(name)))
    await wire.send(b"AUTH\n", body(b"secret"), PUB, b"PUB u\n", body(b"x"))
    answers = await wire.rest()
    assert answers[0] == "OK"
    assert json.loads(answers[1])["identity"] == "me"
    assert answers[2:] == ["OK", 'E_UNAUTHORIZED AUTH failed for PUB on "u" ""']
    assert list(world.broker.topics) == ["t"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CODECS)
async def test_a_client_that_does_not_read_what_is_compressed_is_given_a_bounded_amount(
    start, name
):
    world, session, stream = await start()
    ahead = Ahead(stream, b"  V2" + identify(feature_negotiation=True, **{name: True}))
    wire = Wire(Compressed(ahead, make_codec(name)))
    await wire.send(b"SUB t c\nRDY 2500\n")
    assert await wire.many(2) == ["OK", "OK"]
    noise = random.Random(1)
    sent = [b"%04d" % n + noise.randbytes(50_000) for n in range(200)]
    world.publish("t", *sent)
    channel = world.broker.topics["t"].channels["c"]
    assert channel.depth > 100
    received = bodies(await wire.many(200))
    assert sorted(received) == sent
    assert session.outbox.size == 0
