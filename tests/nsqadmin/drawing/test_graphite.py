import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.fakes.fake_http import fake_server

from nsqadmin.config.options import NsqadminOptions
from nsqadmin.drawing.graphite import Graphite, clean_key, picture_origin


def graphite(**options):
    return Graphite(NsqadminOptions(graphite_url="http://g.example:8080", **options), "2h")


def test_counters_and_gauges_have_the_keys_that_statsd_makes():
    found = graphite()
    assert (
        found.topic("message_count", "t")
        == "sumSeries(stats.counters.nsq.*.topic.t.message_count.count)"
    )
    assert found.channel("depth", "t", "c", "10.0.0.1:4151") == (
        "sumSeries(stats.gauges.nsq.10_0_0_1_4151.topic.t.channel.c.depth)"
    )


def test_formats_can_be_others_or_none():
    found = graphite(statsd_prefix="p.", statsd_gauge_format="", statsd_counter_format="c.%s")
    assert found.topic("depth", "t") == "sumSeries(p.topic.t.depth)"
    assert found.topic("message_count", "t") == "sumSeries(c.p.topic.t.message_count)"


def test_a_picture_of_a_counter_is_per_second():
    query = parse_qs(urlsplit(graphite().large("x", "message_count")).query)
    assert query["target"] == ['summarize(scale(x,0.01666666667),"60sec","avg")']
    assert query["from"] == ["-2h"]


def test_latencies_are_in_milliseconds():
    assert graphite().latency([0.99], "t", "c", "n:1") == [
        "scale(stats.gauges.nsq.n_1.topic.t.channel.c.e2e_processing_latency_99,0.000001)"
    ]


def test_a_name_loses_what_statsd_does_not_keep():
    assert clean_key("a b/c#ephemeral") == "a_b-cephemeral"


def test_proxied_pictures_come_from_ourselves():
    found = graphite(proxy_graphite=True, base_path="/admin")
    assert found.small("x", "depth").startswith("/admin/render?")
    assert picture_origin(found.options) == ""
    assert picture_origin(graphite().options) == "http://g.example:8080"


async def test_the_rate_is_graphites(site):
    answers = [
        [{"target": "x", "datapoints": [[120.0, 1]]}],
        [{"target": "x", "datapoints": [[-1, 1]]}],
        [{"target": "x", "datapoints": [[None, 1]]}],
    ]
    async with fake_server(lambda asked: (200, answers.pop(0))) as g:
        async with site(graphite_url=f"http://{g.address}") as s:
            found = [await s.json("/api/graphite?metric=rate&target=x") for _ in range(3)]
            assert found == [{"rate": "2.00"}, {"rate": "N/A"}, {"rate": "N/A"}]
            assert (await s.json("/api/graphite?metric=sum&target=x", 400))[
                "message"
            ] == "INVALID_ARG_METRIC"
            assert (await s.json("/api/graphite?metric=rate", 400))[
                "message"
            ] == "INVALID_ARG_TARGET"


async def test_a_graphite_that_does_not_answer_is_an_error(site):
    async with site(graphite_url="http://127.0.0.1:1") as s:
        assert await s.json("/api/graphite?metric=rate&target=x", 500) == {
            "message": "INTERNAL_ERROR"
        }
    async with fake_server(lambda asked: (200, [])) as g:
        async with site(graphite_url=f"http://{g.address}") as s:
            await s.json("/api/graphite?metric=rate&target=x", 500)


@pytest.mark.slow
async def test_pictures_are_passed_on_with_the_credentials_of_the_url(site):
    async with fake_server(lambda asked: (200, b"PNG")) as g:
        url = f"http://user:pw@{g.address}"
        async with site(graphite_url=url, proxy_graphite=True) as s:
            response = await s.client.get("/render?target=a&width=10")
            assert await response.get_data() == b"PNG"
        asked = g.asked[0]
        assert asked.query == {"target": "a", "width": "10"}
        assert base64.b64decode(asked.headers["authorization"].split()[1]) == b"user:pw"
    async with site(graphite_url="http://g.example") as s:
        assert (await s.client.get("/render?target=a")).status_code == 404


@pytest.mark.slow
async def test_fifty_pictures_are_fetched_over_few_connections(site):
    async with fake_server(lambda asked: (200, b"PNG")) as g:
        async with site(graphite_url=f"http://{g.address}", proxy_graphite=True) as s:
            for number in range(50):
                response = await s.client.get(f"/render?target={number}")
                assert await response.get_data() == b"PNG"
            assert len(g.asked) == 50
            assert g.connections <= 2


@pytest.mark.slow
async def test_the_password_of_a_proxied_graphite_is_on_no_page(site):
    url = "http://user:geheim@g.example"
    async with site(graphite_url=url, proxy_graphite=True) as s:
        for headers in ({}, {"Accept": "text/html"}):
            for path in ("/", "/topics/orders", "/topics/orders/billing", "/nodes", "/counter"):
                response = await s.client.get(path, headers=headers)
                assert "geheim" not in await response.get_data(as_text=True)
