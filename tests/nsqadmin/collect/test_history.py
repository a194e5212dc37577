import math

import pytest

from nsqadmin.collect.history import SHORTEST, History

START = 1_800_000_000
TOPIC = ("topic", "t")


def known(points):
    return [(at, value) for at, value in points if not math.isnan(value)]


def test_recent_values_keep_ten_second_steps():
    history = History()
    for second in range(0, 60, 10):
        history.record(START + second, TOPIC, {"rate": float(second)})
    points = known(history.points(TOPIC, "rate", "30m", now=START + 50))
    assert points == [(START + second, float(second)) for second in range(0, 60, 10)]


def test_older_values_are_means_of_longer_steps():
    history = History()
    for second in range(0, 120, 10):
        history.record(START + second, TOPIC, {"rate": float(second)})
    assert known(history.points(TOPIC, "rate", "3h", now=START + 119)) == [
        (START, 25.0),
        (START + 60, 85.0),
    ]


def test_a_short_spike_of_depth_does_not_vanish():
    history = History()
    for second in range(600):
        history.record(START + second, TOPIC, {"depth": 1000.0 if second == 300 else 1.0})
    assert known(history.points(TOPIC, "depth", "24h", now=START + 599)) == [(START, 1000.0)]


def test_a_gap_stays_a_gap():
    history = History()
    history.record(START, TOPIC, {"rate": 1.0})
    history.record(START + 30, TOPIC, {"rate": 2.0})
    values = [value for _, value in history.points(TOPIC, "rate", "30m", now=START + 30)][-4:]
    assert [math.isnan(value) for value in values] == [False, True, True, False]


def test_looks_a_little_apart_leave_no_gap():
    history = History()
    for look in range(60):  # one every 10.4 s: now and then a step of 10 s has none
        history.record(START + look * 10.4, TOPIC, {"rate": 5.0})
        history.record_brief(START + look * 10.4, ("topic", "t", "n"), "rate", 5.0)
    end = START + 59 * 10.4
    values = [value for _, value in history.points(TOPIC, "rate", "30m", now=end)]
    assert set(values) == {5.0}
    assert set(history.recent(("topic", "t", "n"), "rate", now=end)) == {5.0}


def test_one_who_looks_seldom_sees_lines_too():
    history = History(patience=150.0)
    for look in range(10):
        history.record(START + look * 61, TOPIC, {"rate": 5.0})
    values = [value for _, value in history.points(TOPIC, "rate", "30m", now=START + 9 * 61)]
    assert set(values) == {5.0}


def test_values_older_than_a_ring_are_forgotten():
    history = History()
    history.record(START, TOPIC, {"rate": 1.0})
    later = START + 31 * 60
    assert known(history.points(TOPIC, "rate", "30m", now=later)) == []
    assert known(history.points(TOPIC, "rate", "3h", now=later)) == [(START, 1.0)]
    history.record(START + 86400, TOPIC, {"rate": 2.0})
    points = history.points(TOPIC, "rate", "24h", now=START + 86400)
    assert known(points) == [(START + 86400, 2.0)]


def test_a_clock_that_jumps_back_starts_anew():
    history = History()
    history.record(START, TOPIC, {"rate": 1.0})
    history.record(START - 5000, TOPIC, {"rate": 7.0})
    assert known(history.points(TOPIC, "rate", "30m", now=START - 5000)) == [(START - 5000, 7.0)]


def test_a_young_chart_begins_where_something_is_known():
    history = History()
    history.record(START, TOPIC, {"rate": 1.0})
    assert len(history.points(TOPIC, "rate", "30m", now=START)) == SHORTEST


def test_a_full_history_takes_nothing_new_and_says_so():
    history = History(limit=1)
    history.record(START, TOPIC, {"rate": 1.0})
    history.record(START, ("topic", "u"), {"rate": 1.0})
    assert history.is_full
    assert history.points(("topic", "u"), "rate", "30m", now=START) == []


def test_what_had_no_value_for_a_day_makes_room():
    history = History(limit=1)
    history.record(START, TOPIC, {"rate": 1.0})
    history.prune(START + 86401)
    history.record(START + 86401, ("topic", "u"), {"rate": 1.0})
    assert known(history.points(("topic", "u"), "rate", "30m", now=START + 86401))


def test_rows_of_single_nodes_have_a_sparkline_and_no_chart():
    history = History(limit=0, brief_limit=1)
    entity = ("topic", "t", "n:4151")
    history.record_brief(START, entity, "rate", 4.0)
    history.record_brief(START, ("topic", "u", "n:4151"), "rate", 5.0)
    assert history.recent(entity, "rate", now=START)[-1] == 4.0
    assert history.points(entity, "rate", "24h", now=START) == []
    assert history.recent(("topic", "u", "n:4151"), "rate", now=START) == []
    history.prune(START + 1801)
    assert history.recent(entity, "rate", now=START + 1801) == []


HALF_HOUR, TEN_MINUTES = 1800.0, 600.0


def values(history, entity, now, name="depth"):
    return history.points(entity, name, "24h", now=now)


def test_at_the_bound_the_longest_silent_gives_way_and_not_the_newest():
    history = History(limit=10)
    for number in range(10):
        history.record(float(number), ("topic", f"t{number}"), {"depth": 1.0})
    now = 10_000.0
    for number in range(5, 10):
        history.record(now, ("topic", f"t{number}"), {"depth": 2.0})
    for number in range(3):
        history.record(now, ("topic", f"new{number}"), {"depth": 3.0})
    kept = [n for n in range(10) if values(history, ("topic", f"t{n}"), now)]
    assert kept == [3, 4, 5, 6, 7, 8, 9]
    assert all(values(history, ("topic", f"new{n}"), now) for n in range(3))
    assert not history.is_full


def test_where_all_is_alive_nothing_gives_way_and_it_is_said():
    history = History(limit=3)
    for now in range(0, 100, 10):
        for number in range(4):
            history.record(float(now), ("topic", f"t{number}"), {"depth": 1.0})
    assert [bool(values(history, ("topic", f"t{n}"), 90.0)) for n in range(4)] == [True] * 3 + [
        False
    ]
    assert history.is_full


def test_what_is_ephemeral_or_deleted_goes_after_half_an_hour():
    history = History()
    entities = [
        ("topic", "t#ephemeral"), ("channel", "t", "c#ephemeral"), ("channel", "t#ephemeral", "c"),
        ("topic", "deleted"), ("channel", "t", "deleted"), ("topic", "kept"), ("node", "a:1"),
    ]  # fmt: skip
    for entity in entities:
        history.record(0.0, entity, {"depth": 1.0})
    history.prune(HALF_HOUR - 1, is_deleted=lambda entity: "deleted" in entity)
    assert all(values(history, entity, HALF_HOUR) for entity in entities)
    history.prune(HALF_HOUR + 1, is_deleted=lambda entity: "deleted" in entity)
    left = [entity for entity in entities if values(history, entity, HALF_HOUR)]
    assert left == [("topic", "kept"), ("node", "a:1")]


@pytest.mark.slow
def test_a_day_of_ephemeral_channels_leaves_room():
    """A gateway that makes a channel per process, twenty thousand a day."""
    history = History(limit=2000)
    steps = ("depth", "rate", "clients", "in_flight")
    now = 0.0
    for number in range(20_000):
        now += 4.32
        entity = ("channel", "t", f"gateway-{number}#ephemeral")
        history.record(now, entity, dict.fromkeys(steps, 1.0))
        if not number % 14:
            history.prune(now)
    assert values(history, entity, now)
    history.record(now, ("topic", "fresh"), {"depth": 1.0})
    assert values(history, ("topic", "fresh"), now)


def test_sparklines_at_their_bound_give_way_too():
    history = History(brief_limit=5)
    for number in range(5):
        history.record_brief(0.0, ("topic", f"t{number}", "a:1"), "rate", 1.0)
    history.record_brief(1000.0, ("topic", "new", "a:1"), "rate", 1.0)
    assert history.recent(("topic", "new", "a:1"), "rate", now=1000.0)
