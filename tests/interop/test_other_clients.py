"""Other clients on our cluster: each gets what we publish, and we what it does."""

from collections.abc import Callable
from functools import partial

import anyio.to_thread
import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.interop.test_pynsq import BODIES, consume_here
from tests.nsqclient.backends import BACKENDS, on_a_loop

from nsqclient import open_producer

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]
Peer = Callable[..., Callable[[], list[bytes]]]

# Each client on a loop of ours: to it they are the same bytes.
clients = pytest.mark.parametrize(
    ("client", "backend"),
    [*zip(("ansq", "asyncnsq", "gnsq"), BACKENDS, strict=True), ("nsqpy", BACKENDS[0])],
)

in_thread = anyio.to_thread.run_sync


@clients
@on_a_loop
async def test_what_it_publishes_arrives_here(daemon: Daemons, peer: Peer, client: str):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    await in_thread(peer(client, "publish", nsqd.tcp, "orders", feed=BODIES))
    assert sorted(await consume_here(len(BODIES), lookupd=lookupd.http)) == sorted(BODIES)


@clients
@on_a_loop
async def test_what_is_published_here_arrives_there(daemon: Daemons, peer: Peer, client: str):
    lookupd = daemon("nsqlookupd")
    nsqds = [daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}") for _ in range(2)]
    async with open_producer([nsqd.tcp for nsqd in nsqds]) as producer:
        for body in BODIES[:50]:
            await producer.publish("orders", body)
        for body in BODIES[50:100]:
            await producer.publish("orders", body, defer=0.1)
        await producer.publish_many("orders", BODIES[100:])
    consumed = await in_thread(
        peer(client, "consume", "orders", "billing", str(len(BODIES)), lookupd.http)
    )
    assert sorted(consumed) == sorted(BODIES)
    for nsqd in nsqds:
        await in_thread(wait_until, partial(is_empty, nsqd), "everything is finished")


def is_empty(nsqd: Daemon) -> bool:
    channel = nsqd.channel("orders", "billing")
    return channel["depth"] == channel["in_flight_count"] == 0
