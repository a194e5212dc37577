"""Policies in force: bounds on topics and channels, changed while messages are there."""

import pytest
from tests.nsqd.broker import publish

from nsqd.engine.errors import TOPIC_FULL, TooManyConsumers
from nsqd.engine.rules import RULE_FIELDS
from nsqd.policies.keys import SUPPORTED
from nsqd.policies.policy import parse_policy


def set_policy(broker, pattern, name="p", **definition):
    policy = parse_policy(name, {"pattern": pattern, "definition": definition})
    broker.policies.set_own(broker.policies.with_policy(policy))


def refused(broker, topic, bodies, **more):
    with pytest.raises(OSError, match=TOPIC_FULL):
        publish(broker, topic, bodies, **more)


def test_a_full_channel_refuses_publishers_until_its_consumers_have_caught_up(broker, new_client):
    set_policy(broker, "t:c", max_depth=3)
    channel = broker.create_channel("t", "c")
    other = broker.create_channel("t", "other")
    publish(broker, "t", [b"x"] * 3)
    refused(broker, "t", [b"x"])
    refused(broker, "t", [b"x"], delay=5)
    assert (channel.depth, other.depth) == (3, 3)
    new_client(ready=2).join(broker)
    broker.dispatch(0)
    publish(broker, "t", [b"x"] * 2)
    assert channel.depth == 3


def test_a_batch_that_does_not_fit_is_refused_whole(broker):
    set_policy(broker, "t", max_depth=3)
    channel = broker.create_channel("t", "c")
    publish(broker, "t", [b"x"] * 2)
    refused(broker, "t", [b"x"] * 2)
    assert channel.depth == 2
    publish(broker, "t", [b"x"])


def test_of_publishers_that_come_together_those_that_fit_are_taken(broker):
    set_policy(broker, "t", max_depth=3)
    broker.create_channel("t", "c")
    told = {}
    for number, count in enumerate((1, 3, 2)):
        broker.publish("t", [b"x"] * count, 0, lambda failure, n=number: told.update({n: failure}))
    broker.flush(0)
    assert told == {0: None, 1: TOPIC_FULL, 2: None}


def test_a_topic_without_channels_is_bounded_from_its_first_message_on(broker):
    set_policy(broker, "t", max_depth=3)
    refused(broker, "t", [b"x"] * 4)
    publish(broker, "t", [b"x"] * 3)
    refused(broker, "t", [b"x"])
    publish(broker, "other", [b"x"] * 4)


def test_a_bound_can_come_and_go_while_messages_are_there(broker):
    broker.create_channel("t", "c")
    publish(broker, "t", [b"x"] * 9)
    set_policy(broker, "*", max_depth=3)
    refused(broker, "t", [b"x"])
    assert broker.topics["t"].channels["c"].depth == 9
    broker.policies.set_own(broker.policies.without("p"))
    publish(broker, "t", [b"x"])


def test_how_much_is_kept_in_memory_can_be_changed(broker):
    channel = broker.create_channel("t", "c")
    set_policy(broker, "t", mem_queue_size=2)
    publish(broker, "t", [b"x"] * 5)
    assert (channel.depth, channel.backend_depth) == (5, 3)
    later = broker.create_channel("t", "later")
    assert later.rules.mem_queue_size == 2


def test_how_many_consumers_a_channel_may_have_can_be_changed(broker, new_client):
    new_client().join(broker)
    set_policy(broker, "t:*", max_channel_consumers=1)
    with pytest.raises(TooManyConsumers, match="exceeds limit of 1"):
        new_client().join(broker)


def test_each_key_that_policies_may_have_is_a_rule_of_the_engine():
    assert SUPPORTED <= RULE_FIELDS
