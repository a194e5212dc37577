"""An nsqd that is not well is shown on every page."""

import pytest
from tests.fakes.fake_cluster import channel, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.web.test_pages import PATHS

ALL = (*PATHS, "/nodes/{}")
FULL = "NOK - disk: no space left on device"


def nsqds(**changes):
    return [
        FakeNsqd([topic("orders", [channel("billing")])], hostname="sick", **changes),
        FakeNsqd([topic("orders", [channel("billing")])], hostname="well"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"health": FULL}, "no space left on device"),
        ({"readyz": {"checks": {"disk": FULL, "draining": "ok"}}}, "no space left on device"),
        ({"readyz": {"checks": {"draining": "draining"}}}, "draining"),
        ({"readyz": {"checks": {"disk": "ok"}, "disk_free": 0.02}}, "nearly full: 2.0% left"),
        ({"readyz": {"checks": {"loop": "event loop is 3.0 s behind"}}}, "3.0 s behind"),
    ],
)
async def test_what_is_wrong_with_an_nsqd_stands_on_every_page(site, path, changes, text):
    async with site(nsqds(**changes)) as s:
        page = await s.page(path.format(s.nsqds[0].address))
        assert "1 node needs attention" in page
        assert text in page


async def test_the_node_and_the_topology_say_which_one_it_is(site):
    async with site(nsqds(health=FULL)) as s:
        assert "This node needs attention" in await s.page(f"/nodes/{s.nsqds[0].address}")
        assert "This node needs attention" not in await s.page(f"/nodes/{s.nsqds[1].address}")
        assert (await s.page("/topology")).count(" unwell") == 1


async def test_what_is_well_again_is_shown_as_well(site):
    async with site(nsqds(health=FULL)) as s:
        s.nsqds[0].health = "OK"
        await s.admin.collector.round()
        assert "attention" not in await s.page("/")


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    [
        {"checks": []}, {"checks": {"disk": 7}}, {"checks": {"\ud800": "\ud800x"}},
        {"checks": {f"c{n}": "x" * 10_000 for n in range(1000)}}, {"disk_free": "much"},
        {"checks": {"disk": "ok"}, "disk_free": -3}, {"checks": {"disk": "ok"}, "disk_free": 1e300},
        {"checks": {"disk": "ok"}, "disk_free": True}, {},
    ],
)  # fmt: skip
async def test_an_odd_answer_to_readyz_is_no_harm(site, odd):
    async with site(nsqds(readyz=odd)) as s:
        for path in ("/", "/nodes", "/topology", f"/nodes/{s.nsqds[0].address}"):
            assert len(await s.page(path)) < 100_000
