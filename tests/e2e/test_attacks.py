"""What attackers say to real daemons with closed doors, each refused."""

import json
import ssl
import struct
import warnings
from contextlib import closing
from socket import create_connection

import pytest
from tests.e2e.certificates import TOKEN, port
from tests.e2e.peer import PATIENCE, Peer, body

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

pytestmark = pytest.mark.slow

HELLO = (b"IDENTIFY\n", body(b'{"feature_negotiation": true}'))
SECRET = "a-secret"
ONE = struct.pack(">I", 1)


def test_auth_is_no_matter_of_spelling_or_order(daemon, tmp_path):
    allowed = {"topic": "^orders$", "channels": ["^mine$", "^$"]}
    allowed["permissions"] = ["publish", "subscribe"]
    client = {"identity": "a", "secret": hash_token(SECRET), "authorizations": [allowed]}
    (tmp_path / "acl").write_text(json.dumps({"clients": [client]}))
    nsqd = daemon("nsqd", f"--auth-acl-file={tmp_path}/acl")

    def said(*words: bytes, before: tuple[bytes, ...] = ()) -> bytes:
        with closing(Peer.connect(nsqd.tcp_port)) as peer:
            peer.ask(*HELLO)
            if before:
                peer.ask(*before)
            return peer.ask(*words)

    right = (b"AUTH\n", body(SECRET.encode()))
    assert b"permission_count" in said(*right)
    for secret in (
        SECRET.upper(), f"{SECRET} ", f" {SECRET}", f"{SECRET}\n", f"{SECRET}\0", SECRET[:-1],
        hash_token(SECRET), hash_token(SECRET).partition(":")[2], "x" * 3_000_000,
    ):  # fmt: skip
        assert said(b"AUTH\n", body(secret.encode())) == b"E_AUTH_FAILED AUTH failed", secret[:99]
    for words, answer in (
        ((b"AUTH\n", b"\x7f\xff\xff\xff"), b"E_BAD_BODY"),
        ((b"AUTH\n", b"\xff\xff\xff\xff"), b"E_BAD_BODY"),
        ((f"AUTH {SECRET}\n".encode(),), b"E_INVALID"),
        ((b"PUB orders\n", body(b"x")), b"E_AUTH_FIRST"),
    ):
        assert said(*words).startswith(answer), words
    assert said(*right, before=right).startswith(b"E_INVALID AUTH already set")
    for topic in (b"orders#ephemeral", b"ORDERS", b"my-orders", b"orders2", b"orders\0", b".*"):
        for words in (
            (b"PUB %b\n" % topic, body(b"x")),
            (b"MPUB %b\n" % topic, body(ONE + body(b"x"))),
            (b"DPUB %b 1\n" % topic, body(b"x")),
            (b"SUB %b mine\n" % topic,),
        ):
            assert said(*words, before=right).startswith((b"E_UNAUTHORIZED", b"E_BAD_TOPIC"))
    for channel in (b"mine#ephemeral", b"MINE", b"yours", b".*"):
        told = said(b"SUB orders %b\n" % channel, before=right)
        assert told.startswith((b"E_UNAUTHORIZED", b"E_BAD_CHANNEL"))
    assert nsqd.get("/stats?format=json")["topics"] == []
    with closing(Peer.connect(nsqd.tcp_port)) as late:
        late.ask(*HELLO)
        late.ask(*right)
        late.subscribe("orders", "mine")
        assert late.ask(*right).startswith(b"E_INVALID cannot AUTH")


def test_no_listener_can_be_talked_down_to_old_tls_where_it_is_not_to_be(daemon, files):
    tls = [*files.flags("tls-", "server"), "--https-address=127.0.0.1:0"]
    lookupd = daemon("nsqlookupd", *tls, "--tls-tcp-address=127.0.0.1:0")
    nsqd = daemon("nsqd", *tls, "--tls-min-version=tls1.2")
    old = files.trust()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    wish = body(b'{"tls_v1": true, "feature_negotiation": true}')
    for at in (
        nsqd.tcp_port, port(nsqd, "HTTPS"), port(lookupd, "HTTPS"), port(lookupd, "TLS"),
    ):  # fmt: skip
        for context in files.trust(), old:
            with closing(Peer(create_connection(("127.0.0.1", at), timeout=PATIENCE))) as peer:
                if at == nsqd.tcp_port:
                    peer.ask(b"  V2IDENTIFY\n", wish)
                if context is old:
                    with pytest.raises(ssl.SSLError):
                        context.wrap_socket(peer.sock, server_hostname="localhost")
                else:
                    peer.sock = context.wrap_socket(peer.sock, server_hostname="localhost")
                    assert peer.sock.version() == "TLSv1.3"


def test_a_token_counts_in_its_header_alone(daemon, tmp_path):
    (tmp_path / "auth").write_text(entry("all", ("admin",), hash_token(TOKEN), None))
    nsqd = daemon("nsqd", f"--auth-file={tmp_path}/auth", "--allowed-host=nsqd.example")
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert nsqd.request("POST", "/topic/create?topic=t", headers=right)[0] == 200
    for path, headers in (
        (f"/stats?token={TOKEN}", {}),
        (f"/stats?access_token={TOKEN}", {}),
        ("/stats", {"Cookie": f"token={TOKEN}"}),
        ("/stats", {"X-Auth-Token": TOKEN}),
        ("/stats", {"Authorization": f"Bearer {TOKEN.upper()}"}),
        ("/stats", {"Authorization": f"Bearer {TOKEN} x"}),
        ("/stats", {"Authorization": f"Bearer {'x' * 60_000}"}),
        ("/stats", {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}),
        ("/ping/../stats", {}),
        ("//stats", {}),
        ("/%73tats", {}),
    ):
        status, told = nsqd.request("GET", path, headers=headers)
        assert status in (301, 401), (path, status)
        assert b"topic_name" not in told
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "X-Forwarded-Host": "nsqd.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Host": "nsqd.example"}, 200),
    ):
        found = nsqd.request("POST", "/pub?topic=t", b"x", right | headers)[0]
        assert found == status, headers
