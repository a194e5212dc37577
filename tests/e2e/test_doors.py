"""Closed doors between real processes: TLS to nsqlookupd, tokens, certificates that change."""

import json
import os
import signal
from contextlib import closing
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path

import pytest
import trio
import trustme
from tests.e2e.certificates import TOKEN, YESTERYEAR, Files, port
from tests.e2e.daemons import BIN, Daemon, daemons, wait_until
from tests.e2e.original import run, running
from tests.e2e.peer import Peer, body
from tests.nsqctl.program import nsqctl

import nsqclient
from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

pytestmark = pytest.mark.slow

BEARER = {"Authorization": f"Bearer {TOKEN}"}
ROTATIONS = 5


@pytest.fixture
def make(tmp_path):
    with daemons(tmp_path) as make:
        yield make


def test_registration_is_encrypted_beside_nsqds_that_know_of_none(make, files):
    lookupd = make(
        "nsqlookupd",
        *files.flags("tls-", "server"),
        "--tls-client-auth-policy=require-verify",
        "--tls-tcp-address=127.0.0.1:0",
        "--https-address=127.0.0.1:0",
        f"--auth-file={files.folder / 'auth'}",
    )
    address = f"--lookupd-tcp-address=tls://localhost:{port(lookupd, 'TLS')}"
    trust = f"--lookupd-tls-root-ca-file={files.folder / 'ca.pem'}"
    token = f"--lookupd-token-file={files.folder / 'token'}"
    stranger = make("nsqd", address, trust)
    doubter = make("nsqd", address)
    plain = make("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    secure = make("nsqd", address, *files.flags("lookupd-tls-", "client"), token)

    def registered() -> set[int]:
        nodes = lookupd.get("/nodes", BEARER)["producers"]
        return {node["http_port"] for node in nodes}

    wanted = {plain.http_port, secure.http_port}
    wait_until(lambda: registered() == wanted, "both are registered")
    wait_until(lambda: "LOOKUPD(tls://" in stranger.log(), "the stranger was refused")
    wait_until(lambda: "certificate verify failed" in doubter.log(), "nsqlookupd was refused")
    assert registered() == wanted
    assert lookupd.request("GET", "/nodes")[0] == 401
    # what is elsewhere is asked for over HTTPS, with the token
    plain.create("t", "c")
    wait_until(lambda: lookupd.get("/channels?topic=t", BEARER)["channels"] == ["c"], "c is known")
    secure.create("t")
    assert secure.channel("t", "c")


def test_utilities_go_in_at_closed_doors_and_no_process_list_shows_their_secret(make, files):
    folder, secret = files.folder, files.folder / "secret"
    secret.write_text("the-secret\n")
    hashed = hash_token("the-secret")
    (folder / "auth").write_text(entry("all", ("read",), hashed, None))
    allowed = {"topic": ".*", "channels": [".*"], "permissions": ["publish", "subscribe"]}
    client = {"identity": "all", "secret": hashed, "authorizations": [allowed]}
    (folder / "acl").write_text(json.dumps({"clients": [client]}))
    tls = [*files.flags("tls-", "server"), f"--auth-file={folder}/auth"]
    at = ["--tls-tcp-address=127.0.0.1:0", "--https-address=127.0.0.1:0"]
    lookupd = make("nsqlookupd", *tls, *at, "--tls-client-auth-policy=require-verify")
    nsqd = make(
        "nsqd", *tls, "--tls-required=tcp-https", "--https-address=", *files.flags(
            "lookupd-tls-", "client"
        ), f"--lookupd-tcp-address=tls://localhost:{port(lookupd, 'TLS')}",
        f"--auth-acl-file={folder}/acl", f"--lookupd-token-file={secret}",
        "--broadcast-address=localhost",
    )  # fmt: skip
    options = ["tls_v1,true", f"auth_secret_file,{secret}", f"tls_root_ca_file,{folder}/ca.pem"]
    to = [f"--nsqd-tcp-address=localhost:{nsqd.tcp_port}", "--topic=t"]
    run(BIN / "to_nsq", *to, *(f"--producer-opt={each}" for each in options), lines=[b"1", b"2"])
    options += [f"tls_cert,{folder}/client.pem", f"tls_key,{folder}/client.key"]
    https = f"https://localhost:{port(lookupd, 'HTTPS')}"
    asked = [f"--lookupd-http-address={https}", *(f"--consumer-opt={each}" for each in options)]
    assert run(BIN / "nsq_tail", *asked, "--topic=t", "--channel=c", "-n=1") == [b"1"]
    token, found = f"--http-client-token-file={secret}", folder / "files"
    found.mkdir()
    pattern = ["--topic-pattern=^t$", "--channel=d", f"--output-dir={found}", token]
    pattern.append("--sync-interval=100ms")
    with running(BIN / "nsq_to_file", folder / "to_file.log", *asked, *pattern) as process:
        wait_until(lambda: nsqd.request("GET", "/ping") and any(found.iterdir()), "it is written")
        for pid in (process.pid, nsqd.pid, lookupd.pid):
            assert b"the-secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    said = [nsqd.log(), lookupd.log(), (folder / "to_file.log").read_text()]
    assert not any("the-secret" in each for each in said)


def test_another_authority_takes_over_and_no_nsqd_loses_its_registration(make, files):
    tls = [*files.flags("tls-", "server"), "--tls-client-auth-policy=require-verify"]
    at = ["--tls-tcp-address=127.0.0.1:0", "--https-address=127.0.0.1:0"]
    lookupd = make("nsqlookupd", *tls, *at)
    address = f"--lookupd-tcp-address=tls://localhost:{port(lookupd, 'TLS')}"
    shown = [address, *files.flags("lookupd-tls-", "client")]

    def connections() -> dict[int, str]:
        nodes = lookupd.get("/nodes")["producers"]
        return {node["http_port"]: node["remote_address"] for node in nodes}

    first = make("nsqd", *shown)
    wait_until(lambda: len(connections()) == 1, "it is registered")
    before = connections()
    for suffix in ("pem", "key"):
        (files.folder / f"old.{suffix}").write_bytes(
            (files.folder / f"client.{suffix}").read_bytes()
        )
    other = Files(trustme.CA(), files.folder)
    other.authority.cert_pem.write_to_path(str(files.folder / "ca.pem"))
    other.make("server", "localhost", "127.0.0.1")
    other.make("client", "nsqd.example", common_name="nsqd.example")
    for one in (lookupd, first):
        os.kill(one.pid, signal.SIGHUP)
        wait_until(lambda one=one: "certificates read again" in one.log(), "they are read again")
    second = make("nsqd", *shown)
    wait_until(lambda: second.http_port in connections(), "who has a new one is registered")
    late = make("nsqd", address, *files.flags("lookupd-tls-", "old"))
    wait_until(lambda: "LOOKUPD(tls://" in late.log(), "who has an old one is not")
    assert connections().keys() == {first.http_port, second.http_port}
    assert connections()[first.http_port] == before[first.http_port]  # still the same


def test_a_certificate_of_another_name_or_time_is_none(make, files):
    """Of nsqlookupd for nsqd and nsqctl, and of an nsqd for nsqlookupd."""
    files.make("expired", "nsqd.example", until=YESTERYEAR)
    files.make("server", "elsewhere.example")
    tls = [*files.flags("tls-", "server"), "--tls-client-auth-policy=require-verify"]
    lookupd = make(
        "nsqlookupd", *tls, "--tls-tcp-address=127.0.0.1:0", "--https-address=127.0.0.1:0"
    )
    address = f"--lookupd-tcp-address=tls://localhost:{port(lookupd, 'TLS')}"
    asking = [
        "nodes", f"--lookupd-http-address=https://localhost:{port(lookupd, 'HTTPS')}",
        *files.flags("tls-", "client"),
    ]  # fmt: skip
    first = make("nsqd", address, *files.flags("lookupd-tls-", "client"))
    wait_until(lambda: "Hostname mismatch" in first.log(), "another's name is refused")
    assert "Hostname mismatch" in nsqctl(*asking, status=1)[1]
    files.make("server", "localhost", until=YESTERYEAR)
    os.kill(lookupd.pid, signal.SIGHUP)
    wait_until(lambda: "certificate has expired" in first.log(), "an old one is refused")
    assert "certificate has expired" in nsqctl(*asking, status=1)[1]
    files.make("server", "localhost")
    os.kill(lookupd.pid, signal.SIGHUP)
    late = make("nsqd", address, *files.flags("lookupd-tls-", "expired"))
    wait_until(lambda: lookupd.get("/nodes")["producers"], "the first is registered at last")
    wait_until(lambda: "LOOKUPD(tls://" in late.log(), "who shows an old one is not")
    (node,) = lookupd.get("/nodes")["producers"]
    assert node["http_port"] == first.http_port
    assert "localhost" in nsqctl(*asking)[0] or "127.0.0.1" in nsqctl(*asking)[0]


def test_credentials_change_without_a_restart(make, files):
    auth = files.folder / "auth"
    nsqd = make("nsqd", f"--auth-file={auth}")
    assert nsqd.request("GET", "/info", headers=BEARER)[0] == 200
    auth.write_text(entry("all", ("read",), hash_token("another"), None))
    os.kill(nsqd.pid, signal.SIGHUP)
    wait_until(lambda: nsqd.request("GET", "/info", headers=BEARER)[0] == 401, "it is read again")
    assert nsqd.request("GET", "/info", headers={"Authorization": "Bearer another"})[0] == 200
    assert TOKEN not in nsqd.log()
    assert "another" not in nsqd.log()


def test_a_client_shows_a_certificate_or_a_token_or_is_nobody(make, files, tmp_path):
    files.make("shop", "shop.example", common_name="shop")
    auth, acl = tmp_path / "auth", tmp_path / "acl.json"
    lines = [
        entry("shop", ("publish",), "cert:dns:shop.example", ("orders*",)),
        entry("all", ("read",), hash_token(TOKEN), None),
    ]
    auth.write_text("\n".join(lines))
    allowed = {"topic": "^orders", "channels": ["^$"], "permissions": ["publish"]}
    client = {"identity": "shop", "certificate": "dns:shop.example", "authorizations": [allowed]}
    acl.write_text(json.dumps({"clients": [client]}))
    nsqd = make(
        "nsqd", *files.flags("tls-", "server"), "--tls-client-auth-policy=verify-if-given",
        "--https-address=127.0.0.1:0", f"--auth-file={auth}", f"--auth-acl-file={acl}",
    )  # fmt: skip

    def ask(path: str, certificate: str = "", **headers: str) -> tuple[int, str]:
        trust = files.trust(certificate)
        https = HTTPSConnection("localhost", port(nsqd, "HTTPS"), context=trust, timeout=60)
        with closing(https):
            https.request("POST" if "pub" in path else "GET", path, b"x", headers)
            answer = https.getresponse()
            told = answer.read()
            return answer.status, json.loads(told)["missing"] if answer.status == 403 else ""

    for path, certificate, status, missing in (
        ("/mpub?topic=orders1", "shop", 200, ""),
        ("/mpub?topic=mail", "shop", 403, "topic mail"),
        ("/stats?topic=orders1", "shop", 403, "role read"),
        ("/mpub?topic=orders1", "client", 401, ""),  # of our authority, and nobody here
        ("/mpub?topic=orders1", "", 401, ""),
    ):
        found = ask(path, certificate)
        assert found[0] == status, (path, certificate, found)
        assert found[1] == missing
    assert ask("/stats?format=json", Authorization=f"Bearer {TOKEN}")[0] == 200
    # the name alone, in headers that proxies set, or in the clear, is nothing
    forged = {"X-Client-Cert": "shop", "X-SSL-Client-S-DN": "CN=shop", "X-Forwarded-User": "shop"}
    assert ask("/mpub?topic=orders1", **forged)[0] == 401
    assert nsqd.request("POST", "/pub?topic=orders1", b"x", forged)[0] == 401

    for certificate, answer in (("shop", b"OK"), ("client", b"E_AUTH_FAILED"), ("", b"E_AUTH")):
        peer = Peer.connect(nsqd.tcp_port)
        peer.ask(b"IDENTIFY\n", body(b'{"tls_v1": true, "feature_negotiation": true}'))
        trust = files.trust(certificate)
        inside = Peer(trust.wrap_socket(peer.sock, server_hostname="localhost"))
        with closing(inside):
            assert inside.frame()[1] == b"OK"
            told = inside.ask(b"AUTH\n", body(b"anything"))
            if certificate == "shop":
                assert json.loads(told)["identity"] == "shop"
                assert inside.publish("orders2", b"x") == answer
                assert inside.publish("mail", b"x").startswith(b"E_UNAUTHORIZED")
            else:
                assert told.startswith(answer)


async def test_certificates_change_under_load_and_no_connection_is_dropped(make, files):
    nsqd = await trio.to_thread.run_sync(
        partial(
            make,
            "nsqd",
            *files.flags("tls-", "server"),
            "--tls-required=tcp-https",
            "--https-address=",
        )
    )
    options = nsqclient.ConnectionOptions(tls=files.trust())
    received: set[bytes] = set()
    published: set[bytes] = set()
    serials = {serial(nsqd, files)}
    over = trio.Event()

    async def publish(number: int) -> None:
        async with nsqclient.open_producer(nsqd.tcp, options=options) as producer:
            count = 0
            while not over.is_set():
                await producer.publish("t", b"%d-%d" % (number, count))
                published.add(b"%d-%d" % (number, count))
                count += 1

    async def consume() -> None:
        async with nsqclient.open_consumer(
            "t", "c", nsqd=nsqd.tcp, options=options, max_in_flight=100
        ) as consumer:
            async for message in consumer:
                async with message.process():
                    received.add(message.body)
                if b"last" in published and received >= published:
                    break

    with trio.fail_after(120):
        async with trio.open_nursery() as clients:
            clients.start_soon(consume)
            async with trio.open_nursery() as publishers:
                for number in range(3):
                    publishers.start_soon(publish, number)
                for number in range(1, ROTATIONS + 1):
                    before = len(published)
                    files.make("server", "localhost", "127.0.0.1")
                    os.kill(nsqd.pid, signal.SIGHUP)
                    wanted = before + 100

                    def is_served(number: int = number, wanted: int = wanted) -> bool:
                        again = nsqd.log().count("certificates read again")
                        return again >= number and len(published) >= wanted

                    await trio.to_thread.run_sync(wait_until, is_served)
                    serials.add(await trio.to_thread.run_sync(serial, nsqd, files))
                over.set()
            async with nsqclient.open_producer(nsqd.tcp, options=options) as last:
                published.add(b"last")
                await last.publish("t", b"last")
    assert received == published
    assert len(serials) == ROTATIONS + 1  # new connections had the new ones
    others = ROTATIONS + 1  # of `serial`
    assert nsqd.log().count("TCP: new client") == 3 + 1 + 1 + others


def serial(nsqd: Daemon, files: Files) -> object:
    """The serial number of the certificate that a new connection is shown."""
    peer = Peer.connect(nsqd.tcp_port)
    agreed = peer.ask(b"IDENTIFY\n", body(b'{"tls_v1": true, "feature_negotiation": true}'))
    assert b'"tls_v1":true' in agreed
    with files.trust().wrap_socket(peer.sock, server_hostname="localhost") as secure:
        return secure.getpeercert()["serialNumber"]
