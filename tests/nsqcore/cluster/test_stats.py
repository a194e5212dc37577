"""Statistics from whatever a daemon answers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.fake_cluster import channel, client, topic

from nsqcore.cluster.merge import group_topics, merge_topic
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import TopicStats
from nsqcore.readers import objects

HERE = Producer(broadcast_address="h", http_port=1, hostname="h")
KEYS = st.sampled_from(sorted({*topic("t"), *channel("c"), *client(), "quantile", "percentiles"}))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=8), max_size=3))
def test_no_answer_is_too_strange(raw):
    topics = [TopicStats.from_json(item, HERE) for item in objects({"topics": raw}, "topics")]
    for name, parts in group_topics(topics).items():
        shown = merge_topic(name, parts).to_json(10**18)
        json.dumps(shown)
        assert isinstance(shown["depth"], int)


def test_what_is_told_comes_back():
    raw = topic("t", [channel("c", [client(3, tls=True)], depth=4, paused=True)], message_count=9)
    shown = TopicStats.from_json(raw, HERE).to_json(10**18)
    assert (shown["topic_name"], shown["message_count"], shown["node"]) == ("t", 9, "h:1")
    (found,) = shown["channels"]
    assert (found["channel_name"], found["depth"], found["paused"]) == ("c", 4, True)
    assert found["clients"][0]["tls"] is True
    assert found["nodes"] is None
