"""What is told of a client."""

import json
import re

from attrs import evolve

from nsqd.client.client import TlsState
from nsqd.client.permissions import Authorization, Permissions
from nsqd.http.reports.clients import ClientStats

SECOND = 1_000_000_000


def shown(session, topic=""):
    return json.loads(ClientStats.of(session.client, topic).to_json())


async def test_tls_is_told_in_full(nsqd):
    session = nsqd.connect()
    session.client.tls = TlsState(version="TLS1.3", cipher_suite="TLS_AES_128_GCM_SHA256")
    client = shown(session)
    assert {key: value for key, value in client.items() if key.startswith("tls")} == {
        "tls": True,
        "tls_cipher_suite": "TLS_AES_128_GCM_SHA256",
        "tls_version": "TLS1.3",
        "tls_negotiated_protocol": "",
        "tls_negotiated_protocol_is_mutual": False,
    }


async def test_identity_of_an_authorized_client_is_told(nsqd):
    session = nsqd.connect()
    allowed = Authorization(re.compile(""), (re.compile(""),), frozenset())
    session.client.permissions = Permissions((allowed,), "me", "http://me", 0)
    session.client.authed = True
    client = shown(session)
    assert (client["authed"], client["auth_identity"]) == (True, "me")
    assert client["auth_identity_url"] == "http://me"


async def test_compression_and_sampling_are_told(nsqd):
    session = nsqd.connect()
    session.client.identity = evolve(session.client.identity, deflate=True, sample_rate=25)
    client = shown(session)
    assert (client["deflate"], client["snappy"], client["sample_rate"]) == (True, False, 25)


async def test_whatever_a_client_says_of_itself_stays_in_its_string(nsqd):
    name = 'x","state":9,"y":"\n\x00ü\udcff'
    session = nsqd.connect()
    session.client.identity = evolve(session.client.identity, client_id=name, user_agent=name)
    assert (shown(session)["client_id"], shown(session)["state"]) == (name, 0)


async def test_client_on_a_unix_socket_has_no_port(nsqd):
    session = nsqd.connect()
    session.client.peer = evolve(session.client.peer, address="@", is_unix=True)
    line = ClientStats.of(session.client, "").to_text(nsqd.api.wall)
    assert line.startswith("[V2 127.0.0.1: ")
