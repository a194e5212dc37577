"""Snapshots of topics and channels."""

import json

import pytest
from tests.nsqd.broker import open_broker, publish
from tests.nsqd.engine.conftest import new_client

from nsqcore.metrics.quantile import LatencySummary, LatencyWindow
from nsqd.engine.stats import (
    ChannelStats,
    TopicStats,
    select_channels,
    select_topics,
)
from nsqd.http.reports.counts import CHANNEL_METRICS, TOPIC_METRICS, channel_json, topic_json
from nsqd.storage.diskqueue.store import DiskStore

SECOND = 1_000_000_000


@pytest.fixture
def make_broker(tmp_path):
    def make(**settings):
        latency = settings.pop("make_latency", None)
        store = DiskStore(str(tmp_path), warn=print)
        broker = open_broker(store, **settings)
        broker.make_latency = latency
        return broker

    return make


def consume(channel, ready):
    consumer = new_client().consumer
    consumer.ready = ready
    channel.add(consumer)
    return consumer


def test_channel_is_counted_through_all_its_messages_go_through(make_broker):
    broker = make_broker(mem_queue_size=2)
    channel = broker.create_channel("t", "c")
    consumer = consume(channel, 2)
    publish(broker, "t", [b"1", b"2", b"3", b"4", b"5", b"6"], 0)
    broker.dispatch(0)
    first, second = list(consumer.in_flight)
    channel.finish(consumer, [first], 0)
    channel.requeue(consumer, [second], 60 * SECOND, 0)
    broker.mark_ready(channel)
    broker.dispatch(0)
    broker.pause_channel(broker.topics["t"], channel, paused=True)

    stats = ChannelStats.of(channel, 0)

    assert stats.channel_name == "c"
    assert (stats.in_flight_count, stats.deferred_count, stats.depth) == (2, 1, 2)
    assert stats.backend_depth == channel.backend_depth
    assert (stats.message_count, stats.requeue_count, stats.timeout_count) == (6, 1, 0)
    assert stats.global_msg_count == 4
    assert (stats.client_count, stats.paused) == (1, True)


def test_topic_is_counted_in_messages_and_bytes(make_broker):
    broker = make_broker(mem_queue_size=2)
    topic = publish(broker, "t", [b"12", b"345", b"6"], 0)
    stats = TopicStats.of(topic, 0)
    assert (stats.topic_name, stats.depth, stats.backend_depth) == ("t", 3, 1)
    assert (stats.message_count, stats.message_bytes, stats.paused) == (3, 6, False)


def test_channel_json_has_the_keys_of_the_original_in_their_order(make_broker):
    channel = make_broker().create_channel("t", "c")
    shown = json.loads(channel_json(ChannelStats.of(channel, 0), "[]"))
    assert list(shown.items()) == [
        ("channel_name", "c"),
        ("depth", 0),
        ("backend_depth", 0),
        ("in_flight_count", 0),
        ("deferred_count", 0),
        ("message_count", 0),
        ("requeue_count", 0),
        ("timeout_count", 0),
        ("client_count", 0),
        ("clients", []),
        ("paused", False),
        ("e2e_processing_latency", {"count": 0, "percentiles": None}),
    ]


def test_deliveries_are_shown_by_distance_once_there_were_any(make_broker):
    channel = make_broker().create_channel("t", "c")
    channel.local_counts[:] = [1, 2, 3]
    shown = json.loads(channel_json(ChannelStats.of(channel, 0), "null"))
    assert list(shown)[5:10] == [
        "message_count",
        "zone_local_msg_count",
        "region_local_msg_count",
        "global_msg_count",
        "requeue_count",
    ]
    assert [shown[key] for key in list(shown)[6:9]] == [1, 2, 3]


def test_topic_json_has_the_keys_of_the_original_in_their_order(make_broker):
    topic = make_broker().create_topic("t")
    shown = json.loads(topic_json(TopicStats.of(topic, 0), "[]"))
    assert list(shown.items()) == [
        ("topic_name", "t"),
        ("channels", []),
        ("depth", 0),
        ("backend_depth", 0),
        ("message_count", 0),
        ("message_bytes", 0),
        ("paused", False),
        ("e2e_processing_latency", {"count": 0, "percentiles": None}),
    ]


@pytest.mark.parametrize("name", ["a.b_c-D9#ephemeral", 'no"name\\', "ünï\udcff", "<&>\n"])
def test_any_name_is_valid_json(make_broker, name):
    channel = make_broker().create_channel(name, name)
    topic = TopicStats("", LatencySummary(), 0, 0, 0, 0, False)
    topic.topic_name = name
    assert json.loads(channel_json(ChannelStats.of(channel, 0), "[]"))["channel_name"] == name
    assert json.loads(topic_json(topic, "[]"))["topic_name"] == name


def test_latency_of_a_topic_is_that_of_all_its_channels(make_broker):
    broker = make_broker(make_latency=lambda: LatencyWindow((1.0, 0.5), 600 * SECOND))
    for name, latency in (("a", 1000), ("b", 5000)):
        channel = broker.create_channel("t", name)
        consumer = consume(channel, 1)
        publish(broker, "t", [b"x"], 0)
        broker.dispatch(0)
        channel.finish(consumer, list(consumer.in_flight), latency)
    broker.create_channel("t", "idle")

    of_topic = TopicStats.of(broker.topics["t"], 5000)
    of_channel = ChannelStats.of(broker.create_channel("t", "a"), 5000)
    of_idle = ChannelStats.of(broker.create_channel("t", "idle"), 5000)

    assert of_channel.latency.count == 1
    assert of_idle.latency.count == 0
    assert of_topic.latency.count == 2
    (quantile, value), _ = of_topic.latency.percentiles
    assert quantile == 1.0
    assert value == pytest.approx(5000, rel=0.02)
    shown = json.loads(topic_json(of_topic, "[]"))["e2e_processing_latency"]
    assert shown["count"] == 2
    assert [sorted(item) for item in shown["percentiles"]] == [["quantile", "value"]] * 2


def test_topics_and_channels_are_selected_by_name_and_sorted(make_broker):
    broker = make_broker()
    for topic in ("zeta", "Mid", "10", "9"):
        for channel in ("b", "a"):
            broker.create_channel(topic, channel)
    assert [topic.name for topic in select_topics(broker, "")] == ["10", "9", "Mid", "zeta"]
    assert [topic.name for topic in select_topics(broker, "Mid")] == ["Mid"]
    assert select_topics(broker, "unknown") is None
    topic = broker.topics["9"]
    assert [channel.name for channel in select_channels(topic, "")] == ["a", "b"]
    assert [channel.name for channel in select_channels(topic, "b")] == ["b"]
    assert select_channels(topic, "unknown") is None


@pytest.mark.parametrize("found", [TOPIC_METRICS, CHANNEL_METRICS])
def test_metrics_are_named_by_the_rules_of_prometheus(found):
    assert len({metric.name for metric in found}) == len(found)
    for metric in found:
        assert metric.name.startswith("nsqd_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")
