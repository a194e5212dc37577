"""Dead letters are redriven from pages: some, so many, or all, after a question."""

import pytest
from tests.fakes.fake_cluster import message, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.conftest import BROWSER, FORM, token_in

from nsqcore.cluster.each import messages

DIED = {"nsq-dead-topic": "orders", "nsq-dead-channel": "billing", "nsq-dead-reason": "attempts"}


def nsqds() -> list[FakeNsqd]:
    letters = [message(number, "bad", headers=DIED) for number in range(7)]
    topics = [topic("orders"), topic("orders.dead", depth=7)]
    return [FakeNsqd(topics, messages={"orders.dead": letters})]


async def redrive(s, query: str, **fields: str) -> str:
    page = await s.page(f"/messages/redrive?{query}")
    response = await s.client.post(
        "/messages/redrive", form={**fields, "token": token_in(page)}, headers=FORM
    )
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def test_the_page_of_dead_letters_says_why_they_died_and_offers_to_redrive(site):
    async with site(nsqds()) as s:
        page = await s.page("/messages?topic=orders&channel=billing&state=dead")
        assert "attempts in orders/billing" in page
        assert "Redrive all" in page
        assert 'name="topic" value="orders.dead"' in page


async def test_all_are_redriven_in_steps_and_counted(site, monkeypatch):
    monkeypatch.setattr(messages, "REDRIVE_STEP", 3)
    async with site(nsqds()) as s:
        asked = await s.page("/messages/redrive?topic=orders.dead&which=all")
        assert "Redrive all dead letters?" in asked
        assert "7 messages" in asked
        told = await redrive(s, "topic=orders.dead&which=all", topic="orders.dead", which="all")
        assert "7 messages sent back, 0 left." in told
        assert s.nsqds[0].messages["orders.dead"] == []


async def test_the_oldest_so_many_are_redriven(site):
    async with site(nsqds()) as s:
        told = await redrive(
            s, "topic=orders.dead&which=all", topic="orders.dead", which="all", limit="2"
        )
        assert "2 messages sent back, 5 left." in told


async def test_a_chosen_one_is_redriven(site):
    async with site(nsqds()) as s:
        pick = f"{s.nsqds[0].address}|{4:016x}"
        told = await redrive(
            s, f"topic=orders.dead&which=chosen&pick={pick}", topic="orders.dead",
            which="chosen", pick=pick,
        )  # fmt: skip
        assert "1 message sent back, 6 left." in told
        assert f"{4:016x}" not in {one["id"] for one in s.nsqds[0].messages["orders.dead"]}


@pytest.mark.parametrize(
    ("query", "text"),
    [("which=chosen", "Choose some messages first."), ("which=all&limit=many", "is a number")],
)
async def test_what_is_not_clear_is_asked_again(site, query, text):
    async with site(nsqds()) as s:
        url = f"/messages/redrive?topic=orders.dead&{query}"
        response = await s.client.get(url, headers=BROWSER)
        assert response.status_code == 400
        assert text in await response.get_data(as_text=True)


@pytest.mark.slow
async def test_viewers_are_refused_and_a_forged_form_changes_nothing(site):
    async with site(nsqds(), admin_users=("ann",)) as s:
        assert "Redrive all" not in await s.page("/messages?topic=orders.dead")
        url = "/messages/redrive?topic=orders.dead&which=all"
        assert (await s.client.get(url, headers=BROWSER)).status_code == 403
    async with site(nsqds()) as s:
        fields = {"topic": "orders.dead", "which": "all", "token": "forged"}
        response = await s.client.post("/messages/redrive", form=fields, headers=FORM)
        assert response.status_code == 403
        assert len(s.nsqds[0].messages["orders.dead"]) == 7
