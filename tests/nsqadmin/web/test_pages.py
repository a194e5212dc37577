"""What stands on the pages."""

import html
import re

import pytest
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.conftest import BROWSER, two_nsqds

PATHS = (
    "/",
    "/topics",
    "/topics/orders",
    "/topics/orders/billing",
    "/channels",
    "/nodes",
    "/topology",
    "/counter",
    "/lookup",
)
EVIL = "<script>alert(1)</script>\"'--><img src=x onerror=alert(2)>"


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", ["lookupd", "nsqd"])
async def test_every_page_is_complete_without_scripts(site, path, mode):
    async with site(mode=mode) as s:
        page = await s.page(path)
        assert page.startswith("<!doctype html>")
        assert page.rstrip().endswith("</html>")
        assert "<h1" in page


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_has_anything_inline(site, path):
    async with site() as s:
        page = await s.page(path)
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize("path", PATHS)
async def test_pages_load_nothing_from_elsewhere(site, path):
    async with site() as s:
        page = await s.page(path)
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]*)"', page)
        assert loaded
        assert all(url.startswith("/static/") for url in loaded)


@pytest.mark.parametrize("path", PATHS)
async def test_pages_show_what_is_left_when_half_the_cluster_is_down(site, path):
    async with site(nsqlookupd_http_addresses=()) as s:
        s.nsqds[1].broken = True
        s.admin.options = s.admin.options.__class__(
            nsqlookupd_http_addresses=(s.lookupd.address, "127.0.0.1:1")
        )
        await s.admin.collector.round()
        page = await s.page(path)
        assert "2 daemons do not answer" in page
        assert s.nsqds[1].address in page
        assert "127.0.0.1:1" in page


def evil_nsqds():
    bad = client(
        client_id=EVIL, hostname=EVIL, user_agent=EVIL, remote_address=EVIL, topology_zone=EVIL,
        topology_region=EVIL, authed=True, auth_identity=EVIL, tls=True, tls_version=EVIL,
        tls_cipher_suite=EVIL, auth_identity_url="javascript:alert(3)", version=EVIL,
    )  # fmt: skip
    places = {"hostname": EVIL, "version": EVIL, "region": EVIL, "zone": EVIL}
    return [FakeNsqd([topic("orders", [channel("billing", [bad])]), topic(EVIL)], **places)]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
async def test_what_a_client_chooses_is_text_everywhere(site, path):
    async with site(evil_nsqds()) as s:
        for whole in (await s.page(path), await s.page(f"/nodes/{s.nsqds[0].address}")):
            assert "<script>alert" not in whole
            assert "<img src=x" not in whole
            assert "javascript:" not in whole
            assert not re.search(r'"\'-->', whole)


async def test_topics_show_their_numbers(site):
    async with site() as s:
        page = await s.page("/")
        row = re.search(r'<tr[^>]*>(?:(?!</tr>).)*href="/topics/orders".*?</tr>', page, re.DOTALL)[
            0
        ]
        cells = [
            re.sub(r"<[^>]+>", "", cell).strip()
            for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)
        ]
        # rate, chart, depth, chart, in flight, deferred, messages, channels, consumers, nodes
        assert cells == ["0", "", "7", "", "0", "0", "20", "2", "2", "2"]


async def test_topics_can_be_searched_and_filtered(site):
    async with site() as s:
        assert "/topics/orders" not in await s.page("/?q=nothing")
        assert "/topics/forgotten" in await s.page("/?show=inactive")
        assert "/topics/orders" not in await s.page("/?show=inactive")
        assert "/topics/orders" in await s.page("/?show=backlog")


async def test_a_topic_page_has_hosts_channels_and_totals(site):
    async with site() as s:
        page = await s.page("/topics/orders")
        for text in (
            "host-0",
            "host-1",
            "Total",
            "billing",
            "archive",
            "Memory + Disk",
            "Requeued",
        ):
            assert text in page


async def test_a_topic_without_producers_says_so(site):
    async with site() as s:
        assert "No producers exist for this topic." in await s.page("/topics/forgotten")
        assert "Nobody knows it." in await s.page("/topics/never-heard-of")


async def test_a_channel_page_lists_clients_with_their_attributes(site):
    crowd = [
        client(1, tls=True, tls_version="TLS1.3", sample_rate=20, snappy=True),
        client(2, client_id="worker-2", authed=True, auth_identity="ann", auth_identity_url="https://id.example/ann"),
        client(3, topology_region="eu", topology_zone="a", deflate=True),
    ]  # fmt: skip
    nsqds = [
        FakeNsqd(
            [topic("t", [channel("c", crowd, zone_local_msg_count=3, global_msg_count=1)])],
            region="eu",
            zone="a",
        )
    ]
    async with site(nsqds) as s:
        page = await s.page("/topics/t/c")
    for text in (
        "Sampled 20%",
        "TLS1.3",
        "Snappy",
        "Deflate",
        "zoneLocal",
        "(c1)",
        "zone-local 75.0%",
    ):
        assert text in page
    assert '<a class="badge accent" rel="noopener noreferrer" href="https://id.example/ann"' in page
    assert "(worker-2)" not in page


async def test_percentiles_have_columns_with_their_bounds(site):
    def latency(value):
        return {"count": 4, "percentiles": [{"quantile": 0.99, "value": value}]}

    nsqds = [
        FakeNsqd(
            [
                topic(
                    "t",
                    [channel("c", e2e_processing_latency=latency(v))],
                    e2e_processing_latency=latency(v),
                )
            ],
            hostname=f"h{v}",
        )
        for v in (1_000_000, 3_000_000)
    ]  # fmt: skip
    async with site(nsqds) as s:
        for path in ("/topics/t", "/topics/t/c"):
            page = await s.page(path)
            assert "99th" in page
            assert "99th: min = 1ms, max = 3ms" in page
            assert ">2ms<" in page


async def test_clients_are_paged_and_searched_by_the_server(site):
    crowd = [client(number) for number in range(120)]
    async with site([FakeNsqd([topic("t", [channel("c", crowd)])])]) as s:
        page = await s.page("/topics/t/c")
        assert page.count("<bdi>worker-") == 50
        assert "page 1 of 3" in page
        found = await s.page("/topics/t/c?k.q=worker-77")
        assert "1 client found, 120 in all" in found.replace("\n", "")


async def test_a_node_page_counts_its_topics(site):
    async with site() as s:
        page = await s.page(f"/nodes/{s.nsqds[0].address}")
        assert re.search(r"<dt>Topics</dt><dd>1</dd>", page)
        assert "worker-0" in page


async def test_nodes_mark_old_versions_and_tombstones(site):
    nsqds = two_nsqds()
    nsqds[0].version = "1.2.0"
    async with site(nsqds) as s:
        s.lookupd.tombstones.add(("orders", s.nsqds[1].address))
        await s.admin.collector.round()
        page = await s.page("/nodes")
        assert "1 out of date" in page
        assert "tombstoned: consumers are not sent here" in page
        assert 'class="badge ok">1 of 1</summary>' in page


async def test_what_does_not_exist_is_a_page_too(site):
    async with site() as s:
        for path in ("/nodes/nobody:1", "/nowhere"):
            response = await s.client.get(path, headers=BROWSER)
            assert response.status_code == 404
            assert "<h1>Not found</h1>" in await response.get_data(as_text=True)


async def test_who_does_not_ask_for_html_gets_one_page_that_points_to_the_api(site):
    async with site(graphite_url="http://g.example") as s:
        pages = {await (await s.client.get(path)).get_data() for path in PATHS}
        assert len(pages) == 1
        assert b"/api/topics" in next(iter(pages))


async def test_the_base_path_is_in_front_of_everything(site):
    async with site(base_path="some/where/") as s:
        page = await s.page("/some/where")
        links = re.findall(r'(?:href|src|action)="([^"]*)"', page)
        ours = [link for link in links if not link.startswith(("https://", "#"))]
        assert all(link.startswith("/some/where") for link in ours)
        assert (await s.client.get("/topics", headers=BROWSER)).status_code == 404


async def test_graphite_pictures_stand_where_graphite_is_configured(site):
    async with site(graphite_url="http://g.example") as s:
        page = await s.page("/topics/orders?t=12h")
        assert "http://g.example/render?" in page
        assert "from=-12h" in page
        assert "g.example/render" not in await s.page("/topics/orders?t=off")
        response = await s.client.get("/", headers=BROWSER)
        assert "img-src 'self' http://g.example;" in response.headers["Content-Security-Policy"]


async def test_the_span_of_graphites_pictures_is_remembered(site):
    async with site(graphite_url="http://g.example") as s:
        await s.page("/topics/orders?t=12h")
        assert "from=-12h" in await s.page("/")


async def test_nodes_come_in_the_order_of_their_numbers(site):
    nsqds = [FakeNsqd([topic("t")], hostname=f"nsqd-{number}") for number in (10, 9, 1)]
    async with site(nsqds) as s:
        found = re.findall(r">(nsqd-[0-9]+)<", await s.page("/nodes"))
        assert found == ["nsqd-1", "nsqd-9", "nsqd-10"]


async def test_a_node_with_many_topics_shows_some_and_has_the_others_at_hand(site):
    async with site([FakeNsqd([topic(f"t{number}") for number in range(60)])]) as s:
        page = await s.page("/nodes")
        shown, _, folded = page.partition("and 56 more")
        assert len(re.findall(r'href="/topics/t[0-9]+"', shown)) == 4
        assert len(re.findall(r'href="/topics/t[0-9]+"', folded)) == 36
        assert "and 20 more" in folded


async def test_of_a_node_that_does_not_answer_no_numbers_are_told(site):
    async with site() as s:
        s.nsqds[0].broken = True
        await s.admin.collector.round()
        page = await s.page(f"/nodes/{s.nsqds[0].address}")
        summary = page.partition('<dl class="summary"')[2].partition("</dl>")[0]
        assert re.findall(r"<dd>(?:<[^>]*>)*([^<]*)", summary) == ["\u2013"] * 6


async def test_an_empty_list_of_nodes_says_why(site):
    async with site([]) as s:
        assert "None has registered with nsqlookupd." in await s.page("/nodes")
    async with site([], nsqlookupd_http_addresses=("127.0.0.1:1",)) as s:
        assert "No nsqlookupd answers." in await s.page("/nodes")


async def test_a_channel_without_consumers_is_found_though_another_has_some(site):
    nsqd = FakeNsqd(
        [
            topic("half", [channel("busy", [client()]), channel("lonely", depth=5)]),
            topic("whole", [channel("both", [client()])]),
        ]
    )
    async with site([nsqd]) as s:
        idle = await s.page("/?show=idle")
        assert "/topics/half" in idle
        assert "/topics/whole" not in idle
        assert "1 channel idle" in idle


async def test_one_page_lists_the_channels_of_all_topics(site):
    async with site() as s:
        every = await s.page("/channels")
        assert "/topics/orders/billing" in every
        assert "/topics/orders/archive" in every
        idle = await s.page("/channels?show=idle")
        assert "/topics/orders/archive" in idle
        assert "/topics/orders/billing" not in idle
        assert "No channel fits" in await s.page("/channels?q=nothing")


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
async def test_no_two_landmarks_have_one_name(site, path):
    channels = [channel(f"c{number}", [client(n) for n in range(30)]) for number in range(30)]
    async with site([FakeNsqd([topic("orders", [*channels, channel("billing")])])]) as s:
        page = await s.page(path)
        names = re.findall(r'<nav[^>]*aria-label="([^"]*)"', page)
        assert len(names) == len(set(names)), names


async def test_a_client_shows_its_port(site):
    async with site() as s:
        assert ":40001</span>" in await s.page("/topics/orders/billing")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/nodes", "/channels"])
async def test_what_narrow_screens_leave_out_is_left_out_of_heads_and_rows(site, path):
    async with site() as s:
        page = await s.page(path)
        head = re.search(r"<thead>.*?</thead>", page, re.DOTALL)[0]
        kept = [
            re.sub(r"<[^>]+>", "", cell)
            for mark, cell in re.findall(r'<th [^>]*?class="([^"]*)"[^>]*>(.*?)</th>', head)
            if "opt" not in mark
        ]
        assert "Depth" in kept
        assert len(kept) <= 5
        for row in re.findall(r"<tr [^>]*>.*?</tr>", page.partition("<tbody>")[2], re.DOTALL):
            cells = re.findall(r"<t[dh]([^>]*)>", row)
            assert len([c for c in cells if "opt" not in c]) == len(kept)


@pytest.mark.slow
async def test_tiles_lead_to_what_they_count(site):
    async with site() as s:
        page = await s.page("/")
        links = re.findall(r'<a class="tile" href="([^"]*)"', page)
        assert len(links) == 5
        for link in links:
            await s.page(html.unescape(link))


async def test_a_topic_just_created_is_not_shown_as_trouble(site):
    async with site() as s:
        page = await s.page("/topics/forgotten")  # registered, and nothing published yet
        assert "It is registered" in page
        assert "notice warn" not in page
        assert "notice warn" in await s.page("/topics/never-heard-of")


async def test_the_latency_chart_says_which_percentile_it_shows(site):
    latency = {"count": 2, "percentiles": [{"quantile": q, "value": 3e6} for q in (0.5, 0.99)]}
    found = topic("t", [channel("c", e2e_processing_latency=latency)])
    async with site([FakeNsqd([found])]) as s:
        s.admin.on_round(s.admin.collector.snapshot)
        assert "Processing latency, 99th percentile" in await s.page("/topics/t/c")


async def test_what_a_durable_topic_promises_stands_beside_its_name_and_else_nothing(site):
    durable = topic("kept", [channel("c")]) | {"durability": "always", "promise": "on disk"}
    nsqds = [
        FakeNsqd([durable, topic("plain"), durable | {"topic_name": "mixed"}], hostname="a"),
        FakeNsqd([topic("mixed")], hostname="b"),
    ]
    async with site(nsqds) as s:
        badge = '<span class="badge ok" title="where a message is once it is acknowledged">on disk'
        whole = await s.page("/topics")
        assert whole.count(badge) == 1
        assert (
            '<span class="badge warn" title="where a message is once it is acknowledged: '
            'nsqds differ">in memory or on disk' in whole
        )
        assert badge in await s.page("/topics/kept")
        assert badge in await s.page(f"/nodes/{nsqds[0].address}")
        assert "acknowledged" not in await s.page("/topics/plain")
        assert "promise" not in await s.json("/api/topics/plain")


async def test_a_promise_that_is_markup_stays_text(site):
    evil = topic("t") | {"durability": "always", "promise": EVIL}
    async with site([FakeNsqd([evil])]) as s:
        for path in ("/topics", "/topics/t"):
            page = await s.page(path)
            assert "<img src=x" not in page
            assert "&lt;script&gt;" in page
