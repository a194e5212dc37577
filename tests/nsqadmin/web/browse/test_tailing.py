"""The page of a live tail, and its stream."""

import json

import trio
from tests.fakes.fake_cluster import message, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.conftest import BROWSER

from nsqadmin.collect.tail import Tail
from nsqadmin.web.browse.tailing import Tails
from nsqadmin.web.pages import Pages


def nsqds() -> list[FakeNsqd]:
    first = message(1, "<b>first</b>")
    return [FakeNsqd([topic("orders", durability="os")], messages={"orders": [first]})]


async def test_the_page_names_its_stream_and_viewers_see_it(site):
    async with site(nsqds(), admin_users=("ann",)) as s:
        page = await s.page("/messages/tail?topic=orders")
        assert 'data-stream="/messages/tail/events?topic=orders"' in page
        assert "from the log of the topic" in page
        response = await s.client.get("/messages/tail?topic=%3Cb%3E", headers=BROWSER)
        assert response.status_code == 404


async def test_what_comes_is_told_once_and_only_while_one_may_look(site):
    async with site(nsqds()) as s:
        pages, nsqd = Pages(s.admin), s.nsqds[0]
        tail = Tail(
            s.admin.upstream, "orders", "", [nsqd.address], lambda: s.admin.collector.snapshot
        )
        view = pages.view(None, "/", {})
        may, tails, got = [True], Tails(pages), []
        with trio.fail_after(10):
            async for event in tails.events(tail, view, lambda: may[0]):
                if event.startswith("event: rows"):
                    got.append(json.loads(event.partition("data: ")[2])["html"])
                    nsqd.messages["orders"].append(message(2, "second"))
                    may[0] = len(got) < 2
        assert "&lt;b&gt;first&lt;/b&gt;" in got[0]
        assert "second" in got[1]
        assert "first" not in got[1]
        assert tails.count == 0
        # nothing but lists was asked for
        assert {one.path for one in nsqd.server.asked if one.path.startswith("/message")} == {
            "/message/list"
        }
