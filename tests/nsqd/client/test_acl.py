"""A file in place of auth servers."""

import json

import pytest
from attrs import evolve

from nsqcore.access.tokens import hash_token
from nsqd.client.acl import BadAcl, parse_acl
from nsqd.client.auth import AuthQuestion, AuthSettings
from nsqd.client.authorities import open_authorities
from nsqd.client.client import TlsState
from nsqd.client.permissions import PUBLISH, SUBSCRIBE

ALL = [{"topic": ".*", "channels": [".*"], "permissions": [PUBLISH, SUBSCRIBE]}]
ORDERS = [{"topic": "^orders", "channels": ["^mine$", "^$"], "permissions": [PUBLISH]}]
HASH = hash_token("s3cret")


def question(secret=b"", name="", verified=""):
    return AuthQuestion(
        secret, "127.0.0.1", "127.0.0.1:9", bool(name), name, (verified,) if verified else ()
    )


@pytest.fixture
def write(tmp_path):
    """Writes the file with these clients; gives its path."""

    def write(*clients):
        (tmp_path / "acl").write_text(json.dumps({"clients": list(clients)}))
        return str(tmp_path / "acl")

    return write


def opened(path):
    return open_authorities(AuthSettings(addresses=(), acl_file=path), lambda: 0)


def test_a_secret_is_known_by_its_hash(write):
    path = write({"identity": "me", "secret": HASH, "authorizations": ORDERS})
    authorities = opened(path)
    found = authorities.known(question(b"s3cret"))
    assert found.identity == "me"
    assert found.allow("orders1", "", PUBLISH)
    assert not found.allow("orders1", "", SUBSCRIBE)
    assert not found.allow("others", "", PUBLISH)
    assert authorities.known(question(b"another")) is None
    assert authorities.known(question(HASH.encode())) is None


def test_a_certificate_counts_only_if_it_was_verified(write):
    authorities = opened(write({"common_name": "app", "authorizations": ALL}))
    assert authorities.known(question(name="app", verified="cn:app")) is not None
    assert authorities.known(question(name="app", verified="dns:app")) is None
    assert authorities.known(question(name="app")) is None


def test_both_are_needed_where_both_are_asked_for(write):
    path = write({"common_name": "app", "secret": HASH, "authorizations": ALL})
    authorities = opened(path)
    assert authorities.known(question(b"s3cret", "app", "cn:app")) is not None
    assert authorities.known(question(b"s3cret")) is None
    assert authorities.known(question(b"x", "app", "cn:app")) is None


def test_any_kind_of_name_in_a_certificate_may_be_the_one(write):
    authorities = opened(write({"certificate": "uri:spiffe://x/app", "authorizations": ALL}))
    assert authorities.known(question(name="app", verified="uri:spiffe://x/app")) is not None
    assert authorities.known(question(name="app", verified="cn:uri:spiffe://x/app")) is None


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        ({"authorizations": ALL}, "neither secret nor common_name"),
        ({"certificate": "dns:a", "common_name": "a"}, "both common_name and certificate"),
        ({"secret": "s3cret"}, "secret: expected sha256"),
        ({"secret": HASH, "topics": []}, "unknown key 'topics'"),
        ({"secret": 5}, "secret is not a text"),
        ([], "not a JSON object"),
        ({"secret": HASH, "authorizations": [{"topic": "(", "channels": []}]}, "invalid pattern"),
        (
            {"secret": HASH, "authorizations": [{"topic": "", "permissions": ["read"]}]},
            "unknown permission",
        ),
    ],
)
def test_a_wrong_entry_is_named(client, reason):
    with pytest.raises(BadAcl, match=f"f, client 1: .*{reason}"):
        parse_acl(json.dumps({"clients": [client]}).encode(), "f")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"clients":[],"x":1}'])
def test_what_is_no_such_file_is_refused(content):
    with pytest.raises(BadAcl):
        parse_acl(content, "f")


async def test_what_changes_in_the_file_counts_for_those_who_are_connected(make_world, write):
    path = write({"secret": HASH, "authorizations": ALL})
    authorities = opened(path)
    client = make_world().connect().client
    client.secret, client.tls = b"s3cret", TlsState(version="", cipher_suite="", common_name="x")
    await authorities.authorize(client)
    assert client.permissions.allow("t", "", PUBLISH)
    write()
    authorities.reload([client])
    assert client.permissions.expires <= client.services.now()  # asked for again, then
    await authorities.authorize(client)
    assert client.permissions is None
    assert client.auth_failure == "the secret is not known"


async def test_a_consumer_goes_when_the_file_takes_its_channel_away_and_not_before(
    make_world, write
):
    def entry(secret: str, *channels: str) -> dict:
        allowed = {"topic": "^t$", "channels": channels, "permissions": ["subscribe", "publish"]}
        return {"secret": secret, "authorizations": [allowed]}

    path = write(entry(HASH, "^c$", "^d$"))
    authorities = opened(path)
    clients = []
    for channel in "c", "d":
        made = make_world().connect()
        made.client.secret = b"s3cret"
        await authorities.authorize(made.client)
        made.send(b"SUB t %b\n" % channel.encode())
        clients.append(made.client)
    # the same once more, and a channel less
    authorities.reload(clients)
    assert [each.outbox.closing for each in clients] == [None, None]
    write(entry(HASH, "^c$"))
    authorities.reload(clients)
    assert [each.outbox.closing for each in clients] == [None, "it may not consume that any more"]
    write()
    authorities.reload(clients)
    assert all(each.outbox.closing for each in clients)


async def test_a_consumer_that_an_auth_server_let_in_stays(make_world, write):
    path = write({"secret": HASH, "authorizations": ALL})
    authorities = opened(path)
    made = make_world().connect()
    await authorities.authorize(made.client)
    made.client.permissions = evolve(authorities.known(question(b"s3cret")), expires=10**18)
    made.send(b"SUB t c\n")
    write()
    authorities.reload([made.client])
    assert made.client.outbox.closing is None


def test_a_file_that_has_become_wrong_changes_nothing(write, caplog):
    path = write({"secret": HASH, "authorizations": ALL})
    authorities = opened(path)
    write({"secret": "oh"})
    authorities.reload([])
    assert authorities.known(question(b"s3cret")) is not None
    assert "keeping the permissions in force" in caplog.text
