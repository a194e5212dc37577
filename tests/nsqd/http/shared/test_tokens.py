"""Tokens that the auth servers know."""

import json

import pytest
import trio
from tests.fakes.fake_http import fake_server

from nsqcore.access.roles import Role
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError
from nsqcore.net.effects import Peer
from nsqd.client.auth import AuthSettings
from nsqd.client.authorities import open_authorities
from nsqd.client.permissions import parse_permissions
from nsqd.http.shared.tokens import HttpTokens, PermissionsGrant

SECOND = 10**9


def answer(*authorizations, ttl=60):
    return {"ttl": ttl, "identity": "me", "authorizations": authorizations}


def allowed(topic, channels, *permissions):
    return {"topic": topic, "channels": channels, "permissions": permissions}


def grant(*authorizations):
    return PermissionsGrant(
        "me", parse_permissions(json.dumps(answer(*authorizations)).encode(), 0)
    )


def test_what_may_be_published_may_be_posted():
    found = grant(allowed("^orders", [".*"], "publish"))
    assert found.missing(Role.PUBLISH, "orders", "") == ""
    assert found.missing(Role.PUBLISH, "other", "") == "topic other"
    assert found.missing(Role.PUBLISH, None, "") == "all topics"
    assert found.missing(Role.READ, "orders", "") == "role read"


def test_what_may_be_subscribed_to_may_be_looked_at():
    found = grant(allowed("^orders$", ["^mine$"], "subscribe"))
    assert found.missing(Role.READ, "", "") == ""
    assert found.missing(Role.READ, "orders", "mine") == ""
    assert found.missing(Role.READ, "orders", "") == "topic orders"
    assert found.missing(Role.READ, "orders", "other") == "topic orders, channel other"
    assert found.missing(Role.READ, "orders", "m*") == "the channel"


def test_nothing_else_can_be_granted_there():
    found = grant(allowed(".*", [".*"], "publish", "subscribe"))
    assert found.missing(Role.OPERATE, "t", "") == "role operate"
    assert found.missing(Role.ADMIN, None, "") == "role admin"


@pytest.fixture
def request_():
    return Request("POST", b"/pub", b"topic=t", b"", Peer("10.0.0.1:9"), [])


async def found(tokens, token, request):
    pending = tokens.find(token, request)
    with trio.fail_after(60):
        return await pending() if callable(pending) else pending


async def test_an_answer_is_kept_as_long_as_it_says(request_):
    time = [0]
    reply = answer(allowed(".*", [".*"], "publish"), ttl=60)
    async with fake_server(lambda asked: (200, reply)) as server:
        settings = AuthSettings(addresses=(server.address,), request_timeout=60)
        tokens = HttpTokens(open_authorities(settings, lambda: time[0]), lambda: time[0])
        for _ in range(3):
            assert (await found(tokens, b"s", request_)).name == "me"
        assert len(server.asked) == 1
        assert server.asked[0].query["remote_ip"] == "10.0.0.1"
        time[0] = 61 * SECOND
        assert (await found(tokens, b"s", request_)).name == "me"
        assert len(server.asked) == 2


async def test_a_sighup_has_the_servers_asked_anew(request_):
    reply = answer(allowed(".*", [".*"], "publish"), ttl=60)
    async with fake_server(lambda asked: (200, reply)) as server:
        settings = AuthSettings(addresses=(server.address,), request_timeout=60)
        authorities = open_authorities(settings, lambda: 0)
        tokens = HttpTokens(authorities, lambda: 0)
        await found(tokens, b"s", request_)
        authorities.reload([])
        await found(tokens, b"s", request_)
        assert len(server.asked) == 2


async def test_a_refusal_is_kept_for_a_moment(request_):
    async with fake_server(lambda asked: (403, "no")) as server:
        settings = AuthSettings(addresses=(server.address,), request_timeout=60)
        tokens = HttpTokens(open_authorities(settings, lambda: 0), lambda: 0)
        assert await found(tokens, b"s", request_) is None
        assert await found(tokens, b"s", request_) is None
        assert len(server.asked) == 1


async def test_servers_that_are_away_are_told_apart_from_a_refusal(request_):
    settings = AuthSettings(addresses=("127.0.0.1:1",))
    tokens = HttpTokens(open_authorities(settings, lambda: 0), lambda: 0)
    with pytest.raises(HttpError) as caught:
        await found(tokens, b"s", request_)
    assert (caught.value.status, caught.value.message) == (503, "AUTH_UNAVAILABLE")
