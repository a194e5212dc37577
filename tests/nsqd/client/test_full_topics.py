"""What a publisher is told whose topic a policy bounds."""

import pytest
from tests.nsqd.client.conftest import body, mpub

from nsqd.policies.policy import parse_policy

PUB = b"PUB t\n" + body(b"x")


@pytest.mark.parametrize(
    ("command", "name"),
    [(PUB, "PUB"), (mpub("t", b"x"), "MPUB"), (b"DPUB t 5\n" + body(b"x"), "DPUB")],
)
def test_a_full_topic_refuses_with_its_reason_and_others_go_on(make_world, command, name):
    world = make_world()
    policy = parse_policy("p", {"pattern": "t", "definition": {"max_depth": 1}})
    world.broker.policies.set_own({"p": policy})
    client = world.connect()
    assert client.send(PUB) == ["OK"]
    assert client.send(command) == [f"E_{name}_FAILED {name} failed topic full"]
    assert world.broker.topics["t"].depth == 1
    assert world.connect().send(b"PUB other\n" + body(b"x")) == ["OK"]
