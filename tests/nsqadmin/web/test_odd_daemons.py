"""Whatever a daemon says, no page and no answer of the API is a 500."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.conftest import BROWSER

API = ("/api/topics", "/api/topics/orders", "/api/topics/orders/billing", "/api/nodes",
       "/api/counter")  # fmt: skip
ODD = [
    10**39, -(10**39), -1, 1e308, float("inf"), float("nan"), True, None, "", "x", [], {}, [None],
    {"a": 1}, "\ud800x", "9" * 5000 + ".0.0", "\u0000", "<script>", "user:pw@127.0.0.1:25030/adm?",
    ["\ud800"], [[[]]], 99999,
]  # fmt: skip


def oddities(place):
    """Changes to one place: all fields but names at once, and some of `ODD` for each field."""
    samples = {
        "channel": channel("billing", [client()]), "topic": topic("orders", [channel("billing")]),
        "client": client(),
    }  # fmt: skip
    # The fake nsqd itself needs these; whole answers of any shape are another test's.
    kept = ("topic_name", "channel_name", "channels", "clients")
    keys = [key for key in samples[place] if key not in kept]
    for odd in ODD:
        yield dict.fromkeys(keys, odd)
    for index, key in enumerate(keys):
        for odd in ODD[index % 7 :: 7]:
            yield {key: odd}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["topic", "channel", "client"])
async def test_no_field_of_the_statistics_takes_a_page_down(site, place):
    nsqd = FakeNsqd()
    async with site([nsqd]) as s:
        collector = s.admin.collector
        collector.wall = lambda: collector.snapshot.taken + 1
        for changed in oddities(place):
            one = client(**changed) if place == "client" else client()
            inner = channel("billing", [one]) | (changed if place == "channel" else {})
            nsqd.topics = [topic("orders", [inner]) | (changed if place == "topic" else {})]
            await collector.round()
            s.admin.on_round(collector.snapshot)
            for path in ("/", "/topics/orders/billing"):
                response = await s.client.get(path, headers=BROWSER)
                assert response.status_code in (200, 404), (path, changed)


INFO = ("version", "broadcast_address", "hostname", "http_port", "tcp_port", "topology_zone",
        "topology_region", "remote_address", "topics", "tombstones")  # fmt: skip


class OddNsqd(FakeNsqd):
    """An nsqd with one odd field in what nsqlookupd tells of it."""

    odd = ("version", "1")

    def info(self):
        """What nsqlookupd lists."""
        return {**super().info(), self.odd[0]: self.odd[1]}


@pytest.mark.slow
async def test_one_registration_blinds_nobody(site):
    well, odd = FakeNsqd([topic("orders", [channel("billing")])]), OddNsqd([topic("orders")])
    async with site([well, odd]) as s:
        collector = s.admin.collector
        collector.wall = lambda: collector.snapshot.taken + 1
        for index, key in enumerate(INFO):
            for value in ODD[index % 3 :: 3]:
                odd.odd = (key, value)
                await collector.round()
                for path in ("/nodes", "/topology", f"/nodes/{well.address}"):
                    response = await s.client.get(path, headers=BROWSER)
                    assert response.status_code == 200, (path, key, value)
                    page = await response.get_data(as_text=True)
                    assert well.address in page
        response = await s.client.get("/api/nodes")
        assert response.status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["topics", "channels", "topic_name", "channel_name", "depth", "clients",
                         "e2e_processing_latency", "percentiles", "data", "health"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.slow
async def test_whole_answers_of_any_shape_take_nothing_down(site):
    examples = []

    @settings(max_examples=40, deadline=None)
    @given(JSON)
    def collect(example):
        examples.append(example)

    collect()
    nsqd = FakeNsqd()
    async with site([nsqd, FakeNsqd([topic("orders", [channel("billing")])])]) as s:
        collector = s.admin.collector
        collector.wall = lambda: collector.snapshot.taken + 1
        answer = type(nsqd).answer
        for example in examples:
            told = json.loads(json.dumps(example))

            def odd(asked, told=told):
                return (200, told) if asked.path == "/stats" else answer(nsqd, asked)

            nsqd.server.answer = odd
            await collector.round()
            for path in ("/", "/topology", "/topics/orders/billing"):
                response = await s.client.get(path, headers=BROWSER)
                assert response.status_code == 200, (path, example)
            for path in API:
                response = await s.client.get(path)
                assert response.status_code in (200, 502), (path, example)
