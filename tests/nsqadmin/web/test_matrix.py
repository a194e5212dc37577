"""Who may do what: every route of nsqadmin with every role, and with what attackers forge."""

import re

import pytest
from attrs import frozen
from tests.nsqadmin.auth.test_accounts import cheap_hash
from tests.nsqadmin.conftest import BROWSER, FORM
from tests.nsqadmin.web.test_login import basic

OPEN, VIEWER, OPERATOR, ADMIN = range(4)
ROLES = ("viewer", "operator", "admin")


@frozen
class Expected:
    """The lowest role that is let in; what is asked, for a topic of `two_nsqds`."""

    role: int
    path: str = ""
    body: object = None  # of the API; a form otherwise
    form: dict[str, str] | None = None
    about_topic: bool = False  # who may do it to other topics only may not


def action(role: int, verb: str, typed: str = "") -> Expected:
    named = {"topic": "orders", "channel": "billing"}
    return Expected(role, f"/action/{verb}", form=named | {"typed": typed}, about_topic=True)


TOPIC, CHANNEL = "/api/topics/orders", "/api/topics/orders/billing"
MESSAGE = {"topic": "orders", "channel": "billing", "id": "0" * 16, "node": "n"}
QUERY = "topic=orders&channel=billing"
PAUSE, TOMBSTONE = {"action": "pause"}, {"topic": "orders"}
EXPECTED = {
    **{f"GET {path}": Expected(OPEN) for path in (
        "/ping", "/livez", "/readyz", "/metrics", "/login", "/login/oidc", "/login/oidc/callback",
    )},
    "GET /static/<asset>": Expected(OPEN, "/static/admin.css"),
    "GET /fonts/<asset>": Expected(OPEN, "/fonts/x"),
    "POST /login": Expected(OPEN, form={"user": "x", "password": "y"}),
    "POST /language": Expected(OPEN, form={"language": "en"}),
    "POST /logout": Expected(VIEWER),
    **{f"GET {path}": Expected(VIEWER) for path in (
        "/", "/topics", "/channels", "/nodes", "/topology", "/counter", "/lookup", "/policies",
        "/api/topics", "/api/nodes", "/api/counter",
    )},
    "GET /topics/<topic>": Expected(VIEWER, "/topics/orders"),
    "GET /topics/<topic>/<channel>": Expected(VIEWER, "/topics/orders/billing"),
    "GET /nodes/<node>": Expected(VIEWER, "/nodes/x"),
    "GET /api/topics/<topic>": Expected(VIEWER, TOPIC),
    "GET /api/topics/<topic>/<channel>": Expected(VIEWER, CHANNEL),
    "GET /api/nodes/<node>": Expected(VIEWER, "/api/nodes/x"),
    "GET /api/graphite": Expected(VIEWER),
    "GET /render": Expected(VIEWER),
    "GET /config/<name>": Expected(VIEWER, "/config/log_level"),
    "PUT /config/<name>": Expected(ADMIN, "/config/log_level", "info"),
    "POST /api/topics": Expected(OPERATOR, "/api/topics", {"topic": "orders"}, about_topic=True),
    "POST /api/topics/<topic>": Expected(OPERATOR, TOPIC, PAUSE, about_topic=True),
    "POST /api/topics/<topic>/<channel>": Expected(OPERATOR, CHANNEL, PAUSE, about_topic=True),
    "DELETE /api/topics/<topic>": Expected(ADMIN, TOPIC, about_topic=True),
    "DELETE /api/topics/<topic>/<channel>": Expected(ADMIN, CHANNEL, about_topic=True),
    "DELETE /api/nodes/<node>": Expected(ADMIN, "/api/nodes/x:1", TOMBSTONE, about_topic=True),
    "GET /action/<verb>": Expected(OPERATOR, f"/action/pause?{QUERY}", about_topic=True),
    "POST /action/<verb>": action(ADMIN, "delete", "billing"),
    "GET /messages": Expected(VIEWER, f"/messages?{QUERY}"),
    "GET /message": Expected(VIEWER, f"/message?{QUERY}&id={'0' * 16}"),
    "GET /messages/tail": Expected(VIEWER, f"/messages/tail?{QUERY}"),
    "GET /messages/act": Expected(OPERATOR, f"/messages/act?{QUERY}&verb=finish&id={'0' * 16}"),
    "POST /messages/act": Expected(OPERATOR, form=MESSAGE | {"verb": "finish"}, about_topic=True),
    "POST /messages/publish": Expected(OPERATOR, form=MESSAGE | {"body": "x"}, about_topic=True),
    "GET /messages/redrive": Expected(OPERATOR, f"/messages/redrive?{QUERY}"),
    "POST /messages/redrive": Expected(OPERATOR, form=MESSAGE),
    "POST /policies/set": Expected(OPERATOR, form={"name": "n", "pattern": "x"}),
    "GET /policies/delete": Expected(ADMIN, "/policies/delete?name=n"),
    "POST /policies/delete": Expected(ADMIN, form={"name": "n", "typed": "n"}),
    "GET /sessions": Expected(ADMIN),
    "GET /sessions/end": Expected(ADMIN, "/sessions/end?id=x"),
    "POST /sessions/end": Expected(ADMIN, form={"id": "x"}),
}  # fmt: skip
#: Streams, whose end nobody sees here; they are asked for by nobody alone.
STREAMS = {
    "GET /events": "/events?view=/",
    "GET /messages/tail/events": f"/messages/tail/events?{QUERY}",
}


@pytest.fixture
def guarded(site, tmp_path, monkeypatch):
    """Makes a site with all routes, and an account for each role."""
    monkeypatch.setattr("nsqadmin.auth.accounts._NOBODY", cheap_hash())
    path = tmp_path / "users"
    lines = [f"{role}:{role}:{cheap_hash()}" for role in ROLES]
    lines.append(f"other:admin:{cheap_hash()} topics=other*")
    path.write_text("\n".join(lines))
    return lambda: site(
        auth_file=str(path), allow_config_from_cidr="",
        graphite_url="http://127.0.0.1:1", proxy_graphite=True,
        oidc_issuer="http://127.0.0.1:1", oidc_client_id="x", oidc_roles=("a=viewer",),
    )  # fmt: skip


async def ask(s, name, expected, headers):
    """The status, and what a refusal says."""
    method, path = name.split()
    sent = {"headers": {**BROWSER, "Accept": "*/*", **headers}}
    if expected.body is not None:
        sent["json"] = expected.body
    elif method == "POST" and name != "POST /logout" and not path.startswith("/api"):
        page = await (await s.client.get("/login", headers=BROWSER)).get_data(as_text=True)
        token = re.search(r'name="token" value="([\w-]+)"', page)[1]
        sent = {"headers": {**FORM, "Accept": "*/*", **headers}}
        sent["form"] = {"token": token, **(expected.form or {})}
    response = await s.client.open(expected.path or path, method=method, **sent)
    return response.status_code


async def test_every_route_has_its_line(guarded):
    async with guarded() as s:
        routes = {
            f"{method} {rule.rule}"
            for rule in s.app.url_map.iter_rules()
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }
    assert routes == EXPECTED.keys() | STREAMS.keys()


@pytest.mark.slow
async def test_who_shows_nothing_or_forges_it_is_nobody(guarded):
    forged = (
        {},
        {"X-Forwarded-User": "admin"},
        {"Authorization": "Bearer admin"},
        {"Cookie": "nsqadmin_session=admin"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    )
    lines = {n: e for n, e in EXPECTED.items() if e.role != OPEN}
    lines |= {name: Expected(VIEWER, path) for name, path in STREAMS.items()}
    async with guarded() as s:
        for name, expected in lines.items():
            for headers in forged:
                assert await ask(s, name, expected, headers) == 401, (name, headers)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_it_is_for_and_no_more(guarded, role):
    rank = ROLES.index(role) + 1
    async with guarded() as s:
        for name, expected in EXPECTED.items():
            if expected.role == OPEN or name == "POST /logout":
                continue
            status = await ask(s, name, expected, basic(role))
            if rank < expected.role:
                assert status == 403, (name, status)
            else:
                assert status not in (401, 403), (name, status)


@pytest.mark.slow
async def test_an_admin_of_other_topics_may_not(guarded):
    async with guarded() as s:
        for name, expected in EXPECTED.items():
            if expected.about_topic:
                assert await ask(s, name, expected, basic("other")) == 403, name


@pytest.mark.slow
async def test_what_a_page_of_another_site_sends_is_refused(guarded):
    elsewhere = basic("admin") | {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    async with guarded() as s:
        for name, expected in EXPECTED.items():
            if not name.startswith("GET"):
                assert await ask(s, name, expected, elsewhere) == 403, name
