"""A whole nsqd in this process, over real sockets: how it begins, serves and ends."""

import errno
import json
import os
import re
import shutil
import socket
import ssl
import threading
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import trio
import trustme
from attrs import define
from tests.fakes.fake_http import age, fake_server
from tests.nsqd.client.conftest import Wire, bodies, body, grant, identify, mpub

from nsqcore.app.config.options import OptionsError
from nsqcore.app.process.dirlock import DirectoryLocked
from nsqcore.app.service import Process
from nsqd.config.option_values import TLSRequired
from nsqd.config.options import NsqdOptions
from nsqd.service import run
from nsqd.storage.files.filesystem import SYSTEM

pytestmark = pytest.mark.slow

AUTH = b"AUTH\n" + body(b"secret")
PUB = b"PUB t\n" + body(b"x")


@define(eq=False)
class Running:
    """Where a served nsqd listens, and its process; addresses are None where it does not."""

    process: Process
    tcp: str
    http: str | None
    https: str | None
    options: NsqdOptions
    streams: list[trio.abc.Stream]  # closed with the test

    async def connect(self, *commands: bytes) -> Wire:
        """A V2 client that has sent ``commands``."""
        self.streams.append(await dial(self.tcp))
        return await Wire(self.streams[-1]).send(b"  V2", *commands)

    async def ask(self, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
        """Status and body of an HTTP request."""
        assert self.http is not None
        return await request(await dial(self.http), method, path, content)

    async def channel(self) -> dict:
        """The statistics of the channel ``t``/``c``."""
        _, text = await self.ask("GET", "/stats?format=json&topic=t&channel=c")
        (topic,) = json.loads(text)["topics"]
        return topic["channels"][0]


async def dial(address: str):
    if address.startswith("/"):
        return await trio.open_unix_socket(address)
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


async def request(stream, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    async with stream:
        await stream.send_all(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = b""
        while data := await stream.receive_some():
            answer += data
    head_, _, found = answer.partition(b"\r\n\r\n")
    return int(head_.split()[1]), found


@pytest.fixture
async def nsqd(tmp_path, caplog):
    """Runs an nsqd while an ``async with`` lasts; the next one finds the same directory."""
    caplog.set_level("INFO")
    streams: list[trio.abc.Stream] = []

    @asynccontextmanager
    async def running(**settings):
        caplog.clear()
        process = Process()
        given = {"tcp_address": "127.0.0.1:0", "http_address": "127.0.0.1:0"}
        given |= {"https_address": "", "data_path": str(tmp_path), "broadcast_address": "me"}
        options = NsqdOptions(**(given | settings))
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, options, process)
                while process.on_reload is None:  # the last thing before it is ready
                    await trio.lowlevel.checkpoint()
                lines = [record.getMessage() for record in caplog.records]
                heard = dict(line.split(": listening on ") for line in lines if "listening" in line)
                addresses = heard["TCP"], heard.get("HTTP"), heard.get("HTTPS")
                yield Running(process, *addresses, options, streams)
                process.shutdown.set()

    yield running
    for stream in streams:
        await trio.aclose_forcefully(stream)


async def refused(options: NsqdOptions) -> str:
    """Why an nsqd with ``options`` does not start."""
    with pytest.raises((OptionsError, OSError)) as refusal, trio.fail_after(60):
        await run(options, Process())
    return str(refusal.value)


@pytest.fixture
def shared():
    """Settings of two addresses that nobody has, for nsqd alone that share theirs."""
    with socket.socket() as tcp, socket.socket() as http:
        for held in (tcp, http):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(("127.0.0.1", 0))
        ports = tcp.getsockname()[1], http.getsockname()[1]
        yield {
            "shared_tcp_address": f"127.0.0.1:{ports[0]}",
            "shared_http_address": f"127.0.0.1:{ports[1]}",
        }


@pytest.fixture
def certificate(tmp_path_factory):
    """The file of a server's certificate and key, and the authority behind it."""
    ca = trustme.CA()
    path = str(tmp_path_factory.mktemp("tls") / "server.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path, ca


async def test_the_log_tells_what_came_and_went_and_who_did_it(nsqd, caplog):
    async with nsqd() as running:
        await running.ask("POST", "/channel/create?topic=t&channel=c")
        await running.ask("POST", "/topic/create?topic=t")
        await running.ask("POST", "/channel/create?topic=t&channel=c")
        await running.ask("POST", "/pub?topic=t", b"x")
        await running.ask("GET", "/stats")
        await running.ask("POST", "/channel/delete?topic=t&channel=c")
        await running.ask("POST", "/topic/delete?topic=t")
    lines = [record.getMessage() for record in caplog.records]
    told = [line.rpartition(" (")[0] or line for line in lines if "TOPIC" in line or " /" in line]
    assert [line for line in told if "persisting" not in line] == [
        "404 POST /channel/create?topic=t&channel=c",
        "TOPIC(t): created",
        "200 POST /topic/create?topic=t",
        "TOPIC(t): new channel(c)",
        "200 POST /channel/create?topic=t&channel=c",
        "TOPIC(t): deleting channel c",
        "200 POST /channel/delete?topic=t&channel=c",
        "TOPIC(t): deleting",
        "200 POST /topic/delete?topic=t",
    ]
    assert lines[-1] == "NSQ: bye"


# ------------------------------------------------------------------ beginning


async def test_the_log_tells_of_clients_in_the_lines_of_the_original(nsqd, caplog):
    async with nsqd() as running:
        client = await running.connect(identify(client_id="me", feature_negotiation=True))
        await client.send(b"SUB t c\n", b"FIN 0123456789abcdef\n", b"NONSENSE\n")
        assert (await client.many(4))[1:] == [
            "OK",
            "E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight",
            "E_INVALID invalid command NONSENSE",
        ]
        async with await dial(running.tcp) as wrong:
            await wrong.send_all(b"  V9")
            while await wrong.receive_some():
                pass
    lines = [record.getMessage() for record in caplog.records]
    told = [re.sub(r"127\.0\.0\.1:\d+", "ADDR", line) for line in lines]
    for line in (
        "TCP: new client(ADDR)",
        "CLIENT(ADDR): desired protocol magic '  V2'",
        "[ADDR] IDENTIFY: {ClientID:me Hostname: HeartbeatInterval:0 OutputBufferSize:0"
        " OutputBufferTimeout:0 FeatureNegotiation:true TLSv1:false Deflate:false DeflateLevel:0"
        " Snappy:false SampleRate:0 UserAgent: MsgTimeout:0 TopologyRegion: TopologyZone:}",
        "[ADDR] - E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight",
        "client(ADDR) - E_INVALID invalid command NONSENSE",
        "PROTOCOL(V2): [ADDR] exiting ioloop",
        "CLIENT(ADDR): desired protocol magic '  V9'",
        "client(ADDR) bad protocol magic '  V9'",
        "TCP: closing ADDR",
        "HTTP: closing ADDR",
    ):
        assert line in told


async def test_the_policy_file_is_read_at_the_start_and_at_sighup(nsqd, tmp_path, caplog):
    file = tmp_path / "policies.json"
    file.write_text('{"policies": []}')
    async with nsqd(policy_file=str(file)) as running:
        assert await running.ask("GET", "/policy/list") == (200, b'{"policies":[]}')
        running.process.on_reload()
        assert f"POLICY: {file}: 0 policies" in caplog.text
        file.write_text("[]")
        running.process.on_reload()
        assert f"POLICY: policies in {file}: expected" in caplog.text
    said = await refused(NsqdOptions(data_path=str(tmp_path), policy_file=str(file)))
    assert f"policies in {file}: expected" in said


async def test_without_an_http_address_there_is_no_http(nsqd):
    async with nsqd(http_address="") as running:
        assert running.http is None
        assert await (await running.connect(PUB)).next() == "OK"


async def test_http_answers_carry_the_date(nsqd):
    async with nsqd() as running, await dial(running.http) as stream:
        await stream.send_all(b"GET /ping HTTP/1.0\r\n\r\n")
        answer = b"".join([data async for data in stream])
    assert abs(age(answer)) < timedelta(minutes=1)


async def test_with_a_certificate_there_is_https_unless_its_address_is_empty(nsqd, certificate):
    path, ca = certificate
    files = {"tls_cert": path, "tls_key": path}
    async with nsqd(**files, https_address="127.0.0.1:0") as running:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        stream = trio.SSLStream(
            await dial(running.https), context, server_hostname="127.0.0.1", https_compatible=True
        )
        assert await request(stream, "GET", "/ping") == (200, b"OK")
    async with nsqd(**files) as running:
        assert running.https is None


async def test_unix_sockets_carry_everything_and_leave_no_files(nsqd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    tcp, http = str(folder / "tcp"), str(folder / "http")
    async with nsqd(tcp_address=tcp, http_address=http) as running:
        assert (running.tcp, running.http) == (tcp, http)
        client = await running.connect(PUB, b"SUB t c\nRDY 1\n")
        assert await client.many(2) == ["OK", "OK"]
        assert (await client.next()).body == b"x"
        channel = await running.channel()
        assert channel["in_flight_count"] == 1
        (known,) = channel["clients"]
        assert (known["remote_address"], known["client_id"], known["hostname"]) == ("@", "", "")
    assert list(folder.iterdir()) == []


async def test_a_locked_data_path_is_refused_and_its_user_undisturbed(nsqd, tmp_path):
    async with nsqd() as running:
        with pytest.raises(DirectoryLocked, match=str(tmp_path)):
            await run(running.options, Process())
        assert await (await running.connect(PUB)).next() == "OK"


async def test_metadata_that_makes_no_sense_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "nsqd.dat"
    path.write_bytes(b'{"topics": [{"na')
    options = NsqdOptions(
        data_path=str(tmp_path), tcp_address="127.0.0.1:0", http_address="", broadcast_address="me"
    )
    assert "nsqd.dat" in await refused(options)
    assert path.read_bytes() == b'{"topics": [{"na'


@pytest.mark.parametrize("which", ["tcp_address", "http_address"])
async def test_an_address_in_use_is_named(tmp_path, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        given = {"tcp_address": "127.0.0.1:0", "http_address": "127.0.0.1:0", which: address}
        options = NsqdOptions(data_path=str(tmp_path), broadcast_address="me", **given)
        assert f"listen ({address}) failed" in await refused(options)


async def test_a_certificate_that_is_none_is_refused(tmp_path):
    path = tmp_path / "cert"
    path.write_text("none")
    options = NsqdOptions(
        data_path=str(tmp_path), tls_cert=str(path), tls_key=str(path), broadcast_address="me"
    )
    assert str(path) in await refused(options)


async def test_a_missing_authority_for_auth_servers_is_named(tmp_path):
    options = NsqdOptions(
        data_path=str(tmp_path),
        tcp_address="127.0.0.1:0",
        http_address="",
        auth_http_addresses=("127.0.0.1:1",),
        tls_root_ca_file="/nowhere/ca",
        broadcast_address="me",
    )
    assert "/nowhere/ca" in await refused(options)


async def test_it_is_ready_once_it_is_registered(nsqd):
    async with nsqd() as running:
        assert (await running.ask("GET", "/readyz"))[0] == 200
    async with nsqd(nsqlookupd_tcp_addresses=("127.0.0.1:1",)) as running:
        status, text = await running.ask("GET", "/readyz")
        assert (status, b"127.0.0.1:1" in text) == (503, True)
        # nobody is kept from publishing and consuming, the new topic's channels are just asked for
        client = await running.connect(PUB, b"SUB t c\nRDY 1\n")
        assert bodies(await client.many(3)) == [b"x"]


# ------------------------------------------------------------------ serving


async def test_a_deleted_channel_closes_its_clients_only(nsqd):
    async with nsqd() as running:
        client = await running.connect(b"SUB t c\nRDY 1\n")
        other = await running.connect(b"SUB t other\nRDY 1\n")
        assert [await client.next(), await other.next()] == ["OK", "OK"]
        assert await running.ask("POST", "/channel/delete?topic=t&channel=c") == (200, b"")
        assert await client.rest() == []
        assert await running.ask("POST", "/pub?topic=t", b"x") == (200, b"OK")
        assert (await other.next()).body == b"x"


async def test_what_a_client_held_is_anothers_as_soon_as_it_is_gone(nsqd):
    async with nsqd() as running:
        holder = await running.connect(PUB, b"SUB t c\nRDY 1\n")
        assert bodies(await holder.many(3)) == [b"x"]
        other = await running.connect(b"SUB t c\nRDY 1\n")
        assert await other.next() == "OK"
        await holder.stream.aclose()
        message = await other.next()
        assert (message.body, message.attempts) == (b"x", 2)


async def test_timeouts_and_deferrals_are_kept_over_real_sockets(nsqd):
    async with nsqd() as running:
        client = await running.connect(
            identify(msg_timeout=1000), b"SUB t c\nRDY 9\n", PUB, b"DPUB t 50\n", body(b"later")
        )
        missing = {(text, attempts) for text in (b"x", b"later") for attempts in (1, 2)}
        while missing:
            if (one := await client.next()) != "OK":
                missing.discard((one.body, one.attempts))


async def test_messages_carry_the_time_of_a_clock_that_was_set(nsqd, monkeypatch):
    monkeypatch.setattr("nsqd.lifecycle.wall_clock.WALL_INTERVAL", 0.01)
    hour = 3600 * 10**9
    async with nsqd() as running:
        # None is finished: there is room for all that come until the clock is looked at.
        client = await running.connect(b"SUB t c\nRDY 2500\n")
        assert await client.next() == "OK"
        was = time.time_ns()
        monkeypatch.setattr("time.time_ns", lambda call=time.time_ns: call() + hour)
        received = 0
        while received < was + hour:  # the clock is looked at now and then
            assert (await running.ask("POST", "/pub?topic=t", b"x"))[0] == 200
            received = (await client.next()).timestamp


async def test_a_slow_auth_server_delays_only_who_waits_for_it(nsqd):
    asked, gate = trio.Event(), trio.Event()

    async def slow(stream):
        async with stream:
            await stream.receive_some()
            asked.set()
            await gate.wait()
            reply = grant()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply)
            await stream.send_all(head + reply)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, slow, [listener])
        address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        async with nsqd(
            auth_http_addresses=(address,), http_client_request_timeout=60.0
        ) as running:
            waiting = await running.connect(AUTH, PUB)
            gone = await running.connect(AUTH, PUB)
            await asked.wait()
            await gone.stream.aclose()
            # meanwhile: others are answered, over both doors
            other = await running.connect(identify(feature_negotiation=True), PUB)
            assert json.loads(await other.next())["auth_required"] is True
            assert await other.next() == "E_AUTH_FIRST AUTH required before PUB"
            assert await running.ask("POST", "/pub?topic=http", b"x") == (200, b"OK")
            gate.set()
            assert json.loads(await waiting.next())["identity"] == "me"
            assert await waiting.next() == "OK"
        nursery.cancel_scope.cancel()


async def test_an_auth_server_that_says_no_leaves_the_next_client_unharmed(nsqd):
    verdicts = [(403, {"message": "NOT_AUTHORIZED"}), (200, grant())]
    async with fake_server(lambda asked: verdicts.pop(0)) as server:
        async with nsqd(auth_http_addresses=(server.address,)) as running:
            assert await (await running.connect(AUTH)).rest() == ["E_AUTH_FAILED AUTH failed"]
            client = await running.connect(AUTH, PUB)
            assert json.loads(await client.next())["permission_count"] == 1
            assert await client.next() == "OK"


async def test_where_tls_is_required_plain_clients_are_refused(nsqd, certificate):
    path, _ = certificate
    files = {"tls_cert": path, "tls_key": path}
    async with nsqd(**files, tls_required=TLSRequired.YES) as running:
        client = await running.connect(PUB)
        assert await client.rest() == ["E_INVALID cannot PUB in current state (TLS required)"]
        assert (await running.ask("GET", "/stats"))[0] == 403
    async with nsqd(**files, tls_required=TLSRequired.EXCEPT_HTTP) as running:
        assert (await running.ask("GET", "/stats"))[0] == 200


async def test_certificates_are_read_again_for_those_who_come_afterwards(nsqd, certificate, caplog):
    path, ca = certificate
    context = ssl.create_default_context()
    ca.configure_trust(context)
    async with nsqd(tls_cert=path, tls_key=path, https_address="127.0.0.1:0") as running:

        async def serial() -> str:
            stream = trio.SSLStream(
                await dial(running.https),
                context,
                server_hostname="127.0.0.1",
                https_compatible=True,
            )
            running.streams.append(stream)
            await stream.do_handshake()
            return stream.getpeercert()["serialNumber"]

        first = await serial()
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
        assert await serial() == first
        running.process.on_reload()
        second = await serial()
        assert second != first
        await trio.Path(path).write_text("broken")
        running.process.on_reload()
        assert await serial() == second
        assert "keeping the certificates in use" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
async def test_statistics_are_pushed_to_statsd_on_this_machine_too_where_no_host_is_said(
    nsqd, host
):
    receiver = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        await receiver.bind(("127.0.0.1", 0))
        address = f"{host}:{receiver.getsockname()[1]}"
        async with nsqd(statsd_address=address, statsd_interval=1.0) as running:
            await running.ask("POST", "/pub?topic=t", b"x")
            lines = b""
            while b"topic.t.message_count:1|c" not in lines or b"mem.gc_runs" not in lines:
                lines += await receiver.recv(65536) + b"\n"


# ------------------------------------------------------------------ ending


async def test_a_drain_ends_when_consumers_have_emptied_the_queues(nsqd):
    async with nsqd(sigterm="drain") as running:
        assert running.process.on_sigterm is not None
        client = await running.connect(PUB, PUB, b"SUB t c\nRDY 1\n")
        first = (await client.many(4))[3]
        running.process.on_sigterm()
        assert (await running.ask("GET", "/readyz"))[0] == 503
        assert await (await running.connect(PUB)).rest() == ["E_PUB_FAILED PUB failed draining"]
        running.process.on_sigterm()  # once more changes nothing
        assert not running.process.shutdown.is_set()
        await client.send(b"FIN %b\n" % first.id)
        second = await client.next()
        await client.send(b"FIN %b\n" % second.id)
        await running.process.shutdown.wait()
    async with nsqd() as running:
        assert (await running.channel())["depth"] == 0


async def test_a_disk_that_is_gone_at_the_end_is_an_error(nsqd, tmp_path, caplog):
    data = tmp_path / "data"
    data.mkdir()

    async def serve_until_the_disk_is_gone():
        async with nsqd(data_path=str(data)) as running:
            assert await (await running.connect(PUB)).next() == "OK"
            shutil.rmtree(data)

    with pytest.raises(BaseExceptionGroup) as failure:
        await serve_until_the_disk_is_gone()
    assert failure.group_contains(OSError)
    assert "failed to persist metadata" in caplog.text


async def test_on_a_full_disk_it_starts_for_consumers_to_make_room(
    nsqd, tmp_path, monkeypatch, caplog
):
    async with nsqd() as running:
        client = await running.connect(b"SUB t c\n", PUB)
        await client.many(2)
    (tmp_path / "nsqd.dat").rename(tmp_path / "kept")
    full, write = True, os.write

    def write_what_fits(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(SYSTEM, "write", write_what_fits)
    async with nsqd() as running:
        assert "failed to persist metadata - [Errno 28] No space left on device" in caplog.text
        client = await running.connect(b"SUB t c\nRDY 1\n")
        assert (await client.many(2))[1].body == b"x"
        full = False
        while not (tmp_path / "nsqd.dat").exists():  # noqa: ASYNC110 - a file, not an event
            await trio.sleep(0.01)


async def test_everything_is_there_after_a_restart_with_its_ids_and_attempts(nsqd):
    sent = [b"%d" % n for n in range(20)]
    async with nsqd(mem_queue_size=10) as running:
        client = await running.connect(b"SUB t c\n", mpub("t", *sent), b"DPUB t 60000\n")
        await client.send(body(b"deferred"), b"RDY 3\n")
        held = (await client.many(6))[3:]
        await client.send(b"REQ %b 60000\n" % held[0].id, b"FIN %b\n" % held[1].id, b"RDY 0\n")
        await client.send(PUB)
        while await client.next() != "OK":
            pass
    assert await client.rest() == []  # and not a reset

    async with nsqd(mem_queue_size=10) as running:
        client = await running.connect(b"SUB t c\nRDY 100\n")
        answers = await client.many(23 - 1)
        again = {message.body: message for message in answers[1:]}
        assert set(again) >= {*sent, b"deferred"} - {held[1].body}
        assert held[1].body not in again
        for one in (held[0], held[2]):
            assert (again[one.body].id, again[one.body].attempts) == (one.id, 2)


async def test_topics_channels_and_pauses_outlive_a_restart_and_ephemeral_ones_do_not(nsqd):
    async with nsqd() as running:
        for path in (
            "/channel/create?topic=t&channel=c",
            "/channel/create?topic=t&channel=e%23ephemeral",
            "/channel/pause?topic=t&channel=c",
            "/topic/create?topic=gone%23ephemeral",
        ):
            await running.ask("POST", "/topic/create?topic=t")
            assert (await running.ask("POST", path))[0] == 200
    async with nsqd() as running:
        _, text = await running.ask("GET", "/stats?format=json")
        (topic,) = json.loads(text)["topics"]
        assert topic["topic_name"] == "t"
        (channel,) = topic["channels"]
        assert (channel["channel_name"], channel["paused"]) == ("c", True)


async def test_a_client_that_does_not_read_holds_up_no_stop(nsqd):
    async with nsqd() as running:
        stuck = await running.connect(b"SUB t c\nRDY 2500\n")
        assert await stuck.next() == "OK"
        publisher = await running.connect()
        for _ in range(20):
            await publisher.send(mpub("t", *[bytes(100_000)] * 10))
            assert await publisher.next() == "OK"
        began = trio.current_time()
    assert trio.current_time() - began < 20

    async with nsqd() as running:
        assert (await running.channel())["depth"] == 200


async def test_a_client_that_waits_for_auth_holds_up_no_stop(nsqd):
    async def never(stream):
        await stream.receive_some()
        asked.set()
        await trio.sleep_forever()

    asked = trio.Event()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, never, [listener])
        address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        async with nsqd(
            auth_http_addresses=(address,), http_client_request_timeout=600.0
        ) as running:
            await running.connect(AUTH)
            await asked.wait()
            began = trio.current_time()
        assert trio.current_time() - began < 20
        nursery.cancel_scope.cancel()


async def test_reload_without_certificates_is_harmless(nsqd):
    async with nsqd() as running:
        assert running.process.on_reload is not None
        running.process.on_reload()
        assert await (await running.connect(PUB)).next() == "OK"


async def test_changes_asked_for_at_the_same_time_are_all_answered(nsqd):
    statuses = []
    async with nsqd() as running:
        await running.ask("POST", "/topic/create?topic=t")

        async def pause(verb: str) -> None:
            statuses.append((await running.ask("POST", f"/topic/{verb}?topic=t"))[0])

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(pause, "unpause" if number % 2 else "pause")
    assert statuses == [200] * 20


async def test_any_failure_while_a_new_topic_asks_for_its_channels_leaves_nsqd_serving(
    nsqd, monkeypatch, caplog
):
    errors = [
        OSError(errno.EMFILE, "Too many open files"),
        ModuleNotFoundError("No module named 'httpx'"),
        RuntimeError("can't start new thread"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    ]

    async def fail(self, topic: str) -> list[str]:
        raise errors[int(topic)]

    monkeypatch.setattr("nsqd.lookup.registrar.LookupRegistrar.existing_channels", fail)
    async with nsqd(nsqlookupd_tcp_addresses=("127.0.0.1:1",)) as running:
        for number in range(len(errors)):
            topic = str(number)
            consumer = await running.connect(f"SUB {topic} c\n".encode(), b"RDY 1\n")
            assert (await running.ask("POST", f"/pub?topic={topic}", b"x"))[0] == 200
            assert bodies(await consumer.many(2)) == [b"x"]
    assert caplog.text.count("failed to create its channels") == len(errors)


async def test_it_needs_no_thread_that_it_has_not_got_from_the_start(nsqd, monkeypatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with nsqd(sync_every=1, mem_queue_size=0) as running:
        assert (await running.ask("GET", "/metrics"))[0] == 200
        monkeypatch.setattr(threading.Thread, "start", refuse)
        for number in range(3):
            assert (await running.ask("POST", f"/pub?topic=t{number}", b"x"))[0] == 200
            assert (await running.ask("POST", f"/topic/pause?topic=t{number}"))[0] == 200
        for path in ("/metrics", "/debug/pprof/heap", "/ping"):
            assert (await running.ask("GET", path))[0] == 200
        found = await trio.socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
        assert found


@pytest.fixture
def _hanging_names(monkeypatch):
    """Names that end in .hangs are not answered for before the end of the test."""
    release, resolve = threading.Event(), socket.getaddrinfo

    def hang(host, *more, **other):
        flags = other.get("flags", more[4] if len(more) > 4 else 0)
        if str(host).endswith(".hangs") and not flags & socket.AI_NUMERICHOST:
            release.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *more, **other)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    release.set()


@pytest.mark.usefixtures("_hanging_names")
async def test_a_name_server_that_hangs_delays_neither_serving_nor_the_end(nsqd):
    settings = {
        "broadcast_address": "auto",
        "nsqlookupd_tcp_addresses": ("one.hangs:4160", "two.hangs:4160", "three.hangs:4160"),
        "statsd_address": "statsd.hangs:8125",
        "statsd_interval": 0.01,
    }
    began = time.monotonic()
    async with nsqd(**settings) as running:
        assert (await running.ask("POST", "/pub?topic=t", b"x"))[0] == 200
        assert (await running.ask("POST", "/topic/pause?topic=t"))[0] == 200
    assert time.monotonic() - began < 30  # the names hang for 60 s


@pytest.mark.usefixtures("_hanging_names")
async def test_it_can_be_stopped_while_it_looks_for_the_address_to_listen_on(tmp_path):
    process = Process()
    options = NsqdOptions(
        tcp_address="tcp.hangs:0", data_path=str(tmp_path), broadcast_address="me"
    )
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, options, process)
            await trio.sleep(0.05)
            process.shutdown.set()


# ------------------------------------------------------------------ shared addresses


async def at(address: str, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
    return await request(await dial(address), method, path, content)


async def test_publishers_are_served_at_the_shared_addresses(nsqd, shared):
    async with nsqd(**shared) as running:
        running.streams.append(await dial(shared["shared_tcp_address"]))
        client = await Wire(running.streams[-1]).send(b"  V2", PUB)
        assert await client.next() == "OK"
        http = shared["shared_http_address"]
        assert await at(http, "POST", "/pub?topic=t", b"y") == (200, b"OK")
        assert await at(http, "POST", "/mpub?topic=t", b"z\nz") == (200, b"OK")
        assert await at(http, "GET", "/ping") == (200, b"OK")
        status, text = await at(http, "POST", "/topic/create?topic=other")
        assert (status, json.loads(text)["message"]) == (421, "SHARED_ADDRESS")
        assert (await at(http, "GET", "/stats"))[0] == 421
        _, text = await running.ask("GET", "/stats?format=json")
        (topic,) = json.loads(text)["topics"]
        assert (topic["topic_name"], topic["depth"]) == ("t", 4)


async def test_sub_at_the_shared_address_needs_an_nsqlookupd(nsqd, shared):
    async with nsqd(**shared) as running:
        for lookupds, answer in (("[]", "E_SUB_FAILED SUB failed at"), ('["127.0.0.1:1"]', "OK")):
            path = "/config/nsqlookupd_tcp_addresses"
            assert (await running.ask("PUT", path, lookupds.encode()))[0] == 200
            running.streams.append(await dial(shared["shared_tcp_address"]))
            client = await Wire(running.streams[-1]).send(b"  V2", b"SUB t c\n")
            assert (await client.next()).startswith(answer)


async def test_a_drain_leaves_the_shared_addresses_to_others(nsqd, shared):
    async with nsqd(**shared) as running:
        client = await running.connect(b"SUB t c\n", PUB, b"RDY 1\n")
        assert (await client.many(2)) == ["OK", "OK"]
        await running.ask("PUT", "/config/drain")
        for address in shared.values():
            with pytest.raises(OSError, match="all attempts"):
                await dial(address)
        assert (await running.ask("GET", "/readyz"))[0] == 503  # it waits for its consumer
