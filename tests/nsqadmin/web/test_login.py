"""Logging in with an --auth-file."""

import base64
import re

import pytest
import trio
from tests.nsqadmin.auth.test_accounts import cheap_hash
from tests.nsqadmin.conftest import BROWSER

from nsqadmin.auth.throttle import MAX_FAILURES
from nsqadmin.web.login import local_path


@pytest.fixture
def users(tmp_path, monkeypatch):
    """A file of users whose password is "secret"."""
    monkeypatch.setattr("nsqadmin.auth.accounts._NOBODY", cheap_hash())
    path = tmp_path / "users"
    path.write_text(
        "".join(f"{role}:{role}:{cheap_hash()}\n" for role in ("viewer", "operator", "admin"))
    )
    return str(path)


def basic(user, password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def log_in(s, user, password="secret", following="/nodes"):
    page = await (await s.client.get(f"/login?next={following}", headers=BROWSER)).get_data(
        as_text=True
    )
    token = re.search(r'name="token" value="([\w-]+)"', page)[1]
    fields = {"user": user, "password": password, "token": token, "next": following}
    return await s.client.post("/login", form=fields, headers=BROWSER)


async def test_without_a_login_there_is_nothing_but_the_login(site, users):
    async with site(auth_file=users) as s:
        response = await s.client.get("/topics/orders?x=1", headers=BROWSER)
        assert (response.status_code, response.headers["Location"]) == (
            303,
            "/login?next=%2Ftopics%2Forders%3Fx%3D1",
        )
        for path in (
            "/api/topics",
            "/events?view=/",
            "/config/log_level",
            "/action/pause?topic=orders",
        ):
            assert (await s.client.get(path)).status_code == 401
        assert (await s.client.get("/ping")).status_code == 200
        assert (await s.client.get("/static/admin.css")).status_code == 200


@pytest.mark.slow
async def test_a_login_leads_to_where_one_wanted_to_go(site, users):
    async with site(auth_file=users) as s:
        response = await log_in(s, "admin")
        assert (response.status_code, response.headers["Location"]) == (303, "/nodes")
        cookie = next(c for c in response.headers.getlist("Set-Cookie") if "session" in c)
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Log out" in await s.page("/nodes")


async def test_over_https_the_cookie_is_secure(site, users):
    async with site(auth_file=users) as s:
        headers = {**BROWSER, "X-Scheme": "https"}
        page = await (await s.client.get("/login", headers=headers)).get_data(as_text=True)
        token = re.search(r'name="token" value="([\w-]+)"', page)[1]
        fields = {"user": "admin", "password": "secret", "token": token}
        response = await s.client.post("/login", form=fields, headers=headers, scheme="https")
        assert all("Secure" in cookie for cookie in response.headers.getlist("Set-Cookie"))


async def test_logging_out_ends_the_session(site, users):
    async with site(auth_file=users) as s:
        await log_in(s, "admin")
        await s.client.post("/logout", headers=BROWSER)
        assert (await s.client.get("/", headers=BROWSER)).status_code == 303


@pytest.mark.slow
async def test_a_wrong_password_opens_nothing_and_too_many_close_the_door(site, users):
    async with site(auth_file=users) as s:
        for _ in range(MAX_FAILURES):
            assert (await log_in(s, "admin", "guess")).status_code == 403
        assert (await log_in(s, "admin", "secret")).status_code == 429


async def test_a_guess_that_is_refused_says_when_to_come_back(site, users):
    async with site(auth_file=users) as s:
        for number in range(MAX_FAILURES):
            await s.client.get("/api/topics", headers=basic("admin", f"guess{number}"))
        response = await s.client.get("/api/topics", headers=basic("admin"))
        assert response.status_code == 429
        assert 0 < int(response.headers["Retry-After"]) <= 300


@pytest.mark.slow
async def test_behind_a_proxy_one_guesser_locks_nobody_else_out(site, users):
    async with site(auth_file=users, trusted_proxies=("127.0.0.1",)) as s:
        base = {"client": ("127.0.0.1", 5)}
        guesser = {"X-Forwarded-For": "203.0.113.5", **basic("admin", "guess")}
        for _ in range(MAX_FAILURES):
            await s.client.get("/api/topics", headers=guesser, scope_base=base)
        locked = await s.client.get("/api/topics", headers=guesser, scope_base=base)
        assert locked.status_code == 429
        for address in ("203.0.113.6", "2001:db8::1"):
            other = {"X-Forwarded-For": address, **basic("admin")}
            response = await s.client.get("/api/topics", headers=other, scope_base=base)
            assert response.status_code == 200


async def test_a_form_with_a_token_of_any_letters_is_refused(site, users):
    async with site(auth_file=users) as s:
        await s.client.get("/login", headers=BROWSER)
        fields = {"user": "admin", "password": "secret", "token": "é"}
        response = await s.client.post("/login", form=fields, headers=BROWSER)
        assert "The form was too old" in await response.get_data(as_text=True)


async def test_scripts_send_basic_authentication(site, users):
    async with site(auth_file=users) as s:
        assert (await s.client.get("/api/topics", headers=basic("viewer"))).status_code == 200
        response = await s.client.get("/api/topics", headers=basic("viewer", "wrong"))
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (
            401,
            'Basic realm="nsqadmin"',
        )


@pytest.mark.parametrize(
    ("user", "pause", "delete"), [("viewer", 403, 403), ("operator", 200, 403), ("admin", 200, 200)]
)
async def test_a_role_bounds_what_one_may_do(site, users, user, pause, delete):
    async with site(auth_file=users) as s:
        response = await s.client.post(
            "/api/topics/orders", data=b'{"action":"pause"}', headers=basic(user)
        )
        assert response.status_code == pause
        response = await s.client.delete("/api/topics/orders", headers=basic(user))
        assert response.status_code == delete


async def test_the_acl_header_means_nothing_where_people_log_in(site, users):
    async with site(auth_file=users, admin_users=("ann",)) as s:
        response = await s.client.get("/api/topics", headers={"X-Forwarded-User": "ann"})
        assert response.status_code == 401


async def test_a_user_taken_out_of_the_file_is_out_at_once(site, users):
    async with site(auth_file=users) as s:
        await log_in(s, "operator")
        assert (await s.client.get("/", headers=BROWSER)).status_code == 200
        with open(users, "w") as file:  # noqa: ASYNC230 - a test may block
            file.write(f"admin:admin:{cheap_hash()}\n")
        assert (await s.client.get("/", headers=BROWSER)).status_code == 303


async def test_another_password_ends_the_sessions_of_the_old_one(site, users):
    async with site(auth_file=users) as s:
        await log_in(s, "admin")
        with open(users, "w") as file:  # noqa: ASYNC230 - a test may block
            file.write(f"admin:admin:{cheap_hash('other')}\n")
        assert (await s.client.get("/", headers=BROWSER)).status_code == 303


async def test_a_stream_ends_when_the_password_it_was_opened_with_is_another(site, users):
    async with site(auth_file=users) as s:
        headers = {**basic("viewer"), "Accept": "text/event-stream"}
        async with s.client.request("/events?view=/", headers=headers) as stream:
            await stream.send_complete()
            while b"event: page" not in await stream.receive():
                pass
            with open(users, "w") as file:  # noqa: ASYNC230 - a test may block
                file.write(f"viewer:viewer:{cheap_hash('other')}\n")
            await s.admin.collector.round()
            with trio.fail_after(60):
                assert await stream.as_response()


@pytest.mark.parametrize(
    "path", ["", "//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb"]
)
def test_a_login_never_leads_to_another_site(path):
    assert local_path(path, "") == "/"
    assert local_path(path, "/base") == "/base"


def test_a_login_leads_to_pages_below_the_base_path():
    assert local_path("/base/nodes?x=1", "/base") == "/base/nodes?x=1"
    assert local_path("/other", "/base") == "/base"
