"""A cluster of real processes carries every line of the standard library, and nothing else.

Two nsqlookupd, two nsqd. Our client and pynsq publish through both nsqd; a consumer of each kind
finds them through nsqlookupd; together they must receive each line as often as it was published.
"""

import contextlib
import json
import sys
import sysconfig
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import define, field
from tests.e2e.daemons import PATIENCE, Daemon, wait_until

import nsqclient

pytestmark = pytest.mark.slow

FILES = 100
LARGEST_FILE = 30_000  # bytes: small files are many batches of different sizes
TOPIC, CHANNEL = "lines", "readers"
PYNSQ = [sys.executable, str(Path(__file__).parents[1] / "interop/pynsq_peer.py")]

Batch = list[bytes]


@pytest.fixture(scope="module")
def texts() -> list[Batch]:
    """The lines of a hundred source files of the standard library, a batch for each file."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(p for p in library.rglob("*.py") if "site-packages" not in p.parts)
    small = [path for path in files if 0 < path.stat().st_size < LARGEST_FILE]
    return [path.read_bytes().splitlines(keepends=True) for path in small[:FILES]]


@define
class Cluster:
    """The processes, and what the consumers have received: body by message id."""

    lookupds: list[Daemon]
    nsqds: list[Daemon]
    pynsq_file: Path
    ours: dict[str, bytes] = field(factory=dict)
    deliveries: int = 0  # to our consumer

    def pynsq_lines(self) -> list[tuple[str, bytes]]:
        """What pynsq has received, (id, body) in order."""
        whole, _, _unfinished = self.pynsq_file.read_text().rpartition("\n")
        pairs = [json.loads(line) for line in whole.splitlines()]
        return [(identity, text.encode("latin-1")) for identity, text in pairs]

    def drained(self, published: int) -> bool:
        """Whether ``published`` messages came to the channel and none is left in it."""
        channels = [nsqd.channel(TOPIC, CHANNEL) for nsqd in self.nsqds]
        if not all(channels):
            return False
        left = sum(c["depth"] + c["in_flight_count"] + c["deferred_count"] for c in channels)
        return left == 0 and self.received() >= published

    def both_consume(self) -> bool:
        """Whether both consumers have found both nsqd."""
        return all(nsqd.channel(TOPIC, CHANNEL)["client_count"] == 2 for nsqd in self.nsqds)

    def received(self) -> int:
        """How many different messages have been received."""
        return len(self.ours.keys() | {identity for identity, _ in self.pynsq_lines()})

    def deliveries_of(self) -> tuple[int, int]:
        """How many deliveries our consumer and pynsq's have seen."""
        return self.deliveries, len(self.pynsq_lines())

    def bodies(self) -> Counter[bytes]:
        """Every message received, once for each id."""
        return Counter({**dict(self.pynsq_lines()), **self.ours}.values())


@pytest.fixture
def cluster(daemon: Callable[..., Daemon], tmp_path: Path) -> Cluster:
    """Two nsqlookupd and two nsqd that know them."""
    lookupds = [daemon("nsqlookupd"), daemon("nsqlookupd")]
    flags = [f"--lookupd-tcp-address={one.tcp}" for one in lookupds]
    nsqds = [daemon("nsqd", f"--node-id={n}", *flags) for n in (1, 2)]
    received = tmp_path / "pynsq"
    received.touch()
    return Cluster(lookupds, nsqds, received)


async def publish_ours(batches: list[Batch], nsqds: list[Daemon]) -> None:
    """Publish with our client: each nsqd its share, every tenth file line by line."""
    for number, nsqd in enumerate(nsqds):
        async with nsqclient.open_producer(nsqd.tcp) as producer:
            for index, batch in enumerate(batches[number :: len(nsqds)]):
                if index % 10:
                    await producer.publish_many(TOPIC, batch)
                else:
                    async with trio.open_nursery() as nursery:
                        for line in batch:
                            nursery.start_soon(producer.publish, TOPIC, line)


async def publish_pynsq(batches: list[Batch], nsqds: list[Daemon]) -> None:
    """Publish with pynsq, to the nsqds in turn."""
    texts = json.dumps([[line.decode("latin-1") for line in batch] for batch in batches])
    command = [*PYNSQ, "publish-batches", TOPIC, *(nsqd.tcp for nsqd in nsqds)]
    await trio.run_process(command, stdin=texts.encode())


async def publish(batches: list[Batch], nsqds: list[Daemon]) -> None:
    """Publish half with our client and half with pynsq, at the same time."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish_ours, batches[::2], nsqds)
        nursery.start_soon(publish_pynsq, batches[1::2], nsqds)


@contextlib.asynccontextmanager
async def consumers(cluster: Cluster) -> AsyncIterator[None]:
    """Both consumers at work."""
    addresses = [one.http for one in cluster.lookupds]
    command = [*PYNSQ, "record", TOPIC, CHANNEL, str(cluster.pynsq_file), *addresses]
    for nsqd in cluster.nsqds:
        await trio.to_thread.run_sync(nsqd.create, TOPIC, CHANNEL)
    async with trio.open_nursery() as nursery:
        pynsq = await nursery.start(partial(trio.run_process, command, check=False))
        nursery.start_soon(consume_ours, cluster, addresses)
        await until(cluster.both_consume, "both consume from both nsqd")
        yield
        pynsq.terminate()
        nursery.cancel_scope.cancel()


async def consume_ours(cluster: Cluster, lookupds: Iterable[str]) -> None:
    """Receive with our client until cancelled."""
    async with nsqclient.open_consumer(
        TOPIC,
        CHANNEL,
        lookupd=list(lookupds),
        lookupd_poll_interval=0.5,
        max_in_flight=200,
    ) as consumer:
        async for message in consumer:
            async with message.process():
                assert cluster.ours.setdefault(message.id, message.body) == message.body
                cluster.deliveries += 1


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for ``condition`` without holding up the consumer."""
    await trio.to_thread.run_sync(partial(wait_until, condition, what, timeout=2 * PATIENCE))


async def test_every_line_published_through_two_nsqd_arrives_once(
    cluster: Cluster, texts: list[Batch]
) -> None:
    expected = Counter(line for batch in texts for line in batch)
    async with consumers(cluster):
        await publish(texts, cluster.nsqds)
        total = expected.total()
        await until(lambda: cluster.drained(total), f"{total} lines have been received")
    assert cluster.bodies() == expected
    assert sum(cluster.deliveries_of()) == total
    assert all(cluster.deliveries_of())


async def test_every_line_arrives_although_one_nsqd_is_stopped_half_way_and_started_again(
    cluster: Cluster, texts: list[Batch]
) -> None:
    expected = Counter(line for batch in texts for line in batch)
    half, two_thirds = len(texts) // 2, len(texts) * 2 // 3
    staying, stopped = cluster.nsqds
    async with consumers(cluster):
        await publish(texts[:half], cluster.nsqds)
        assert await trio.to_thread.run_sync(stopped.terminate) == 0
        await publish(texts[half:two_thirds], [staying])
        await trio.to_thread.run_sync(stopped.start)
        await publish(texts[two_thirds:], cluster.nsqds)
        total = expected.total()
        await until(lambda: cluster.drained(total), f"{total} lines have been received")
    assert cluster.bodies() == expected
    assert all(cluster.deliveries_of())


def test_both_nsqlookupd_know_both_nsqd_and_forget_the_one_that_stops(cluster: Cluster) -> None:
    for nsqd in cluster.nsqds:
        nsqd.create(TOPIC, CHANNEL)

    def ports(lookupd: Daemon) -> set[int]:
        return {p["tcp_port"] for p in lookupd.get(f"/lookup?topic={TOPIC}")["producers"]}

    both = {nsqd.tcp_port for nsqd in cluster.nsqds}
    wait_until(lambda: all(ports(lookupd) == both for lookupd in cluster.lookupds))
    cluster.nsqds[1].terminate()
    left = {cluster.nsqds[0].tcp_port}
    wait_until(lambda: all(ports(lookupd) == left for lookupd in cluster.lookupds))


def test_a_nsqlookupd_that_comes_and_goes_is_told_everything_again(
    daemon: Callable[..., Daemon],
) -> None:
    steady, other, flapping = (daemon("nsqlookupd") for _ in range(3))
    lookupds = [steady, other, flapping]
    nsqd = daemon("nsqd", *(f"--lookupd-tcp-address={one.tcp}" for one in lookupds))
    nsqd.create("before", CHANNEL)
    for number in range(2):
        flapping.kill()
        nsqd.create(f"meanwhile{number}", CHANNEL)
        topics = {"before", *(f"meanwhile{n}" for n in range(number + 1))}
        for lookupd in (steady, other):
            wait_until(partial(knows, lookupd, nsqd, topics))
        flapping.start()
        # the original notices with its next ping, up to 15 s later
        wait_until(partial(knows, flapping, nsqd, topics))


def knows(lookupd: Daemon, nsqd: Daemon, topics: set[str]) -> bool:
    """Whether ``lookupd`` names ``nsqd`` and its channel for all of ``topics``."""
    if set(lookupd.get("/topics")["topics"]) != topics:
        return False
    found = [lookupd.get(f"/lookup?topic={topic}") for topic in topics]
    return all(
        [p["tcp_port"] for p in answer["producers"]] == [nsqd.tcp_port]
        and answer["channels"] == [CHANNEL]
        for answer in found
    )
