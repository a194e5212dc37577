"""One rule for all who show rates, also where an nsqd was restarted."""

import pytest

from nsqcore.cluster.rates import Growth, Meter, growth, since
from nsqcore.cluster.stats import ChannelStats


def channel(messages, node="a", **counts):
    return ChannelStats(
        node=node, topic_name="t", channel_name="c", message_count=messages, **counts
    )


@pytest.mark.parametrize(
    ("before", "after", "counted"), [(5, 9, 4), (5, 5, 0), (0, 3, 3), (1000, 7, 7), (1000, 0, 0)]
)
def test_a_counter_that_fell_began_at_zero(before, after, counted):
    assert since(before, after) == counted


def test_what_no_longer_waits_has_left():
    before = channel(100, depth=50, in_flight_count=5)
    after = channel(110, depth=40, in_flight_count=2, requeue_count=3, timeout_count=1)
    assert growth(before, after) == Growth(arrived=10, left=23, requeued=3, timed_out=1)
    assert growth(before, after, waiting=("depth",)).left == 20


def test_nobody_knows_what_left_an_nsqd_while_it_was_restarted():
    before = channel(5000, depth=900, requeue_count=7)
    assert growth(before, channel(10, depth=10, requeue_count=2)) == Growth(10, 0, 2, 0)


def test_no_rate_is_negative_between_two_of_a_daemons_counters():
    assert growth(channel(10, depth=0), channel(10, depth=5)).left == 0


def test_an_nsqd_seen_for_the_first_time_or_again_has_no_growth():
    meter = Meter()
    assert meter.look([channel(5000)]) == {}
    assert meter.look([channel(1, node="b")]) == {}
    assert meter.look([channel(5001), channel(4, node="b")]) == {
        ("b", "t", "c"): Growth(arrived=3, left=3)
    }
