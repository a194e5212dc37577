"""The outcome of every endpoint of the zoo, as the original and we have it, through an nsqd.

What the original did is recorded here; NSQ_ORIGINAL=DIR with the original's programs runs it anew.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from tests.e2e.daemons import Daemon
from tests.nsqtools.nsq_to_http.test_zoo import NOT_TAKEN, TAKEN, Endpoint
from tests.support import forks

pytestmark = pytest.mark.slow

ORIGINAL = os.environ.get("NSQ_ORIGINAL", "")

# nsqio/nsq 1.3.0, against these endpoints: whether the message was finished at the first delivery.
RECORDED = dict.fromkeys(TAKEN, True) | dict.fromkeys(NOT_TAKEN, False) | {"two-lengths": False}

# Where ours is another by choice: the endpoint said 200, and who posts again says it twice.
OURS = RECORDED | {"two-lengths": True}


@contextmanager
def forwarding(program: str, nsqd: Daemon, topic: str, url: str) -> Iterator[None]:
    """A nsq_to_http while the block lasts."""
    flags = (f"--topic={topic}", "--channel=c", f"--post={url}", f"--nsqd-tcp-address={nsqd.tcp}",
             "--http-client-request-timeout=1500ms")  # fmt: skip
    with open(os.devnull, "r+b") as quiet:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), quiet.fileno())
        process = forks.start([program, *flags], **streams)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def outcome(program: str, nsqd: Daemon, name: str) -> bool:
    """Whether one message is finished when it was posted once."""
    topic = name.replace("-", "_")
    nsqd.create(topic, "c")
    nsqd.post(f"/pub?topic={topic}", b"x")
    async with Endpoint((TAKEN | NOT_TAKEN)[name]).listening() as endpoint:
        with forwarding(program, nsqd, topic, endpoint.url), trio.fail_after(60):
            while True:
                channel = await trio.to_thread.run_sync(nsqd.channel, topic, "c")
                if channel["requeue_count"] or channel["timeout_count"]:
                    break
                if not channel["depth"] + channel["in_flight_count"]:
                    break
                await trio.sleep(0.05)
        assert len(endpoint.bodies) == 1
    nsqd.post(f"/topic/delete?topic={topic}")
    return not channel["requeue_count"] + channel["timeout_count"]


@pytest.mark.parametrize("name", TAKEN | NOT_TAKEN)
async def test_each_endpoint_has_the_outcome_that_it_has_with_the_original(nsqd, name):
    assert await outcome("nsq_to_http", nsqd, name) is OURS[name]
    if ORIGINAL:
        assert await outcome(f"{ORIGINAL}/nsq_to_http", nsqd, name) is RECORDED[name]
