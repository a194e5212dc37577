"""Our client and pynsq on one cluster: each gets what the other publishes."""

import json
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest
from tests.e2e.daemons import Daemon
from tests.nsqclient.backends import on_both
from tests.nsqclient.connection.test_upgrades import certificates

from nsqclient import open_consumer, open_producer

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]
Pynsq = Callable[..., Callable[[], list[bytes]]]

BODIES = [b"%d: " % number + b"y" * (number % 300) for number in range(500)]

in_thread = anyio.to_thread.run_sync


async def consume_here(count: int, **settings: object) -> list[bytes]:
    bodies: list[bytes] = []
    settings = {"max_in_flight": 100} | settings
    async with open_consumer("orders", "billing", **settings) as consumer:  # type: ignore[arg-type]
        async for message in consumer:
            async with message.process():
                bodies.append(message.body)
            if len(bodies) == count:
                break
    return bodies


@on_both
async def test_what_pynsq_publishes_arrives_here(daemon: Daemons, pynsq: Pynsq):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    await in_thread(pynsq("publish", nsqd.tcp, "orders", feed=BODIES))
    assert sorted(await consume_here(len(BODIES), lookupd=lookupd.http)) == sorted(BODIES)


@on_both
async def test_what_is_published_here_arrives_at_pynsq(daemon: Daemons, pynsq: Pynsq):
    lookupd = daemon("nsqlookupd")
    nsqds = [daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}") for _ in range(2)]
    async with open_producer([nsqd.tcp for nsqd in nsqds]) as producer:
        for body in BODIES[:100]:
            await producer.publish("orders", body)
        await producer.publish_many("orders", BODIES[100:])
    addresses = json.dumps([f"http://{lookupd.http}"])
    consumed = await in_thread(
        pynsq(
            "consume",
            "orders",
            "billing",
            str(len(BODIES)),
            f"lookupd_http_addresses={addresses}",
            "max_in_flight=50",
        )
    )
    assert sorted(consumed) == sorted(BODIES)


@on_both
async def test_a_channel_is_shared_between_the_two(daemon: Daemons, pynsq: Pynsq):
    nsqd = daemon("nsqd")
    addresses = json.dumps([nsqd.tcp])
    half = len(BODIES) // 2
    result = pynsq("consume", "orders", "billing", str(half), f"nsqd_tcp_addresses={addresses}")
    there: list[bytes] = []

    async def end() -> None:
        there.extend(await in_thread(result))

    async with open_producer(nsqd.tcp) as producer, anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        await producer.publish_many("orders", BODIES)
        here = await consume_here(len(BODIES) - half, nsqd=nsqd.tcp, max_in_flight=1)
    assert len(there) == half
    assert sorted(here + there) == sorted(BODIES)


@pytest.mark.parametrize(
    "wanted", [["snappy=true"], ["deflate=true"], ["tls_v1=true"], ["tls_v1=true", "snappy=true"]]
)
def test_pynsq_upgrades_its_connection(daemon: Daemons, pynsq: Pynsq, tmp_path, wanted):
    _, flags = certificates(tmp_path)
    nsqd = daemon("nsqd", *flags)
    pynsq("publish", nsqd.tcp, "orders", *wanted, feed=BODIES)()
    addresses = json.dumps([nsqd.tcp])
    more = [f"nsqd_tcp_addresses={addresses}", "max_in_flight=50", *wanted]
    assert sorted(pynsq("consume", "orders", "c", str(len(BODIES)), *more)()) == sorted(BODIES)
