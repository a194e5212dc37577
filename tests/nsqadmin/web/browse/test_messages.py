"""The message browser: who may do what, and what is refused."""

import pytest
from tests.nsqadmin.conftest import BROWSER, token_in

FORM = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
PICK = "127.0.0.1:1|0123456789abcdef"


@pytest.mark.slow
async def test_whoever_only_looks_is_offered_nothing_to_do(site):
    async with site(admin_users=("ann",)) as s:
        page = await s.page("/messages?topic=orders&channel=billing")
        assert "Publish a test message" not in page
        response = await s.client.get(
            f"/messages/act?verb=finish&topic=orders&channel=billing&pick={PICK}", headers=BROWSER
        )
        assert response.status_code == 403


VIEWS = [("/messages/act", verb) for verb in ("finish", "requeue", "dead", "copy")]


@pytest.mark.parametrize(("path", "verb"), [*VIEWS, ("/messages/publish", "")])
async def test_whoever_only_looks_cannot_act_by_a_form_of_their_own(site, path, verb):
    """Not even with the token of a page that was another's."""
    async with site(admin_users=("ann",)) as s:
        ann = {**BROWSER, "X-Forwarded-User": "ann"}
        page = await s.client.get("/messages?topic=orders&channel=billing", headers=ann)
        token = token_in(await page.get_data(as_text=True))
        fields = {
            "verb": verb, "topic": "orders", "channel": "billing", "to": "other", "sure": "1",
            "pick": f"{s.nsqds[0].address}|0123456789abcdef", "node": s.nsqds[0].address,
            "body": "x", "token": token,
        }  # fmt: skip
        response = await s.client.post(path, form=fields, headers=FORM)
        assert response.status_code == 403
        assert all(asked.method == "GET" for nsqd in s.nsqds for asked in nsqd.server.asked)


@pytest.mark.parametrize("id", ["", "zz", "../../x", "0123456789ABCDEF"])
async def test_what_can_be_no_message_is_not_there(site, id):
    async with site() as s:
        url = f"/message?topic=orders&channel=billing&id={id}"
        assert (await s.client.get(url, headers=BROWSER)).status_code == 404


@pytest.mark.parametrize("path", ["/messages/act", "/messages/publish"])
async def test_a_form_needs_the_token_of_a_page(site, path):
    async with site() as s:
        fields = {"verb": "finish", "topic": "orders", "channel": "billing", "pick": PICK}
        response = await s.client.post(path, form={**fields, "token": "forged"}, headers=FORM)
        assert response.status_code == 403


async def test_an_unknown_verb_is_no_page(site):
    async with site() as s:
        response = await s.client.get("/messages/act?verb=eat&topic=orders", headers=BROWSER)
        assert response.status_code == 404


@pytest.mark.slow
async def test_an_nsqd_that_knows_no_messages_is_named(site):
    async with site() as s:
        page = await s.page("/messages?topic=orders&channel=billing")
        assert all(nsqd.address in page for nsqd in s.nsqds)
        assert "notice danger" in page


async def test_names_are_shown_as_they_are(site):
    async with site() as s:
        assert "No nsqd has the topic." in await s.page("/messages?topic=nobody")
        page = await s.page("/messages?topic=nobody&channel=%3Cscript%3E&contains=%22%3E%3Cb%3E")
        assert "<script>" not in page.partition("<main")[2]
        assert "<b>" not in page.partition("<main")[2]
        response = await s.client.get("/messages?topic=%3Cscript%3E", headers=BROWSER)
        assert response.status_code == 404
