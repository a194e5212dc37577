"""Which channels need a person, and why."""

import pytest
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.pages.topics.needs import channel_rows, rise_of


@pytest.mark.parametrize(
    ("depths", "rise"),
    [
        ([0, 10, 20, 30, 40, 50], 50),
        ([0, 10, 20], 0),  # too little is known
        ([50, 10, 20, 30, 40, 55], 0),  # down and up
        ([1000, 1010, 1020, 1030, 1040, 1050], 0),  # hardly
        ([5, 5, 6, 6, 7, 7], 0),
        ([50, 40, 30, 20, 10, 0], 0),
    ],
)
def test_a_queue_grows_when_it_rises_and_goes_on_rising(depths, rise):
    assert rise_of(depths) == rise


def labels(s) -> dict[str, list[str]]:
    rows = channel_rows(s.admin.collector.snapshot, s.admin.history)
    return {row.stats.channel_name: [need.label for need in row.needs] for row in rows}


async def test_each_need_is_seen_and_quiet_channels_have_none(site):
    parts = [
        channel("lonely", depth=3),
        channel("idle"),
        channel("grows", [client()], depth=400),
        channel("fails", [client()], requeue_count=50, timeout_count=7),
        channel("failed", [client()], requeue_count=9000),
        channel("fine", [client()], depth=500),
    ]
    dead = topic("mail.dead", [channel("pile", depth=4)])
    mail = topic("mail", [channel("dies", [client()], dead_count=4), channel("lives", [client()])])
    async with site([FakeNsqd([topic("orders", parts), mail, dead])]) as s:
        now, history = s.admin.collector.snapshot.taken / 1e9, s.admin.history
        for step in range(30):
            at = now - 300 + 10 * step
            history.record(at, ("channel", "orders", "grows"), {"depth": float(10 * step)})
            history.record(at, ("channel", "orders", "fine"), {"depth": 500.0})
            history.record_brief(at, ("channel", "orders", "fails"), "failures", float(step))
            history.record_brief(at, ("channel", "orders", "failed"), "failures", 9000.0)
        found = labels(s)
    assert found == {
        "lonely": ["no consumers"],
        "idle": [],
        "grows": ["growing"],
        "fails": ["failing"],
        "failed": [],
        "fine": [],
        "dies": ["dead letters"],
        "lives": [],
        "pile": ["dead letters"],
    }


async def test_letters_in_a_topic_that_a_policy_names_wait_for_a_person_too(site):
    parts = [
        channel("dies", [client()], dead_count=4, dead_letter_topic="graves"),
        channel("drops", [client()], dead_count=9, dead_letter_topic="discard"),
        channel("odd", [client()], dead_count=9, dead_letter_topic="no such!"),
    ]
    graves = topic("graves", [channel("pile", depth=40)], depth=2)
    # no letters, whatever their names say; and a policy that names what is not there
    others = [topic("mail.deadline", [channel("mine", [client()], depth=3)])]
    others += [topic("post", [channel("lost", [client()], dead_letter_topic="gone")])]
    async with site([FakeNsqd([topic("orders", parts), graves, *others])]) as s:
        assert labels(s) == {
            "dies": ["dead letters"],
            "drops": [],
            "odd": [],
            "pile": ["dead letters"],
            "mine": [],
            "lost": [],
        }
        page = await s.page("/channels")
        assert "42 dead letters wait" in page
        assert "/messages?topic=graves&amp;channel=pile&#34;" not in page
        assert "/messages?topic=orders&amp;channel=dies&amp;state=dead" in page
        own = await s.page("/topics/orders/dies")
        assert "Dead letters" in own
        assert "/messages?topic=orders&amp;channel=dies&amp;state=dead" in own
        assert "Dead letters" not in await s.page("/topics/orders/drops")


async def test_the_page_has_those_first_that_need_a_person(site):
    parts = [channel("a", [client()]), channel("z", depth=7), channel("m", [client()])]
    dead = topic("orders.dead", depth=2)
    async with site([FakeNsqd([topic("orders", parts), dead])]) as s:
        page = await s.page("/channels")
        order = [page.index(f"/topics/orders/{name}") for name in ("z", "a", "m")]
        assert order == sorted(order)
        assert "/messages?topic=orders&amp;channel=z&amp;state=dead" in page
        assert "2 dead letters wait" in page
        only = await s.page("/channels?show=needs&q=z")
        assert "/topics/orders/z" in only
