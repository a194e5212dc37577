"""/metrics, read by Prometheus's own parser."""

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families as parse

from nsqcore.metrics.quantile import LatencyWindow

SECOND = 1_000_000_000


async def scrape(nsqd):
    """Each metric's values, by the values of its labels."""
    answer = await nsqd.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(parse(answer.text))
    assert len({family.name for family in families}) == len(families)
    found = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_everything_counted_is_there_with_its_labels(nsqd):
    nsqd.connect(b"PUB t\n\0\0\0\2ab")
    nsqd.connect(b"SUB t c#ephemeral\nRDY 1\n")
    await nsqd.post("/mpub?topic=u", b"1\n22\n333")
    await nsqd.post("/topic/pause?topic=u")
    found = await scrape(nsqd)
    assert found["nsqd_topic_depth"] == {("t",): 0, ("u",): 3}
    assert found["nsqd_topic_messages_total"] == {("t",): 1, ("u",): 3}
    assert found["nsqd_topic_message_bytes_total"] == {("t",): 2, ("u",): 6}
    assert found["nsqd_topic_paused"] == {("t",): 0, ("u",): 1}
    channel = ("t", "c#ephemeral")
    assert found["nsqd_channel_in_flight"] == {channel: 1}
    assert found["nsqd_channel_messages_total"] == {channel: 1}
    assert found["nsqd_channel_global_messages_total"] == {channel: 1}
    assert found["nsqd_channel_clients"] == {channel: 1}
    assert found["nsqd_clients"] == {(): 2}
    assert found["nsqd_producers"] == {(): 1}
    assert found["nsqd_topics"] == {(): 2}


async def test_daemon_and_process_are_told_of(nsqd):
    nsqd.lag.seconds = 0.25
    nsqd.broker.draining = True
    nsqd.broker.health.failed(OSError("full"))
    found = await scrape(nsqd)
    assert found["nsqd_event_loop_lag_seconds"] == {(): 0.25}
    assert found["nsqd_draining"] == {(): 1}
    assert found["nsqd_healthy"] == {(): 0}
    assert found["nsqd_check_ok"] == {
        ("disk",): 0,
        ("loop",): 1,
        ("draining",): 0,
        ("lookupd",): 1,
    }
    assert found["nsqd_heap_objects"][()] > 1000
    assert set(found["nsqd_gc_pause_seconds"]) == {("1",), ("0.99",), ("0.95",)}
    assert found["nsqd_start_time_seconds"] == {(): 1.7e9}
    ((version, *_),) = found["nsqd_build_info"]
    assert version == "1.3.0"
    assert found["process_resident_memory_bytes"][()] > 1_000_000


async def test_latencies_are_there_where_they_are_tracked(make_nsqd):
    nsqd = make_nsqd(latency=lambda: LatencyWindow((0.99, 0.5), 600 * SECOND))
    consumer = nsqd.connect(b"PUB t\n\0\0\0\2abSUB t c\nRDY 1\n")
    (id,) = consumer.client.consumer.in_flight
    nsqd.time[0] += 2 * SECOND
    consumer.received(b"FIN %s\n" % id)
    found = await scrape(nsqd)
    assert set(found["nsqd_channel_e2e_latency_seconds"]) == {("t", "c", "0.99"), ("t", "c", "0.5")}
    assert found["nsqd_topic_e2e_latency_seconds"]["t", "0.5"] == pytest.approx(2, rel=0.02)
    assert found["nsqd_channel_e2e_latency_messages"] == {("t", "c"): 1}


async def test_latencies_that_are_not_tracked_have_no_heading(nsqd):
    nsqd.broker.create_channel("t", "c")
    assert "e2e_latency" not in (await nsqd.get("/metrics")).text


async def test_scrape_lets_others_go_on(nsqd):
    for number in range(60):
        nsqd.broker.create_channel(f"t{number}", "c")
    nsqd.api.now = iter(range(0, 10**12, 1_000_000)).__next__  # a millisecond passes at each look
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        answer = await nsqd.get("/metrics")
        nursery.cancel_scope.cancel()
    assert turns > 10
    assert answer.text.count("nsqd_channel_depth{") == 60
