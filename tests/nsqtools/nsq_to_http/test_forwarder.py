"""A message to all of its endpoints, when one of them is bad."""

from collections import Counter

import attrs
import pytest

from nsqtools.nsq_to_http.client import DeliveryFailed
from nsqtools.nsq_to_http.forwarder import Forwarder
from nsqtools.shared.timings import StatusLog


@attrs.define(eq=False)
class Delivery:
    """A message as the forwarder needs it: `nsqclient.Message` comes from a connection."""

    id: str
    body: bytes
    nsqd: str = "127.0.0.1:4150"
    attempts: int = 1
    requeued: int = 0


def requeue(message: Delivery) -> None:
    message.requeued += 1


@pytest.fixture
def posted() -> Counter[tuple[str, bytes]]:
    return Counter()


def forwarder(endpoints: list[str], posted: Counter, bad: set[str]) -> Forwarder:
    async def call(endpoint: str, body: bytes) -> None:
        posted[endpoint, body] += 1
        if endpoint in bad:
            raise DeliveryFailed(f"POST {endpoint}: got status code 500")

    return Forwarder(endpoints, call, None, 1.0, requeue, StatusLog.of(endpoints, 0))


@pytest.mark.parametrize("dead", ["a", "b", "c"])
async def test_one_endpoint_that_is_dead_costs_the_others_nothing_and_doubles_nothing(posted, dead):
    bad = {dead}
    sender = forwarder(["a", "b", "c"], posted, bad)
    message = Delivery("1", b"x")
    for _ in range(3):
        await sender.handle(message)
    assert message.requeued == 3
    assert {endpoint: posted[endpoint, b"x"] for endpoint in "abc"} == {
        endpoint: 3 if endpoint == dead else 1 for endpoint in "abc"
    }
    bad.clear()
    await sender.handle(message)
    assert message.requeued == 3
    assert posted[dead, b"x"] == 4


async def test_a_new_message_with_the_id_of_one_that_was_sent_goes_to_all(posted):
    sender = forwarder(["a", "b"], posted, set())
    for _ in range(2):
        await sender.handle(Delivery("1", b"x"))
    assert posted == {("a", b"x"): 2, ("b", b"x"): 2}
