"""Fault 41: every name in every URL of every page leads to what it names."""

import html
import re
from urllib.parse import unquote, urlsplit

import pytest
from tests.fakes.fake_cluster import FakeNsqd, channel, client, topic
from tests.nsqadmin.conftest import BROWSER

TOPIC, CHANNEL = "a.b_c-1#ephemeral", "tail#ephemeral"


def cluster():
    """Enough of everything that every table has links for order and pages."""
    clients = [client(number) for number in range(26)]
    channels = [channel(CHANNEL, clients), channel("other#ephemeral")]
    channels += [channel(f"c{number}#ephemeral") for number in range(25)]
    return [FakeNsqd([topic(TOPIC, channels, depth=3), topic("plain", [channel("c")])])]


def own_urls(page):
    found = re.findall(r'(?:href|action|data-view)="([^"]*)"', page)
    return {html.unescape(url) for url in found if not url.startswith(("http", "#"))}


@pytest.mark.slow
@pytest.mark.parametrize("base", ["/admin"])
async def test_fault_41_no_url_of_any_page_has_a_fragment_or_an_unknown_page(site, base):
    async with site(cluster(), base_path=base) as s:
        prefix = base.rstrip("/")
        collector = s.admin.collector
        collector.wall = lambda: collector.snapshot.taken  # pages need not wait for another look
        todo, seen, kinds = {base}, set(), set()
        while todo:
            url = todo.pop()
            seen.add(url)
            if url.startswith(f"{prefix}/static") or url == f"{prefix}/api/topics":
                continue
            response = await s.client.get(url, headers=BROWSER)
            page = await response.get_data(as_text=True)
            assert response.status_code == 200, url
            assert "No producers exist" not in page or "forgotten" in url, url
            for found in own_urls(page):
                assert not urlsplit(found).fragment, (url, found)
                # One page of each kind of link is enough.
                kind = re.sub(r"\d+|-|sort=\w+", "", found)
                if kind not in kinds and len(kinds) < 250:
                    kinds.add(kind)
                    todo |= {found} - seen
        paths = {unquote(urlsplit(url).path) for url in seen}
        assert f"{prefix}/topics/{TOPIC}/{CHANNEL}" in paths


async def test_fault_41_the_login_leads_back_to_an_ephemeral_topic(site, tmp_path):
    users = tmp_path / "users"
    users.write_text("")
    async with site(cluster(), auth_file=str(users)) as s:
        response = await s.client.get("/topics/t%23ephemeral?h.q=a%26b", headers=BROWSER)
        expected = "/login?next=%2Ftopics%2Ft%2523ephemeral%3Fh.q%3Da%2526b"
        assert response.headers["Location"] == expected
