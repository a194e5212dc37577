"""Every name in every URL of every page leads to what it names."""

import html
import re
from collections import deque
from urllib.parse import unquote, urlsplit

import pytest
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.conftest import BROWSER

FORMS = {f"/admin/messages/{name}" for name in ("act", "redrive", "publish")} | {
    "/admin/policies/set"
}
TOPIC, CHANNEL = "a.b_c-1#ephemeral", "tail#ephemeral"


def cluster():
    """Enough of everything that every table has links for order and pages."""
    clients = [client(number) for number in range(26)]
    channels = [channel(CHANNEL, clients), channel("other#ephemeral")]
    channels += [channel(f"c{number}#ephemeral") for number in range(25)]
    return [FakeNsqd([topic(TOPIC, channels, depth=3), topic("plain", [channel("c")])])]


def links(page):
    """The URLs that a page leads to, in their order."""
    found = re.findall(r'(?:href|data-view)="([^"]*)"', page)
    return [html.unescape(url) for url in dict.fromkeys(found) if not url.startswith(("http", "#"))]


def forms(page):
    """Method and action of each form; what is in the form is part of what it asks for."""
    for form in re.findall(r"<form[^>]*>", page):
        (method,), (action,) = (re.findall(rf'{a}="([^"]*)"', form) for a in ("method", "action"))
        yield method.upper(), html.unescape(action)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["/admin"])
async def test_no_url_of_any_page_has_a_fragment_or_an_unknown_page(site, base):
    async with site(cluster(), base_path=base) as s:
        prefix = base.rstrip("/")
        collector = s.admin.collector
        collector.wall = lambda: collector.snapshot.taken  # pages need not wait for another look
        routes = s.app.url_map.bind("localhost")
        todo, seen, kinds = deque([base]), {base}, set()
        while todo:
            url = todo.popleft()
            if url.startswith(f"{prefix}/static") or url == f"{prefix}/api/topics":
                continue
            response = await s.client.get(url, headers=BROWSER)
            page = await response.get_data(as_text=True)
            assert response.status_code == 200, url
            assert "No producers exist" not in page or "forgotten" in url, url
            for method, action in forms(page):
                assert not urlsplit(action).fragment, (url, action)
                assert routes.match(unquote(urlsplit(action).path), method)
            for found in links(page):
                assert not urlsplit(found).fragment, (url, found)
                # One page of each kind of link is enough.
                kind = re.sub(r"\d+|-|sort=\w+", "", found)
                if found in FORMS:  # they want their fields
                    continue
                if kind not in kinds and len(kinds) < 250:
                    kinds.add(kind)
                    todo.append(found)
                    seen.add(found)
        paths = {unquote(urlsplit(url).path) for url in seen}
        assert f"{prefix}/topics/{TOPIC}/{CHANNEL}" in paths


async def test_the_login_leads_back_to_an_ephemeral_topic(site, tmp_path):
    users = tmp_path / "users"
    users.write_text("")
    async with site(cluster(), auth_file=str(users)) as s:
        response = await s.client.get("/topics/t%23ephemeral?h.q=a%26b", headers=BROWSER)
        expected = "/login?next=%2Ftopics%2Ft%2523ephemeral%3Fh.q%3Da%2526b"
        assert response.headers["Location"] == expected
