"""Actions from pages: asked, confirmed, protected."""

import re

import pytest
from tests.fakes.fake_cluster import channel, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.conftest import BROWSER

FORM = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No collector runs in these tests: nothing is to be waited for."""

    async def refresh(self, *, patience=0.0):
        await self.round()

    monkeypatch.setattr("nsqadmin.collect.collector.Collector.refresh", refresh)


async def token(s, path):
    page = await s.page(path)
    return re.search(r'name="token" value="([\w-]+)"', page)[1]


async def send(s, verb, headers=FORM, **fields):
    return await s.client.post(f"/action/{verb}", form=fields, headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["pause", "empty"])
async def test_an_action_is_asked_first_and_then_done(site, verb):
    async with site() as s:
        path = f"/action/{verb}?topic=orders&channel=billing"
        fields = {"topic": "orders", "channel": "billing", "token": await token(s, path)}
        response = await send(s, verb, **fields)
        assert (response.status_code, response.headers["Location"]) == (
            303,
            "/topics/orders/billing",
        )
        states = [n.topics[0]["channels"][0] for n in s.nsqds]
        assert all(state["paused"] if verb == "pause" else state["depth"] == 0 for state in states)


async def test_an_action_may_concern_one_node(site):
    async with site() as s:
        node = s.nsqds[1].address
        fields = {
            "topic": "orders",
            "node": node,
            "token": await token(s, f"/action/pause?topic=orders&node={node}"),
        }
        await send(s, "pause", **fields)
        assert [n.topics[0]["paused"] for n in s.nsqds] == [False, True]


async def test_deleting_needs_the_name_to_be_typed(site):
    async with site() as s:
        fields = {"topic": "orders", "token": await token(s, "/action/delete?topic=orders")}
        for typed in ("", "order", "Orders"):
            response = await send(s, "delete", typed=typed, **fields)
            assert response.status_code == 400
        assert all(n.topics for n in s.nsqds)
        response = await send(s, "delete", typed="orders", **fields)
        assert (response.status_code, response.headers["Location"]) == (303, "/")
        assert not any(n.topics for n in s.nsqds)


async def test_a_form_without_the_token_of_its_browser_does_nothing(site):
    async with site() as s:
        good = await token(s, "/action/pause?topic=orders")
        for bad in ("", "0" * 64):
            assert (await send(s, "pause", topic="orders", token=bad)).status_code == 403
        stranger = s.app.test_client()
        response = await stranger.post(
            "/action/pause", form={"topic": "orders", "token": good}, headers=FORM
        )
        assert response.status_code == 403
        assert not any(n.topics[0]["paused"] for n in s.nsqds)


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
)
async def test_another_site_can_change_nothing(site, headers):
    async with site() as s:
        good = await token(s, "/action/pause?topic=orders")
        response = await send(
            s,
            "pause",
            {"Content-Type": FORM["Content-Type"], **headers},
            topic="orders",
            token=good,
        )
        assert response.status_code == 403
        body = b'{"action": "pause"}'
        for kind in ("application/json", "text/plain"):
            response = await s.client.post(
                "/api/topics/orders", data=body, headers={**headers, "Content-Type": kind}
            )
            assert response.status_code == 403
        response = await s.client.delete("/api/topics/orders", headers=headers)
        assert response.status_code == 403
        assert all(n.topics and not n.topics[0]["paused"] for n in s.nsqds)


@pytest.mark.slow
async def test_what_a_viewer_may_not_do_is_neither_offered_nor_done(site):
    async with site(admin_users=("ann",)) as s:
        for path in (
            "/topics/orders",
            "/topics/orders/billing",
            f"/nodes/{s.nsqds[0].address}",
            "/lookup",
        ):
            assert "/action/" not in await s.page(path)
        assert (
            await s.client.get("/action/pause?topic=orders", headers=BROWSER)
        ).status_code == 403
        response = await s.client.get(
            "/topics/orders", headers={**BROWSER, "X-Forwarded-User": "ann"}
        )
        assert "/action/delete" in await response.get_data(as_text=True)


async def test_a_daemon_that_an_action_did_not_reach_is_named(site):
    async with site() as s:
        s.nsqds[1].broken = True
        fields = {"topic": "orders", "token": await token(s, "/action/pause?topic=orders")}
        text = await (await send(s, "pause", **fields)).get_data(as_text=True)
        assert "done, but not everywhere" in text
        assert s.nsqds[1].address in text


async def test_an_action_that_fails_says_why_on_its_own_page(site):
    async with site() as s:
        fields = {"topic": "nothing", "token": await token(s, "/action/pause?topic=nothing")}
        response = await send(s, "pause", **fields)
        assert response.status_code == 400
        assert "UPSTREAM_ERROR" in await response.get_data(as_text=True)


async def test_an_invalid_name_creates_nothing(site):
    async with site() as s:
        good = await token(s, "/action/create?topic=x")
        response = await send(s, "create", topic="a b", token=good)
        assert "INVALID_TOPIC" in await response.get_data(as_text=True)
        response = await send(s, "create", topic="fresh", token=good)
        assert response.headers["Location"] == "/topics/fresh"
        assert "fresh" in s.lookupd.inactive


async def test_an_unknown_action_is_not_found(site):
    async with site() as s:
        assert (await s.client.get("/action/explode?topic=t", headers=BROWSER)).status_code == 404


@pytest.mark.slow
async def test_actions_are_logged_with_user_and_address(site, caplog):
    caplog.set_level("INFO")
    async with site() as s:
        await s.client.post(
            "/api/topics/orders", data=b'{"action":"pause"}', headers={"X-Forwarded-User": "ann"}
        )
    assert "user(ann): pause_topic orders from " in caplog.text


async def test_emptying_says_how_many_messages_go_and_enter_cancels(site):
    nsqds = [
        FakeNsqd([topic("t", [channel("c", depth=depth, in_flight_count=2, deferred_count=3)],
                        depth=100)])
        for depth in (5, 7)
    ]  # fmt: skip
    async with site(nsqds) as s:
        page = await s.page("/action/empty?topic=t&channel=c")
        assert "<b>22 messages</b> go" in page
        assert re.search(r"<a[^>]*data-cancel[^>]* autofocus", page)
        assert not re.search(r"<button[^>]*solid[^>]* autofocus", page)
        one = await s.page(f"/action/empty?topic=t&channel=c&node={s.nsqds[0].address}")
        assert "<b>10 messages</b> go" in one
        assert "<b>200 messages</b> go" in await s.page("/action/empty?topic=t")
        assert "<b>222 messages</b> go" in await s.page("/action/delete?topic=t")
        assert "messages" not in (await s.page("/action/unpause?topic=t")).partition("<form")[0]


async def test_what_is_harmless_is_confirmed_by_enter(site):
    async with site() as s:
        page = await s.page("/action/unpause?topic=orders")
        assert re.search(r"<button[^>]*primary[^>]* autofocus", page)
