"""Our client and pynsq on one cluster: each gets what the other publishes."""

import json
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest
from tests.e2e.daemons import Daemon
from tests.nsqclient.backends import on_every_loop
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


@on_every_loop
async def test_what_pynsq_publishes_arrives_here(daemon: Daemons, pynsq: Pynsq):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    await in_thread(pynsq("publish", nsqd.tcp, "orders", feed=BODIES))
    assert sorted(await consume_here(len(BODIES), lookupd=lookupd.http)) == sorted(BODIES)


@on_every_loop
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


@on_every_loop
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


@pytest.mark.parametrize("durability", ["none", "always"])
async def test_what_pynsq_fails_as_often_as_it_may_is_a_dead_letter_for_both(
    daemon: Daemons, pynsq: Pynsq, durability: str
):
    nsqd = daemon("nsqd", f"--durability={durability}")
    policy = json.dumps({"pattern": "orders", "definition": {"max_attempts": 2}}).encode()
    assert nsqd.request("PUT", "/policy/set?name=p", policy)[0] == 200
    for topic, channel in (
        ("orders", "billing"),
        ("orders.dead", "ours"),
        ("orders.dead", "pynsq"),
    ):
        nsqd.create(topic, channel)
    async with open_producer(nsqd.tcp) as producer:
        await producer.publish("orders", b"poison", headers={"user": "1"})
    here = f"nsqd_tcp_addresses={json.dumps([nsqd.tcp])}"
    failed = await in_thread(pynsq("fail", "orders", "billing", "2", here))
    assert failed == [b"poison 1", b"poison 2"]
    assert await in_thread(pynsq("consume", "orders.dead", "pynsq", "1", here)) == [b"poison"]
    async with open_consumer("orders.dead", "ours", nsqd=nsqd.tcp) as consumer:
        message = await anext(consumer)
        await message.finish()
    assert (message.body, message.attempts) == (b"poison", 1)
    headers = {name: message.headers.get(name) for name in ("user", "nsq-dead-reason")}
    kept = {"user": "1", "nsq-dead-reason": "attempts"}
    assert headers == (kept if durability == "always" else dict.fromkeys(kept))
    channel = nsqd.channel("orders", "billing")
    assert (channel["depth"], channel["in_flight_count"], channel["dead_count"]) == (0, 0, 1)
