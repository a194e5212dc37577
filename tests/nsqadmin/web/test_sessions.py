"""Who is logged in, and ending that; roles on some topics."""

import re
from types import SimpleNamespace

from tests.nsqadmin.auth.test_accounts import cheap_hash
from tests.nsqadmin.conftest import BROWSER, FORM, token_in

from nsqadmin.auth.principals import Principal
from nsqadmin.web.identity import SESSION_COOKIE, Identity


async def log_in(s, user: str):
    client = s.app.test_client()
    page = await (await client.get("/login", headers=BROWSER)).get_data(as_text=True)
    fields = {"user": user, "password": "secret", "token": token_in(page)}
    agent = {**FORM, "User-Agent": f"browser of {user}"}
    assert (await client.post("/login", form=fields, headers=agent)).status_code == 303
    return client


async def text(client, path: str, status: int = 200) -> str:
    response = await client.get(path, headers=BROWSER)
    assert response.status_code == status, path
    return str(await response.get_data(as_text=True))


def users(tmp_path, *lines: str) -> str:
    path = tmp_path / "users"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


async def test_an_admin_sees_who_is_logged_in_and_ends_a_session(site, tmp_path):
    file = users(tmp_path, f"ann:admin:{cheap_hash()}", f"bob:operator:{cheap_hash()}")
    async with site(auth_file=file) as s:
        ann, bob = await log_in(s, "ann"), await log_in(s, "bob")
        page = await text(ann, "/sessions")
        assert "browser of bob" in page
        assert page.count("this one") == 1
        ends = re.findall(r"/sessions/end\?id=(\w+)", page)
        sessions = s.admin.sessions.all(now=s.admin.now())
        assert ends == [session.id for session in sessions]
        target = next(session.id for session in sessions if session.user == "bob")
        asked = await text(ann, f"/sessions/end?id={target}")
        await text(bob, "/nodes")  # a question ends nothing
        fields = {"id": target, "token": token_in(asked)}
        assert (await ann.post("/sessions/end", form=fields, headers=FORM)).status_code == 303
        await text(bob, "/nodes", 303)
        await text(ann, "/nodes")
        await text(ann, f"/sessions/end?id={target}", 404)


async def test_an_open_page_ends_with_its_session(site, tmp_path):
    async with site(auth_file=users(tmp_path, f"ann:admin:{cheap_hash()}")) as s:
        await log_in(s, "ann")
        session = s.admin.sessions.all(now=s.admin.now())[0]
        token = s.admin.sessions.open(s.admin.accounts.get("ann"), now=s.admin.now())

        identity = Identity(s.admin)
        request = SimpleNamespace(cookies={SESSION_COOKIE: token})
        principal = identity.session_principal(token, Principal("", None, "127.0.0.1:1"))
        is_authorized = identity.authorization_check(request, principal)
        assert is_authorized()
        s.admin.sessions.end(session.id)  # of another
        assert is_authorized()
        s.admin.sessions.close(token)
        assert not is_authorized()


async def test_nobody_but_admins_sees_sessions_or_ends_one(site, tmp_path):
    limited = f"lim:admin:{cheap_hash()} topics=orders"
    file = users(tmp_path, f"bob:operator:{cheap_hash()}", limited)
    async with site(auth_file=file) as s:
        for user in ("bob", "lim"):
            client = await log_in(s, user)
            await text(client, "/sessions", 403)
            assert "/sessions" not in await text(client, "/nodes")
            page = await text(client, "/lookup")
            fields = {"id": s.admin.sessions.all(now=s.admin.now())[0].id}
            fields["token"] = token_in(page) if 'name="token"' in page else "forged"
            assert (
                await client.post("/sessions/end", form=fields, headers=FORM)
            ).status_code == 403
        assert len(s.admin.sessions.all(now=s.admin.now())) == 2


async def test_a_role_on_some_topics_is_none_on_others(site, tmp_path):
    file = users(tmp_path, f"ann:admin:{cheap_hash()} topics=ord*")
    async with site(auth_file=file) as s:
        client = await log_in(s, "ann")
        await text(client, "/action/delete?topic=orders")
        await text(client, "/messages?topic=orders")
        for path in (
            "/action/delete?topic=payments",
            "/action/create?topic=payments",
            "/messages?topic=payments",
            "/message?topic=payments&id=0",
            "/messages/tail?topic=payments",
            "/messages/tail/events?topic=payments",
            "/messages/act?verb=finish&topic=payments&channel=c",
            "/messages/redrive?topic=orders.dead&which=all",
            "/policies/delete?name=p",
            "/action/delete?topic=ord%2A",
        ):
            await text(client, path, 403)
        assert "/action/delete" in await text(client, "/topics/orders")
        assert "/action/delete" not in await text(client, "/topics/payments")
        # scripts and other people's topics alike
        response = await client.delete("/api/topics/payments", headers={"Accept": "*/*"})
        assert response.status_code == 403
