"""Live updates: what a stream says after each look at the cluster."""

import html
import json
import re
from contextlib import aclosing

import pytest
import trio
import trio.lowlevel
from tests.fakes.fake_cluster import channel, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.auth.accounts import Role
from nsqadmin.auth.principals import Principal
from nsqadmin.pages.frame.render import split
from nsqadmin.web.events import EventStreams, difference, read_view
from nsqadmin.web.pages import Pages

ANN = Principal("ann", Role.ADMIN, "127.0.0.1:5")


async def first_events(s, path, count, between, *, still=lambda: True):
    """The first events of a stream; ``between`` is run after each."""
    streams = EventStreams(s.admin, Pages(s.admin))
    events = []
    async with aclosing(streams.events(ANN, path, {}, still)) as stream:
        with trio.fail_after(60):
            async for block in stream:
                if not block.startswith("event:"):
                    continue
                name, data = block.strip().split("\ndata: ")
                events.append((name.removeprefix("event: "), json.loads(data)))
                if len(events) == count:
                    break
                await between()
    return events


@pytest.mark.slow
async def test_a_stream_begins_with_the_page_and_goes_on_with_what_changed(site):
    async with site() as s:

        async def publish():
            s.nsqds[0].topics[0]["message_count"] += 7
            await s.admin.collector.round()

        (first, page), (second, parts) = await first_events(s, "/topics/orders", 2, publish)
    assert (first, second) == ("page", "parts")
    assert "orders" in page["html"]
    assert any(">27<" in part for part in parts["parts"].values())
    assert len(json.dumps(parts)) < len(json.dumps(page)) / 2


@pytest.mark.slow
async def test_a_new_topic_sends_the_page_again(site):
    async with site() as s:

        async def create():
            s.lookupd.inactive["fresh"] = []
            await s.admin.collector.round()

        events = await first_events(s, "/", 2, create)
    assert [name for name, _ in events] == ["page", "page"]
    assert "fresh" in events[1][1]["html"]


@pytest.mark.slow
async def test_what_is_gone_ends_its_stream(site):
    async with site() as s:
        node = s.nsqds[1].address

        async def leave():
            s.lookupd.nsqds = s.nsqds[:1]
            await s.admin.collector.round()

        events = await first_events(s, f"/nodes/{node}", 2, leave)
    assert events[1] == ("gone", {})


async def test_a_stream_ends_when_its_viewer_may_not_see_it_any_more(site):
    async with site() as s:
        allowed = [True]

        async def log_out():
            allowed.clear()
            await s.admin.collector.round()

        events = await first_events(s, "/", 9, log_out, still=lambda: bool(allowed))
    assert [name for name, _ in events] == ["page"]


async def test_streams_count_as_watchers_while_they_last(site):
    async with site() as s:
        seen = []

        async def look():
            seen.append(s.admin.collector.watchers)
            await s.admin.collector.round()

        await first_events(s, "/", 2, look)
        assert seen == [1]
        assert s.admin.collector.watchers == 0


async def test_a_page_that_many_watch_is_drawn_once(site):
    async with site() as s:
        streams = EventStreams(s.admin, Pages(s.admin))
        first = streams.draw(ANN, "/topics/orders", {})
        assert (
            streams.draw(Principal("bob", Role.ADMIN, "127.0.0.1:6"), "/topics/orders", {}) is first
        )
        principal = Principal("eve", Role.VIEWER, "127.0.0.1:7")
        assert streams.draw(principal, "/topics/orders", {}) is not first


def test_nothing_new_is_only_the_time():
    page = split('<p data-live="a"><!--[a-->1<!--]--></p>')
    assert difference(page, page, "", 5_000_000) == 'event: tick\ndata: {"at":5}\n\n'


def test_a_part_is_what_is_between_its_marks():
    page = split("<i><!--[a-->1<!--]--></i><b><!--[b--><u>2</u>\n<!--]--></b>")
    assert page.parts == {"a": "1", "b": "<u>2</u>\n"}
    assert page.skeleton == "<i><!--[a--></i><b><!--[b--></b>"


@pytest.mark.slow
async def test_unknown_parameters_cost_no_drawing_of_their_own(site):
    async with site() as s:
        streams = EventStreams(s.admin, Pages(s.admin))
        first = streams.draw(ANN, "/topics/orders", {})
        for number in range(200):
            for odd in ({f"x{number}": ""}, {"h.sort": f"no{number}"}, {"h.per": f"{number}1"},
                        {"range": f"{number}"}, {"t": f"{number}"}, {"show": f"{number}"},
                        {"q": f"{number}"}, {"c.page": f"-{number}"}):  # fmt: skip
                assert streams.draw(ANN, "/topics/orders", odd) is first
            assert streams.draw(ANN, "/topics/orders", {}, f"{number}h") is first
        assert len(streams._drawn) == 1


@pytest.mark.slow
async def test_who_watches_many_different_things_leaves_time_to_others(site):
    async with site() as s:
        streams = EventStreams(s.admin, Pages(s.admin), burst=0.0)

        async def watch(number):
            async with aclosing(
                streams.events(ANN, "/topics/orders", {"c.q": f"{number}"}, lambda: True)
            ) as stream:
                async for block in stream:
                    if block.startswith("event:"):
                        return

        seen = set()
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(watch, number)
            with trio.fail_after(60):
                while len(streams._drawn) < 60:
                    seen.add(len(streams._drawn))
                    await trio.lowlevel.checkpoint()
        assert len(seen) > 30  # somebody else had a turn between most drawings


@pytest.mark.slow
async def test_the_stream_of_an_ephemeral_channel_shows_the_channel(site):
    name = "tail#ephemeral"
    nsqd = FakeNsqd([topic("t#ephemeral", [channel(name, depth=77)])])
    async with site([nsqd]) as s:
        page = await s.page("/topics/t%23ephemeral/tail%23ephemeral")
        view = html.unescape(re.search(r'data-view="([^"]*)"', page)[1])
        assert view == "/topics/t%23ephemeral/tail%23ephemeral"
        whole, _ = EventStreams(s.admin, Pages(s.admin)).draw(ANN, *read_view(view, ""))
        assert ">77<" in whole
        assert "No producers exist" not in whole


def test_the_view_of_a_stream_is_read_as_urls_are():
    assert read_view("/admin/topics/a%23ephemeral?c.q=%26", "/admin") == (
        "/topics/a#ephemeral",
        {"c.q": "&"},
    )
    assert read_view("/admin", "/admin") == ("/", {})
    assert read_view("http://[x", "") == ("/", {})
    assert read_view("/?" + "a=1&" * 1000, "") == ("/", {})
