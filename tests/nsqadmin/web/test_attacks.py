"""What attackers try at nsqadmin's pages, each refused; roles and routes are in test_matrix."""

import re

import pytest
from tests.fakes.fake_http import fake_server
from tests.nsqadmin.conftest import BROWSER, FORM
from tests.nsqadmin.web.test_login import basic, log_in, users  # noqa: F401 - a fixture
from tests.nsqadmin.web.test_matrix import EXPECTED, STREAMS, Expected

FORMS = {
    name: expected
    for name, expected in EXPECTED.items()
    if name.startswith("POST ") and "/api" not in name
}


def cookie_of(response) -> str:
    """The session that an answer opens; empty for none."""
    found = [line for line in response.headers.getlist("Set-Cookie") if "session" in line]
    return found[0].partition("=")[2].partition(";")[0] if found else ""


@pytest.mark.slow
@pytest.mark.parametrize("sent", ["none", "wrong", "another browser's"])
async def test_no_form_is_taken_without_the_token_of_its_browser(site, users, sent):  # noqa: F811
    async with site(auth_file=users) as s:
        stranger = s.app.test_client()
        page = await (await stranger.get("/login", headers=BROWSER)).get_data(as_text=True)
        theirs = re.search(r'name="token" value="([\w-]+)"', page)[1]
        await s.client.get("/login", headers=BROWSER)
        token = {"none": {}, "wrong": {"token": "x" * 43}, "another browser's": {"token": theirs}}
        for name, expected in FORMS.items():
            path = expected.path or name.split()[1]
            form = {**token[sent], **(expected.form or {})}
            headers = FORM if path == "/login" else FORM | basic("admin")
            response = await s.client.post(path, form=form, headers=headers)
            if path in ("/login", "/logout", "/language"):  # these harm nobody
                assert cookie_of(response) == "", path
            else:
                assert response.status_code == 403, (path, response.status_code)
        assert all(n.topics and not n.topics[0]["paused"] for n in s.nsqds)
        assert not [path for n in s.nsqds for path in n.server.paths("POST")]


@pytest.mark.slow
async def test_a_session_that_was_slipped_in_is_not_taken_over(site, users):  # noqa: F811
    async with site(auth_file=users) as s:
        s.client.set_cookie("localhost", "nsqadmin_session", "of-the-attacker")
        token = cookie_of(await log_in(s, "admin"))
        assert len(token) >= 40
        assert token != "of-the-attacker"
        thief = s.app.test_client()
        for stolen in ("of-the-attacker", token.lower(), token[:-1], token + "x", f" {token[1:]}"):
            headers = BROWSER | {"Cookie": f"nsqadmin_session={stolen}"}
            assert (await thief.get("/nodes", headers=headers)).status_code == 303
        await s.client.post("/logout", headers=BROWSER)
        again = cookie_of(await log_in(s, "admin"))
        assert again not in ("", token)  # another one each time


@pytest.mark.slow
async def test_a_method_is_what_it_is(site, users):  # noqa: F811
    overrides = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    async with site(auth_file=users) as s:
        for header in overrides:
            for path in ("/api/topics/orders", "/api/topics/orders?_method=DELETE"):
                headers = basic("operator") | {header: "DELETE"}
                await s.client.get(path, headers=headers)
                await s.client.post(path, json={"action": "unpause"}, headers=headers)
        assert all(n.topics for n in s.nsqds)
        assert not [path for n in s.nsqds for path in n.server.paths("POST") if "delete" in path]


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:4171"},
        {"Host": "nsq.example.evil.example"},
        {"Host": "evil.example", "X-Forwarded-Host": "nsq.example"},
        {"Host": "evil.example", "Forwarded": "host=nsq.example"},
        {"Host": "nsq.example@evil.example"},
    ],
)
async def test_a_rebound_name_gets_nothing_on_any_route(site, users, headers):  # noqa: F811
    lines = EXPECTED | {name: Expected(0, path) for name, path in STREAMS.items()}
    async with site(auth_file=users, allowed_hosts=("nsq.example",)) as s:
        for name, expected in lines.items():
            method, path = name.split()
            sent = basic("admin") | headers
            response = await s.client.open(expected.path or path, method=method, headers=sent)
            assert response.status_code in (400, 403), (name, response.status_code)
        answer = await s.client.get("/nodes", headers=basic("admin") | {"Host": "nsq.example"})
        assert answer.status_code == 200


@pytest.mark.slow
async def test_nobody_whom_a_request_names_is_shown_the_token(site):
    async with fake_server(lambda asked: (200, {})) as thief, site() as s:
        at = thief.address
        for path in (
            f"/nodes/{at}", f"/api/nodes/{at}", f"/messages?topic=orders&channel=billing&node={at}",
            f"/message?topic=orders&channel=billing&node={at}&id={'0' * 16}",
            f"/action/tombstone?topic=orders&node={at}", f"/lookup?lookupd={at}",
        ):  # fmt: skip
            await s.client.get(path, headers=BROWSER)
        for body in ({"action": "pause", "node": at}, {"topic": "orders", "node": at}):
            await s.client.post("/api/topics/orders", json=body)
            await s.client.post("/api/topics/orders/billing", json=body)
        await s.client.delete(f"/api/nodes/{at}", json={"topic": "orders"})
        page = await (await s.client.get("/action/pause?topic=orders", headers=BROWSER)).get_data(
            as_text=True
        )
        token = re.search(r'name="token" value="([\w-]+)"', page)[1]
        fields = {"topic": "orders", "channel": "billing", "node": at, "token": token}
        for path, more in (
            ("/action/tombstone", {"typed": "orders"}),
            ("/messages/publish", {"body": "x"}),
            ("/messages/act", {"verb": "finish", "id": "0" * 16, "pick": f"{at}|{'0' * 16}"}),
            ("/messages/redrive", {}),
        ):
            await s.client.post(path, form=fields | more, headers=FORM)
        assert thief.connections == 0
