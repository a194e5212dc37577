"""AUTH: what a session makes of the auth servers' word, and how they are asked."""

import gc
import json
import re
import ssl
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trustme
from tests.fakes.fake_http import fake_server
from tests.nsqd.client.conftest import body, grant, identify, mpub
from tests.support.children import end_with_parent
from tests.support.passes import measured_passes

from nsqcore.net.effects import Close, Wait
from nsqcore.wire.identify import Limits
from nsqd.client.auth import MAX_REPLY, AuthServers, AuthSettings
from nsqd.client.authorities import Authorities
from nsqd.client.client import TlsState
from nsqd.client.permissions import BadPermissions

AUTH = b"AUTH\n" + body(b"secret")
PUB = b"PUB t\n" + body(b"x")
IDENTITY = '{"identity":"me","identity_url":"http://me","permission_count":1}'


@pytest.fixture
def world(make_world):
    return make_world(limits=Limits(auth_required=True))


class TestUnfinished:
    """A body is not read to its end where the line already says that it is refused."""

    @pytest.mark.parametrize("line", [b"MPUB t\n", b"PUB t\n", b"DPUB t 5\n"])
    def test_before_auth_no_body_is_waited_for(self, world, line):
        talk = world.connect()
        name = line.split()[0].decode()
        assert talk.send(line, b"\0\0\x10\0") == [f"E_AUTH_FIRST AUTH required before {name}"]
        assert talk.effect == Close()

    @pytest.mark.parametrize("line", [b"MPUB no\n", b"PUB no\n", b"DPUB no 5\n"])
    def test_what_is_not_allowed_is_not_waited_for(self, world, line):
        talk = world.connect()
        talk.client.permissions = world.permissions(topic="^yes$")
        talk.client.authed = True
        name = line.split()[0].decode()
        refusal = f'E_UNAUTHORIZED AUTH failed for {name} on "no" ""'
        assert talk.send(line, b"\0\0\x10\0") == [refusal]

    def test_what_is_allowed_is_waited_for(self, world):
        talk = world.connect()
        talk.client.permissions = world.permissions()
        talk.client.authed = True
        assert talk.send(b"PUB t\n\0\0\0\2x") == []
        assert talk.send(b"y") == ["OK"]


class TestSession:
    @pytest.mark.parametrize(
        ("command", "name"),
        [
            (PUB, "PUB"),
            (mpub("t", b"x"), "MPUB"),
            (b"DPUB t 0\n" + body(b"x"), "DPUB"),
            (b"SUB t c\n", "SUB"),
        ],
    )
    def test_publishing_and_subscribing_need_an_auth_first(self, world, command, name):
        client = world.connect()
        assert client.send(command) == [f"E_AUTH_FIRST AUTH required before {name}"]
        assert isinstance(client.effect, Close)
        assert not world.broker.topics

    async def test_auth_is_answered_with_who_one_is(self, world):
        world.verdicts = [grant()]
        client = world.connect()
        assert client.send(AUTH) == []
        assert await client.go_on() == [IDENTITY]
        assert world.asked == [b"secret"]
        assert client.send(PUB) == ["OK"]

    async def test_commands_behind_an_auth_wait_for_its_answer(self, world):
        world.verdicts = [grant()]
        client = world.connect()
        assert client.send(AUTH, PUB, b"SUB t c\nRDY 1\n") == []
        assert not world.broker.topics
        answers = await client.go_on()
        assert answers[:3] == [IDENTITY, "OK", "OK"]
        assert answers[3].body == b"x"

    async def test_a_second_auth_is_refused(self, world):
        world.verdicts = [grant()]
        client = world.connect()
        client.send(AUTH, AUTH)
        assert await client.go_on() == [IDENTITY, "E_INVALID AUTH already set"]
        assert isinstance(client.effect, Close)

    async def test_without_an_answer_from_the_servers_auth_fails(self, world):
        world.verdicts = [BadPermissions("they are down")]
        client = world.connect()
        client.send(AUTH, PUB)
        assert await client.go_on() == ["E_AUTH_FAILED AUTH failed"]
        assert isinstance(client.effect, Close)
        assert not world.broker.topics

    @pytest.mark.parametrize("verdict", [BadPermissions("they are down"), b'{"ttl": 60}'])
    async def test_a_refused_client_is_let_go_of_at_once(self, world, verdict):
        """10 to 24 kB stayed of each, before AUTH."""
        world.verdicts = [verdict]
        client = world.connect()
        left = weakref.ref(client.client)
        gc.disable()
        try:
            client.send(AUTH)
            await client.go_on()
            client.hang_up()
            world.ended.clear()
            world.talks.clear()
            del client
            assert left() is None
        finally:
            gc.enable()

    async def test_a_client_that_may_do_nothing_is_told_so(self, world):
        world.verdicts = [b'{"ttl": 60}']
        client = world.connect()
        client.send(AUTH)
        assert await client.go_on() == ["E_UNAUTHORIZED AUTH no authorizations found"]
        assert isinstance(client.effect, Close)

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            (b"PUB other\n" + body(b"x"), 'PUB on "other" ""'),
            (mpub("other", b"x"), 'MPUB on "other" ""'),
            (b"DPUB other 0\n" + body(b"x"), 'DPUB on "other" ""'),
            (b"SUB other c\n", 'SUB on "other" "c"'),
            (b"SUB t nope\n", 'SUB on "t" "nope"'),
        ],
    )
    async def test_what_no_pattern_allows_is_unauthorized(self, world, command, text):
        world.verdicts = [grant(topic="^t$", channels=("^c?$",))]
        client = world.connect()
        client.send(AUTH)
        await client.go_on()
        assert client.send(command) == [f"E_UNAUTHORIZED AUTH failed for {text}"]
        assert isinstance(client.effect, Close)
        assert not world.broker.topics

    async def test_run_out_permissions_are_asked_for_again_without_the_client_noticing(self, world):
        world.verdicts = [grant(ttl=2), grant(ttl=2)]
        client = world.connect()
        client.send(AUTH)
        await client.go_on()
        assert client.send(PUB) == ["OK"]
        world.advance(2)
        assert client.send(PUB, b"SUB t c\n") == []
        assert isinstance(client.effect, Wait)
        assert await client.go_on() == ["OK", "OK"]
        assert client.effect is None
        assert world.asked == [b"secret"] * 2
        assert world.broker.topics["t"].message_count == 2

    @pytest.mark.parametrize(
        ("verdict", "answer"),
        [
            (BadPermissions("403"), "E_AUTH_FAILED AUTH failed"),
            (b'{"ttl": 60}', 'E_UNAUTHORIZED AUTH failed for PUB on "t" ""'),
            (grant(topic="^u$"), 'E_UNAUTHORIZED AUTH failed for PUB on "t" ""'),
        ],
    )
    async def test_a_denial_of_run_out_permissions_applies(self, world, verdict, answer):
        world.verdicts = [grant(ttl=2), verdict]
        client = world.connect()
        client.send(AUTH)
        await client.go_on()
        world.advance(3)
        assert client.send(PUB) == []
        assert await client.go_on() == [answer]
        assert isinstance(client.effect, Close)
        assert not world.broker.topics

    async def test_a_subscribed_client_goes_on_whatever_becomes_of_its_permissions(self, world):
        world.verdicts = [grant(ttl=1)]
        client = world.connect()
        client.send(AUTH, b"SUB t c\nRDY 1\n")
        await client.go_on()
        world.advance(5)
        world.publish("t", b"x")
        (message,) = client.taken()
        assert client.send(b"FIN %b\n" % message.id) == []
        assert len(world.asked) == 1

    async def test_a_client_that_waits_for_its_answer_is_not_taken_for_a_silent_one(self, world):
        world.verdicts = [grant()]
        client = world.connect(identify(heartbeat_interval=1000))
        client.send(AUTH)
        for _ in range(5):
            world.advance(1)  # what it says meanwhile is not read
        assert client.session.outbox.closing is None
        await client.go_on()
        world.advance(1)
        assert client.session.outbox.closing is None
        world.advance(1)
        assert client.session.outbox.closing == "heartbeats unanswered"

    async def test_a_client_that_leaves_meanwhile_is_let_go(self, world):
        world.verdicts = [grant()]
        client = world.connect()
        client.send(AUTH, b"SUB t c\n")
        client.hang_up()
        assert world.ended == [client.session]

    FAULTY = b"MPUB t\n" + body(b"\0\0\0\1\0\0\0\0")

    def test_a_faulty_mpub_makes_no_topic_before_auth(self, world):
        client = world.connect()
        assert client.send(self.FAULTY) == ["E_AUTH_FIRST AUTH required before MPUB"]
        assert not world.broker.topics

    async def test_a_faulty_mpub_makes_its_topic_only_where_that_is_allowed(self, world):
        world.verdicts = [grant(topic="^t$"), grant(topic="^u$")]
        allowed, other = world.connect(), world.connect()
        for client in (allowed, other):
            client.send(AUTH)
            await client.go_on()
        assert other.send(self.FAULTY) == ['E_UNAUTHORIZED AUTH failed for MPUB on "t" ""']
        assert not world.broker.topics
        assert allowed.send(self.FAULTY) == ["E_BAD_MESSAGE MPUB invalid message(0) body size 0"]
        assert "t" in world.broker.topics


# ---------------------------------------------------------------- asking


@pytest.fixture
def client(world):
    """A client that wants to be let in."""
    client = world.connect(address="[::1]:77").client
    client.secret = b"a secret/&=\xff"
    return client


async def ask(client, *addresses: str, **settings) -> None:
    """Have the servers at ``addresses`` asked about ``client``."""
    patient = {"connect_timeout": 60, "request_timeout": 60} | settings
    servers = AuthServers(AuthSettings(addresses=addresses, **patient), time.monotonic_ns)
    with trio.fail_after(60):
        await Authorities(servers).authorize(client)


@asynccontextmanager
async def raw_server(serve, *, read=True):
    """The address of a server that does ``serve(stream)`` with each connection."""

    async def connection(stream):
        try:
            async with stream:
                if read:
                    await stream.receive_some()
                await serve(stream)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, connection, listeners)
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def yes(_asked):
    return 200, grant()


class TestAsking:
    async def test_get_asks_by_query(self, client):
        async with fake_server(yes) as server:
            await ask(client, server.address)
        (asked,) = server.asked
        assert (asked.method, asked.path, asked.body) == ("GET", "/auth", b"")
        assert asked.query == {
            "remote_ip": "::1",
            "tls": "false",
            "secret": "a secret/&=\ufffd",  # the byte as it is, here read as UTF-8
            "common_name": "",
        }
        assert asked.headers["accept"] == "application/vnd.nsq; version=1.0"
        assert client.permissions is not None
        assert client.permissions.identity == "me"

    async def test_post_asks_in_json(self, client):
        client.tls = TlsState(version="TLS1.3", cipher_suite="x", common_name="a client")
        client.secret = b"xyz"
        async with fake_server(yes) as server:
            await ask(client, server.address, method="post")
        (asked,) = server.asked
        assert (asked.method, asked.path, asked.query) == ("POST", "/auth", {})
        assert asked.headers["content-type"] == "application/json"
        assert json.loads(asked.body) == {
            "remote_ip": ["::1"],
            "tls": ["true"],
            "secret": ["xyz"],
            "common_name": ["a client"],
        }
        assert client.permissions is not None

    async def test_an_address_may_be_a_url(self, client):
        async with fake_server(yes) as server:
            await ask(client, f"http://{server.address}/custom/path")
        assert server.asked[0].path == "/custom/path"

    async def test_a_proxy_of_the_environment_is_not_asked(self, client, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        async with fake_server(yes) as server:
            await ask(client, server.address)
        assert client.permissions is not None

    async def test_authorities_that_changed_are_read_again(self, client, tmp_path):
        ours, file = trustme.CA(), tmp_path / "ca.pem"
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.issue_cert("127.0.0.1").configure_cert(tls)
        file.write_bytes(trustme.CA().cert_pem.bytes())
        async with fake_server(yes, tls=tls) as server:
            address = f"https://{server.address}/auth"
            settings = AuthSettings(addresses=(address,), root_ca_file=str(file))
            authorities = Authorities(AuthServers(settings, lambda: 0))
            await authorities.authorize(client)
            assert "certificate" in client.auth_failure
            file.write_text("nothing")
            authorities.reload([])
            file.write_bytes(ours.cert_pem.bytes())
            authorities.reload([])
            await authorities.authorize(client)
            assert client.auth_failure == ""

    @pytest.mark.slow
    async def test_where_one_server_refuses_another_may_agree(self, client):
        async with (
            fake_server(lambda asked: (403, {"message": "NOT_AUTHORIZED"})) as no,
            fake_server(yes) as agrees,
        ):
            for _ in range(8):  # the order is random
                await ask(client, no.address, agrees.address, "127.0.0.1:1")
                assert client.permissions is not None
                assert client.auth_failure == ""
        assert len(agrees.asked) == 8

    async def test_when_all_refuse_the_last_reason_is_kept(self, client):
        async with fake_server(lambda asked: (403, {"message": "NOT_AUTHORIZED"})) as no:
            await ask(client, no.address)
        assert client.permissions is None
        assert client.auth_failure == "status 403"

    async def test_earlier_permissions_do_not_outlive_a_refusal(self, client, world):
        client.permissions = world.permissions()
        await ask(client, "127.0.0.1:1")
        assert client.permissions is None

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (b"", "disconnected"),
            (b"\0\xff garbage \r\n\r\n", "illegal"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", "incomplete|peer closed"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", "not JSON"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
                "incorrect header",
            ),
            (
                b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n",
                "protocol",
            ),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "too long"),
        ],
    )
    async def test_garbage_is_a_refusal_with_a_reason(self, client, reply, reason):
        async with raw_server(lambda stream: stream.send_all(reply)) as address:
            await ask(client, address)
        assert client.permissions is None
        assert re.search(reason, client.auth_failure)

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1:1",
            "127.0.0.1:notaport",
            "127.0.0.1:99999",
            "http://[",
            "::::",
            "a b:1",
            "a..b:1",  # it cut the client without a word
            "http://a..b/auth",
            "http://" + "a" * 70 + ".example/auth",
            "ftp://127.0.0.1/",
        ],
    )
    async def test_an_address_where_nobody_answers_is_a_refusal(self, client, address):
        await ask(client, address)
        assert client.permissions is None
        assert client.auth_failure

    @pytest.mark.slow
    async def test_an_answer_without_end_is_cut_at_its_limit(self, client):
        sent = 0

        async def endless(stream):
            nonlocal sent
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await stream.send_all(b" " * 100_000)
                sent += 100_000

        async with raw_server(endless) as address:
            await ask(client, address, request_timeout=30)
        assert "bytes" in client.auth_failure
        assert sent < MAX_REPLY + 16_000_000  # what socket buffers may hold comes on top

    @pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
    async def test_a_slow_server_is_given_up_in_time(self, client, start, autojump_clock):
        async def slow(stream):
            await stream.send_all(start)
            await trio.sleep_forever()

        async with raw_server(slow) as address:
            began = trio.current_time()
            await ask(client, address, request_timeout=0.3)
            assert trio.current_time() - began < 10
        assert client.permissions is None
        assert client.auth_failure

    @pytest.mark.slow
    async def test_a_server_that_drips_is_given_up_in_time(self, client):
        async def drip(stream):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                await stream.send_all(b" ")
                await trio.sleep(0.02)

        async with raw_server(drip) as address:
            await ask(client, address, request_timeout=0.3)
        assert client.auth_failure == "no answer in time"

    @pytest.mark.slow
    async def test_a_password_in_an_address_is_not_logged(self, client, caplog):
        await ask(client, "http://user:geheim@127.0.0.1:1/auth?token=geheim")
        await ask(client, "user:geheim@127.0.0.1:1")
        assert "***" in caplog.text
        assert "geheim" not in caplog.text

    async def test_a_redirection_is_followed(self, client):
        async with fake_server(yes) as there:
            head = f"HTTP/1.1 302 Found\r\nLocation: http://{there.address}/elsewhere\r\n"
            redirect = f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            async with raw_server(lambda stream: stream.send_all(redirect)) as address:
                await ask(client, address)
        assert client.permissions is not None
        assert there.asked[0].path == "/elsewhere"

    def test_a_certificate_authority_that_is_not_there_is_named_at_the_start(self):
        settings = AuthSettings(addresses=("127.0.0.1:1",), root_ca_file="/nowhere/ca")
        with pytest.raises(OSError, match="/nowhere/ca"):
            AuthServers(settings, time.monotonic_ns)

    async def test_a_server_is_asked_over_tls_and_has_to_be_genuine(self, client, tmp_path):
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        reply = grant()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply)

        async def serve(stream):
            stream = trio.SSLStream(stream, context, server_side=True)
            await stream.receive_some()
            await stream.send_all(head + reply)

        async with raw_server(serve, read=False) as address:
            await ask(client, f"https://{address}/auth")
            assert client.permissions is None
            assert "CERTIFICATE_VERIFY_FAILED" in client.auth_failure

            await ask(client, f"https://{address}/auth", root_ca_file=str(tmp_path / "ca.pem"))
            assert client.permissions is not None

    async def test_no_time_limit_is_no_limit(self, client):
        async with fake_server(yes) as server:
            await ask(client, server.address, request_timeout=0, connect_timeout=0)
        assert client.permissions is not None


@contextmanager
def busy_server(count: int) -> Iterator[str]:
    """A process that agrees with all questions together: ``count``, or as many as come at all."""
    reply = grant()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply
    command = (sys.executable, "-c", BUSY_SERVER, str(count), answer.hex())
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=end_with_parent) as server:
        try:
            assert server.stdout is not None
            yield f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


BUSY_SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0), backlog=2000)
print(listener.getsockname()[1], flush=True)
while True:
    waiting = []
    listener.settimeout(None)
    while len(waiting) < int(sys.argv[1]):
        try:
            waiting.append(listener.accept()[0])
        except TimeoutError:
            break
        listener.settimeout(0.5)  # who comes no more waits for an answer
    for connection in waiting:
        connection.recv(65536)
    for connection in waiting:
        connection.sendall(bytes.fromhex(sys.argv[2]))
        connection.close()
"""


class TestCrowds:
    @pytest.mark.slow
    async def test_clients_that_come_back_all_at_once_do_not_hold_up_the_others(self, world):
        """All questions began, and failed, in one round of the loop: half a second of 800."""
        settings = AuthSettings(addresses=("127.0.0.1:1",), connect_timeout=60, request_timeout=60)
        authorities = Authorities(AuthServers(settings, time.monotonic_ns))
        clients = [world.connect().client for _ in range(300)]
        await authorities.authorize(clients[0])
        with trio.fail_after(60), measured_passes() as passes:
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(authorities.authorize, client)
        assert all(client.auth_failure for client in clients)
        assert passes.longest < 0.05

    @pytest.mark.slow
    async def test_a_server_that_answers_all_at_once_does_not_hold_up_the_others(self, world):
        """A busy one, whose answers come together: all were read in one round of the loop."""
        clients = [world.connect().client for _ in range(1000)]
        with busy_server(len(clients)) as address:
            settings = AuthSettings(addresses=(address,), connect_timeout=0, request_timeout=0)
            servers = AuthServers(settings, time.monotonic_ns)
            await servers.prepare()
            authorities = Authorities(servers)
            with trio.fail_after(60), measured_passes() as passes:
                async with trio.open_nursery() as nursery:
                    for client in clients:
                        nursery.start_soon(authorities.authorize, client)
        assert all(client.permissions for client in clients)
        assert passes.longest < 0.1

    @pytest.mark.slow
    async def test_an_answer_of_many_patterns_does_not_hold_up_the_others(self, client):
        many = {"topic": "t", "channels": [f"c{n}.*(x|y){{1,20}}" for n in range(9000)]}
        answer = json.loads(grant()) | {"authorizations": [many | {"permissions": ["publish"]}]}
        async with fake_server(lambda asked: (200, answer)) as server:
            with measured_passes() as passes:
                await ask(client, server.address)
        assert client.permissions is not None
        assert passes.longest < 0.05

    @pytest.mark.slow
    def test_nothing_is_loaded_by_the_first_client(self):
        """Libraries for HTTP and patterns took 0.1 s of the loop, and descriptors."""
        code = """
import sys, trio
from nsqd.client.auth import AuthServers, AuthSettings, AuthQuestion, AuthRefused
async def main():
    servers = AuthServers(AuthSettings(addresses=("127.0.0.1:1",)), lambda: 0)
    await servers.prepare()
    before = set(sys.modules)
    try:
        await servers.permissions(AuthQuestion(b"secret", "host", "address"))
    except AuthRefused:
        print(*(sys.modules.keys() - before | {"re2"} - before))
trio.run(main)
"""
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        assert run.stdout == b"\n"
