"""Logging in and out at an identity provider that others have made: Glewlwyd."""

from contextlib import asynccontextmanager

import httpx
import pytest
from tests.nsqadmin.auth.oidc.glewlwyd import Glewlwyd, glewlwyd
from tests.nsqadmin.auth.oidc.provider import CLIENT, SECRET
from tests.nsqadmin.conftest import BROWSER

pytestmark = pytest.mark.slow


@asynccontextmanager
async def provided(site, folder):
    """A provider, and an nsqadmin whose users log in there."""
    (folder / "secret").write_text(SECRET)
    async with glewlwyd(folder) as provider:
        await provider.set_up("http://localhost")
        await provider.add("ann", "ops", "all")
        await provider.add("eve", "visitors")
        async with site(
            oidc_issuer=provider.issuer, oidc_client_id=CLIENT,
            oidc_client_secret_file=str(folder / "secret"),
            oidc_roles=("ops=admin:ord*", "all=viewer"),
        ) as s:  # fmt: skip
            yield provider, s


async def log_in(s, browser: httpx.AsyncClient):
    """Log in, and come back with what the provider says."""
    begun = await s.client.get("/login/oidc?next=/nodes", headers=BROWSER)
    assert begun.status_code == 303, await begun.get_data(as_text=True)
    shown = httpx.URL((await browser.get(begun.headers["Location"])).headers["Location"])
    assert shown.path.endswith("/login.html")  # which asks whether to go on as who one is
    answer = await browser.get(f"{shown.params['callback_url']}&g_continue")
    back = httpx.URL(answer.headers["Location"])
    assert back.host == "localhost", back
    return await s.client.get(back.raw_path.decode(), headers=BROWSER)


async def test_groups_there_are_roles_here(site, tmp_path):
    async with provided(site, tmp_path) as (provider, s), provider.browser("ann") as browser:
        response = await log_in(s, browser)
        assert (response.status_code, response.headers["Location"]) == (303, "/nodes")
        assert "Log out" in await s.page("/nodes")
        await s.page("/action/delete?topic=orders")
        denied = await s.client.get("/action/delete?topic=mail", headers=BROWSER)
        assert denied.status_code == 403
        assert [item.user for item in s.admin.sessions.all(now=s.admin.now())] == ["ann"]


async def test_who_has_no_group_here_or_another_secret_is_not_let_in(site, tmp_path):
    async with provided(site, tmp_path) as (provider, s), provider.browser("eve") as browser:
        response = await log_in(s, browser)
        assert response.status_code == 403
        assert "no group" in await response.get_data(as_text=True)
        (tmp_path / "secret").write_text("another-secret")
        response = await log_in(s, browser)
        assert response.status_code == 403
        assert "no group" not in await response.get_data(as_text=True)
        assert s.admin.sessions.all(now=s.admin.now()) == []


async def test_logging_out_here_ends_the_session_there(site, tmp_path):
    async with provided(site, tmp_path) as (provider, s), provider.browser("ann") as browser:
        assert (await log_in(s, browser)).status_code == 303
        out = await s.client.post("/logout", headers=BROWSER)
        assert out.status_code == 303
        url = httpx.URL(out.headers["Location"])
        assert str(url).startswith(f"{provider.issuer}/end_session?")
        # it knows whose session it is by the token, and us, and asks its user
        asked = httpx.URL((await browser.get(url)).headers["Location"]).params
        assert asked["prompt"] == "end_session"
        assert asked["callback_url"] == "http://localhost/login"
        assert await ended(provider, browser, asked["sid"])
        refused = await browser.get(url.copy_set_param("id_token_hint", "forged"))
        assert refused.status_code != 302 or "sid=" not in refused.headers["Location"]


async def ended(provider: Glewlwyd, browser: httpx.AsyncClient, session: str) -> bool:
    """Say yes, as its page does; whether it knew the session."""
    answer = await browser.delete(f"{provider.issuer}/session/{session}/")
    return answer.status_code == 200
