import socket

import pytest
import trio
from tests.nsqd.broker import open_broker, publish

from nsqcore.metrics.quantile import LatencyWindow
from nsqd.statsd.reporter import StatsdReporter
from nsqd.statsd.settings import StatsdSettings
from nsqd.storage.diskqueue.store import DiskStore


@pytest.fixture
def broker(tmp_path):
    return open_broker(DiskStore(str(tmp_path), warn=print))


def settings(address: str = "127.0.0.1:1", **changes) -> StatsdSettings:
    return StatsdSettings(
        **{"address": address, "prefix": "p.", "interval": 60.0, "packet_size": 508} | changes
    )


async def metrics(reporter: StatsdReporter) -> dict[str, str]:
    lines = b"".join(await reporter.packets()).decode().splitlines()
    found = dict(line.split(":") for line in lines)
    assert len(found) == len(lines)
    return found


async def test_names_and_types_are_the_originals(broker):
    broker.create_channel("top", "chan")
    publish(broker, "top", [b"1", b"22", b"333"], 0)
    found = await metrics(StatsdReporter(settings(), broker, lambda: 0))

    assert found == {
        "p.topic.top.message_count": "3|c",
        "p.topic.top.message_bytes": "6|c",
        "p.topic.top.depth": "0|g",
        "p.topic.top.backend_depth": "0|g",
        "p.topic.top.channel.chan.message_count": "3|c",
        "p.topic.top.channel.chan.depth": "3|g",
        "p.topic.top.channel.chan.backend_depth": "0|g",
        "p.topic.top.channel.chan.in_flight_count": "0|g",
        "p.topic.top.channel.chan.deferred_count": "0|g",
        "p.topic.top.channel.chan.requeue_count": "0|c",
        "p.topic.top.channel.chan.timeout_count": "0|c",
        "p.topic.top.channel.chan.clients": "0|g",
    }


async def test_counters_carry_what_was_added_since_the_last_push(broker):
    reporter = StatsdReporter(settings(), broker, lambda: 0)
    publish(broker, "t", [b"1", b"2", b"3"], 0)
    await metrics(reporter)
    publish(broker, "t", [b"44"], 0)
    found = await metrics(reporter)

    assert found["p.topic.t.message_count"] == "1|c"
    assert found["p.topic.t.message_bytes"] == "2|c"
    assert found["p.topic.t.depth"] == "4|g"


async def test_topic_made_anew_counts_from_zero(broker):
    reporter = StatsdReporter(settings(), broker, lambda: 0)
    publish(broker, "t", [b"1", b"2", b"3"], 0)
    await metrics(reporter)
    broker.delete_topic(broker.topics["t"])
    publish(broker, "t", [b"1"], 0)

    assert (await metrics(reporter))["p.topic.t.message_count"] == "1|c"


async def test_ephemerals_can_be_left_out(broker):
    broker.create_channel("keep", "tmp#ephemeral")
    broker.create_channel("gone#ephemeral", "c")
    found = await metrics(StatsdReporter(settings(exclude_ephemeral=True), broker, lambda: 0))
    assert found
    assert not any("ephemeral" in name for name in found)

    found = await metrics(StatsdReporter(settings(), broker, lambda: 0))
    assert "p.topic.gone#ephemeral.depth" in found


async def test_memory_goes_under_the_originals_names(broker):
    memory = {"heap_objects": 5, "gc_total_runs": 7}
    reporter = StatsdReporter(settings(), broker, lambda: 0, lambda: dict(memory))
    assert await metrics(reporter) == {"p.mem.heap_objects": "5|g", "p.mem.gc_runs": "7|c"}

    memory["gc_total_runs"] = 9
    assert (await metrics(reporter))["p.mem.gc_runs"] == "2|c"


async def test_latencies_are_gauges(broker):
    broker.make_latency = lambda: LatencyWindow((0.99, 0.5), 600_000_000_000)
    broker.create_channel("t", "c").latency.add(1_000_000, 0)
    found = await metrics(StatsdReporter(settings(), broker, lambda: 0))

    for owner in ("p.topic.t", "p.topic.t.channel.c"):
        for percent in (99, 50):
            value = int(found[f"{owner}.e2e_processing_latency_{percent}"].split("|")[0])
            assert value == pytest.approx(1_000_000, rel=0.011)


@pytest.mark.slow
async def test_other_tasks_run_while_thousands_of_channels_are_told_of(broker):
    for number in range(1000):
        broker.create_channel("t", f"c{number}")
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await StatsdReporter(settings(), broker, lambda: 0).packets()
        nursery.cancel_scope.cancel()

    assert turns > 10


@pytest.fixture
async def daemon():
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as receiver:
        await receiver.bind(("127.0.0.1", 0))
        yield receiver


async def test_it_is_pushed_over_udp_in_small_packets(broker, daemon, nursery):
    for number in range(20):
        broker.create_topic(f"topic{number}")
    address = f"127.0.0.1:{daemon.getsockname()[1]}"
    chosen = settings(address, interval=0.01, packet_size=256)
    nursery.start_soon(StatsdReporter(chosen, broker, lambda: 0).run)
    lines = set()
    with trio.fail_after(60):
        while len(lines) < 80:
            packet = await daemon.recv(65536)
            assert len(packet) <= 256
            assert packet.endswith(b"\n")
            lines |= {line.partition(b":")[0] for line in packet.splitlines()}


class NoNames:
    """A name server that knows no name, at once."""

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "no port", "[", "no.such.host.invalid:8125", "a..b:8125", "x" * 70 + ":1"],
)
async def test_daemon_that_is_not_there_does_no_harm(address, broker, nursery, caplog):
    trio.socket.set_custom_hostname_resolver(NoNames())
    caplog.set_level("DEBUG")
    broker.create_topic("t")
    nursery.start_soon(StatsdReporter(settings(address, interval=0.01), broker, lambda: 0).run)
    with trio.fail_after(60):
        while caplog.text.count(address) < 3:  # noqa: ASYNC110 - the condition is the log
            await trio.sleep(0.001)
