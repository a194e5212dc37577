"""Who is let in: every endpoint of nsqd with every credential, and what attackers try."""

import json

import pytest
import trio
from tests.support.doors import (
    ADMIN,
    ALL_TOPICS,
    NO_TOPIC,
    ONE_TOPIC,
    OPEN,
    OPERATE,
    PUBLISH,
    READ,
    TWO_TOPICS,
    Credential,
    Expected,
    ask,
    check_endpoint,
    make_guard,
)

from nsqcore.access.browsers import BrowserRules
from nsqcore.access.file import AuthFile
from nsqcore.access.lines import entry
from nsqcore.access.roles import Role, RoleGrant
from nsqcore.access.tokens import hash_token
from nsqcore.http.guard import Guard
from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Close, Peer, Wait
from nsqd.http.api import build_refusing_router, build_router, build_shared_router

OPERATED = Expected(OPERATE, ONE_TOPIC)
INSIDE = Expected(ADMIN, ALL_TOPICS)
EXPECTED = {
    "POST /pub": Expected(PUBLISH, ONE_TOPIC),
    "POST /mpub": Expected(PUBLISH, ONE_TOPIC),
    "GET /ping": Expected(OPEN),
    "GET /livez": Expected(OPEN),
    "GET /readyz": Expected(OPEN),
    "GET /info": Expected(READ, NO_TOPIC),
    "GET /stats": Expected(READ, ONE_TOPIC),
    "GET /metrics": Expected(READ, ALL_TOPICS),
    "GET /durable/status": Expected(READ, ALL_TOPICS),
    "GET /message/list": Expected(READ, ONE_TOPIC),
    "GET /message/get": Expected(READ, ONE_TOPIC),
    "GET /policy/list": Expected(READ, ALL_TOPICS),
    "GET /policy/effective": Expected(READ, ONE_TOPIC),
    "POST /message/finish": OPERATED,
    "POST /message/requeue": OPERATED,
    "POST /message/dead": OPERATED,
    "POST /message/redrive": Expected(OPERATE, ALL_TOPICS),
    "POST /message/copy": Expected(OPERATE, TWO_TOPICS),
    **{
        f"POST /{kind}/{action}": OPERATED
        for kind in ("topic", "channel")
        for action in ("create", "delete", "empty", "pause", "unpause")
    },
    "POST /topic/sync": OPERATED,
    "PUT /policy/set": INSIDE,
    "POST /policy/delete": INSIDE,
    "GET /config/:opt": INSIDE,
    "PUT /config/:opt": INSIDE,
    "PUT /debug/setblockrate": INSIDE,
    "POST /debug/freememory": INSIDE,
    "POST /debug/pprof/symbol": INSIDE,
    **{
        f"GET /debug/pprof/{name}": INSIDE
        for name in (
            "", "cmdline", "symbol", "profile", "heap", "goroutine", "block", "threadcreate",
        )
    },
}  # fmt: skip


@pytest.fixture
def router(nsqd, tmp_path):
    """The whole API, behind a guard."""
    nsqd.api.guard = make_guard(tmp_path)
    return build_router(nsqd.api)


async def test_every_endpoint_says_what_it_needs(router):
    routes = {f"{method} {path}": route for method, path, route in router.routes()}
    assert [name for name, route in routes.items() if route.rule is None] == []
    # a new endpoint has its line above, where somebody has thought about it
    assert routes.keys() == EXPECTED.keys()


async def test_what_other_ports_answer_needs_the_same(nsqd, router):
    known = {f"{method} {path}": route.rule for method, path, route in router.routes()}
    for build in build_shared_router, build_refusing_router:
        for method, path, route in build(nsqd.api).routes():
            assert route.rule is known[f"{method} {path}"], path


@pytest.mark.parametrize("endpoint", EXPECTED)
async def test_only_who_may_is_let_in(router, endpoint):
    method, path = endpoint.split()
    check_endpoint(router, method, path, EXPECTED[endpoint])


async def test_metrics_are_open_by_choice(nsqd, tmp_path):
    nsqd.api.guard = make_guard(tmp_path, open_metrics=True)
    router = build_router(nsqd.api)
    assert ask(router, "GET", "/metrics", Credential())[0] == 0
    assert ask(router, "GET", "/stats", Credential())[0] == 401


async def test_without_a_guard_everybody_may_do_everything(nsqd):
    router = build_router(nsqd.api)
    assert ask(router, "POST", "/topic/create?topic=t", Credential())[0] == 0


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-User: admin-all",
        "X-Forwarded-For: 127.0.0.1",
        "X-SSL-Client-CN: admin-all",
        "X-HTTP-Method-Override: GET",
        "X-Original-URL: /ping",
        "Authorization: Basic YWRtaW4tYWxsOg==",
        "Authorization: Bearer",
        "Authorization: Bearer sha256:0",
        "Authorization: Bearer admin-all,admin-all",
        "Authorization: Bearer admin-al",
        "Authorization: Bearer " + "x" * 10_000,
        "Authorization: Bearer ADMIN-ALL",
        "Authorization: Bearer admin-all.",
        "Authorization: Bearer admin-all admin-all",
        "Authorization: Bearer admin\t-all",
        "Authorization: Bearer\tadmin-all",
        "Authorization: Beareradmin-all",
        "Authorization: Token admin-all",
        "Authorization: admin-all",
        'Authorization: Bearer "admin-all"',
        "Authorization: Bearer admin%2dall",
        "Authorization: Bearer admin-all\r\nAuthorization: Bearer admin-all",
        "Authorization: Bearer nobody\r\nAuthorization: Bearer admin-all",
        "Authorization2: Bearer admin-all",
        "Cookie: token=admin-all",
        "Proxy-Authorization: Bearer admin-all",
    ],
)
async def test_forged_headers_let_nobody_in(router, header):
    assert ask(router, "POST", "/topic/create?topic=t", Credential(), header)[0] == 401


@pytest.mark.parametrize(
    "target",
    [
        "/topic/create?token=admin-all&topic=t",
        "//topic/create?topic=t",
        "/topic/create/?topic=t",
        "/TOPIC/create?topic=t",
        "/ping/../topic/create?topic=t",
        "http://x/topic/create?topic=t",
        "/topic/cre%61te?topic=t",
    ],
)
async def test_no_other_spelling_of_a_path_gets_round(nsqd, router, target):
    ask(router, "POST", target, Credential())
    assert not nsqd.broker.topics


@pytest.mark.parametrize("value", ["bearer admin-all", "BEARER  admin-all", "Bearer admin-all  "])
async def test_the_scheme_has_any_case_and_spaces_around_a_token_are_none_of_it(router, value):
    header = f"Authorization: {value}"
    assert ask(router, "POST", "/topic/create?topic=t", Credential(), header)[0] == 0


@pytest.mark.parametrize(
    ("glob", "topic", "status"),
    [
        ("orders", "orders%23ephemeral", 403),
        ("orders#ephemeral", "orders", 403),
        ("orders#ephemeral", "orders%23ephemeral", 0),
        ("orders*", "orders%23ephemeral", 0),
        ("orders", "orders#ephemeral", 403),  # as sent by who does not escape it
        ("orders", "orders%0a", 403),
        ("orders", "%0aorders", 403),
        ("orders*", "orders%0ax", 403),
        ("orders*", "orders%00", 403),
        ("orders", "ORDERS", 403),
        ("orders", "orders ", 403),
        ("order?", "orders", 0),
        ("order?", "order%3f", 403),
        ("*", "%0a", 0),  # may publish to all topics, of which this is none
    ],
)
async def test_a_pattern_of_topics_is_of_whole_names(nsqd, tmp_path, glob, topic, status):
    path = tmp_path / "patterns"
    path.write_text(entry("p", ("publish",), hash_token("p"), (glob,)))
    file = AuthFile(path)
    file.load()
    nsqd.api.guard = Guard(realm="test", file=file)
    router = build_router(nsqd.api)
    target = f"/pub?topic={topic.replace(' ', '%20')}"
    found = ask(router, "POST", target, Credential(), "Authorization: Bearer p")[0]
    assert found == status
    assert not [name for name in nsqd.broker.topics if not name.startswith("orders")]


@pytest.mark.parametrize(
    "query",
    [
        "topic=other&topic=mine-1",
        "Topic=mine-1&topic=other",
        "topic=%6fther",
        "topic=mine-1%00other",
        "topic=*",
        "topic=mine?",
        "topic=mine%2a",
        "topic=",
        "",
    ],
)
async def test_a_token_of_another_topic_is_refused(nsqd, router, query):
    publisher = Credential(PUBLISH, "mine*")
    assert ask(router, "POST", f"/pub?{query}", publisher)[0] == 403
    assert not nsqd.broker.topics


async def test_what_was_let_in_is_judged_anew_when_the_file_has_changed(nsqd, router):
    publisher = Credential(PUBLISH, "mine*")
    for _ in range(2):
        assert ask(router, "POST", "/pub?topic=mine-1", publisher)[0] == 0
        assert ask(router, "POST", "/pub?topic=other", publisher)[0] == 403
        assert ask(router, "POST", "/topic/create?topic=mine-1", publisher)[0] == 403
    nsqd.api.guard.file.path.write_text("")
    nsqd.api.guard.file.reload()
    assert ask(router, "POST", "/pub?topic=mine-1", publisher)[0] == 401


async def test_a_token_of_a_topic_hears_of_its_publishers_alone(nsqd, router):
    nsqd.connect(b"PUB mine-1\n\0\0\0\1xPUB other\n\0\0\0\1x")
    nsqd.connect(b"PUB other\n\0\0\0\1x")
    for reader, count in ((Credential(READ, "mine*"), 1), (Credential(READ), 2)):
        session = HttpSession(router, Peer("127.0.0.1:9"))
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {reader.name}\r\n\r\n"
        effect = session.received(
            f"GET /stats?format=json&topic=mine-1 HTTP/1.1\r\n{head}".encode()
        )
        if isinstance(effect, Wait):
            await effect.run()
            effect.resume()
        told = json.loads(session.outbox.take().decode().partition("\r\n\r\n")[2])
        assert len(told["producers"]) == count


async def test_dead_letters_are_those_of_a_topic_that_may_be_read(nsqd, router):
    nsqd.broker.create_channel("mine-1", "c")
    reader = Credential(READ, "mine*")
    listing = "/message/list?topic=mine-1&channel=c&state=dead"
    assert ask(router, "GET", listing, reader)[0] == 0
    assert ask(router, "GET", listing.replace("mine-1", "other"), reader)[0] == 403


async def test_the_body_of_a_refused_request_is_not_waited_for(nsqd, router):
    session = HttpSession(router, Peer("127.0.0.1:9"))
    head = b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
    effect = session.received(head + b"Expect: 100-continue\r\n\r\n")
    assert isinstance(effect, Close)
    assert session.outbox.take().startswith(b"HTTP/1.1 401 ")


async def test_probes_stay_open_where_tls_is_required(nsqd, tmp_path):
    nsqd.api.guard = make_guard(tmp_path)
    router = build_refusing_router(nsqd.api)
    assert ask(router, "GET", "/livez", Credential())[0] == 0
    assert ask(router, "GET", "/stats", Credential(ADMIN))[2]["message"] == "TLS_REQUIRED"


class TestBrowsers:
    """Pages of other sites, and names that were made to point here."""

    @pytest.fixture
    def router(self, nsqd, tmp_path):
        nsqd.api.guard = make_guard(
            tmp_path, required=False, browsers=BrowserRules.of(["NSQ.example"])
        )
        return build_router(nsqd.api)

    @pytest.mark.parametrize(
        "header",
        [
            "Origin: https://evil.example",
            "Origin: null",
            "Origin: http://127.0.0.1:4151",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ],
    )
    @pytest.mark.parametrize("path", ["/pub", "/topic/delete", "/topic/create"])
    async def test_a_page_elsewhere_cannot_act(self, nsqd, router, header, path):
        status, _, body = ask(router, "POST", f"{path}?topic=t", Credential(), header)
        assert (status, body["message"]) == (403, "CROSS_SITE")
        assert not nsqd.broker.topics

    @pytest.mark.parametrize("path", ["/stats", "/ping", "/info", "/metrics"])
    async def test_a_rebound_name_gets_nothing(self, router, path):
        for target in (path, f"http://evil.example{path}"):
            session_host = "Host: evil.example:4151"
            status, body = ask_as(router, "GET", target, session_host)
            assert status == 403
            assert "HOST_NOT_ALLOWED" in body

    @pytest.mark.parametrize(
        "host", ["127.0.0.1:4151", "[::1]:4151", "localhost", "nsq.example", "NSQ.EXAMPLE.:4151"]
    )
    async def test_our_own_names_are_answered(self, router, host):
        assert ask_as(router, "GET", "/ping", f"Host: {host}")[0] == 200

    @pytest.mark.parametrize(
        "kind",
        [
            "application/x-www-form-urlencoded",
            "text/plain;charset=UTF-8",
            "Multipart/Form-Data; boundary=x",
        ],
    )
    async def test_what_a_form_could_send_is_refused(self, nsqd, router, kind):
        target = "/topic/create?topic=t"
        headers = ("Host: localhost", f"Content-Type: {kind}")
        assert ask_as(router, "POST", target, *headers)[0] == 415
        assert not nsqd.broker.topics

    async def test_no_page_elsewhere_may_ask_first(self, router):
        """A preflight request is granted nothing, so that browsers send no such request."""
        for path in ("/pub", "/config/log_level", "*"):
            session = HttpSession(router, Peer("127.0.0.1:9"))
            session.received(
                f"OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
                "Access-Control-Request-Method: PUT\r\n\r\n".encode()
            )
            told = session.outbox.take()
            assert told.startswith(b"HTTP/1.1 ")
            assert b"access-control" not in told.lower()

    async def test_who_names_no_host_is_no_browser(self, nsqd, router):
        session = HttpSession(router, Peer("127.0.0.1:9"))
        session.received(b"GET /ping HTTP/1.0\r\n\r\n")
        assert b" 200 " in session.outbox.take()
        session.received(b"POST /topic/create?topic=t HTTP/1.0\r\nOrigin: http://x\r\n\r\n")
        assert not nsqd.broker.topics

    async def test_programs_may_do_what_they_could(self, nsqd, router):
        headers = ("Host: localhost", "Content-Type: application/octet-stream")
        ask_as(router, "POST", "/topic/create?topic=t", *headers)
        assert "t" in nsqd.broker.topics

    async def test_a_page_of_our_own_may_act(self, nsqd, router):
        headers = ("Host: nsq.example:4151", "Origin: http://nsq.example:4151")
        ask_as(router, "POST", "/topic/create?topic=t", *headers, "Sec-Fetch-Site: same-origin")
        assert "t" in nsqd.broker.topics


def ask_as(router, method, target, *headers):
    """Status and body of the answer to a request with just these headers."""
    session = HttpSession(router, Peer("127.0.0.1:9"))
    session.received("\r\n".join([f"{method} {target} HTTP/1.1", *headers, "", ""]).encode())
    head, _, body = session.outbox.take().decode().partition("\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


@pytest.mark.parametrize("size", [1, 3 * 1024 * 1024])
async def test_a_body_of_any_size_waits_for_what_the_auth_servers_say(nsqd, size):
    async def know() -> RoleGrant:
        await trio.lowlevel.checkpoint()
        return RoleGrant("a client", frozenset((Role.PUBLISH,)))

    nsqd.api.guard = Guard(realm="test", ask_others=lambda token, request: know)
    session = HttpSession(build_router(nsqd.api), Peer("127.0.0.1:9"))
    body = size.to_bytes(4, "big") + b"x" * size
    whole = b"\0\0\0\1" + body
    head = f"POST /mpub?topic=t&binary=true HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}\r\n"
    effect = session.received(head.encode() + b"Authorization: Bearer s\r\n\r\n" + whole)
    assert isinstance(effect, Wait)
    await effect.run()
    effect.resume()
    told = session.outbox.take()
    assert b"401" not in told
    assert b"BODY_TOO_BIG" not in told
