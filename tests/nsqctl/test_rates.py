"""Rates are differences of counters, nsqd by nsqd."""

from nsqcore.cluster.merge import merge_topic
from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqctl.statistics.rates import Row, RowMeter


def channel(node: str, messages: int, **counts: int) -> ChannelStats:
    return ChannelStats(
        node=node, topic_name="orders", channel_name="kitchen", message_count=messages, **counts
    )


def orders(*channels: ChannelStats) -> list[TopicStats]:
    """The topic, merged over the nsqds of its channels."""
    parts = [TopicStats(node=one.node, topic_name="orders", channels=[one]) for one in channels]
    return [merge_topic("orders", parts)]


def only(rows: list[Row]) -> Row:
    (row,) = rows
    return row


def test_the_first_look_has_no_rates():
    row = only(RowMeter().rows(orders(channel("a", 1000, depth=10)), 0))
    assert (row.arriving, row.done, row.depth) == (0, 0, 10)


def test_rates_are_per_second_over_all_nsqds():
    meter = RowMeter()
    meter.rows(orders(channel("a", 100), channel("b", 50)), 0)
    after = (
        channel("a", 140, depth=10, requeue_count=2, timeout_count=4),
        channel("b", 70, in_flight_count=6),
    )
    row = only(meter.rows(orders(*after), 2.0))
    assert (row.arriving, row.done) == (30, 22)
    assert (row.requeued, row.timed_out) == (1, 2)
    assert (row.depth, row.in_flight) == (10, 6)


def test_what_consumers_take_from_a_backlog_is_done():
    meter = RowMeter()
    meter.rows(orders(channel("a", 100, depth=100)), 0)
    assert only(meter.rows(orders(channel("a", 100, depth=40)), 1.0)).done == 60


def test_an_nsqd_that_was_restarted_makes_no_negative_rates_and_hides_no_other():
    meter = RowMeter()
    meter.rows(orders(channel("a", 5000, requeue_count=9), channel("b", 100)), 0)
    row = only(meter.rows(orders(channel("a", 7), channel("b", 110)), 1.0))
    # a has counted 7 since it started anew; what left it meanwhile nobody knows
    assert (row.arriving, row.done, row.requeued) == (17, 10, 0)
    row = only(meter.rows(orders(channel("a", 10), channel("b", 110)), 1.0))
    assert row.arriving == 3


def test_an_nsqd_that_does_not_answer_for_once_makes_no_burst():
    meter = RowMeter()
    meter.rows(orders(channel("a", 5000, depth=900), channel("b", 100)), 0)
    row = only(meter.rows(orders(channel("b", 110)), 1.0))
    assert (row.arriving, row.done) == (10, 10)
    row = only(meter.rows(orders(channel("a", 5001, depth=901), channel("b", 110)), 1.0))
    assert (row.arriving, row.done) == (0, 0)


def test_a_topic_without_channels_is_a_row_whose_messages_are_never_done():
    meter = RowMeter()
    meter.rows([TopicStats(node="a", topic_name="orders", message_count=1)], 0)
    row = only(meter.rows([TopicStats(node="a", topic_name="orders", message_count=5, depth=4)], 1))
    assert (row.topic, row.channel, row.arriving, row.done, row.depth) == ("orders", "", 4, 0, 4)


def test_paused_channels_and_their_clients_are_told():
    stats = channel("a", 1, deferred_count=3, backend_depth=2)
    stats.paused, stats.client_count = True, 4
    row = only(RowMeter().rows(orders(stats), 0))
    assert (row.paused, row.clients, row.deferred, row.backend_depth) == (True, 4, 3, 2)
