from nsqadmin.collect.rates import RateWindow
from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqcore.units import SECOND


def look(window, count, *, at):
    channel = ChannelStats(node="n", topic_name="t", channel_name="c", message_count=count * 2)
    topic = TopicStats(node="n", topic_name="t", message_count=count, channels=[channel])
    window.fill_in((topic,), now=int(at * SECOND))
    return topic.rate, channel.rate


def test_the_first_look_knows_no_rate():
    assert look(RateWindow(), 1000, at=0) == (0.0, 0.0)


def test_the_rate_is_what_came_in_the_last_seconds():
    window = RateWindow()
    look(window, 100, at=0)
    assert look(window, 150, at=2) == (25.0, 50.0)


def test_old_traffic_leaves_the_rate():
    window = RateWindow()
    look(window, 0, at=0)
    look(window, 1000, at=1)
    for second in range(2, 8):
        rate, _ = look(window, 1000, at=second)
    assert rate == 0.0


def test_a_restarted_nsqd_counts_from_zero():
    window = RateWindow()
    look(window, 1_000_000, at=0)
    assert look(window, 10, at=1) == (10.0, 20.0)


def test_looks_that_are_far_apart_still_give_a_rate():
    window = RateWindow()
    look(window, 0, at=0)
    look(window, 100, at=10)
    assert look(window, 300, at=20)[0] == 20.0
