"""An nsqd that is being emptied: by request, or by the first SIGTERM."""

import signal

import pytest
from tests.e2e.daemons import PATIENCE, wait_until

pytestmark = pytest.mark.slow


def ready(nsqd) -> bool:
    return nsqd.request("GET", "/readyz")[0] == 200


def test_consumers_empty_the_queues_then_it_unregisters_and_ends_well(daemon, peer):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    nsqd.create("t", "c")
    wait_until(lambda: lookupd.get("/nodes")["producers"], "the nsqd is registered")
    nsqd.post("/mpub?topic=t", b"1\n2\n3")
    nsqd.post("/pub?topic=t&defer=700", b"later")
    consumer = peer(nsqd).subscribe("t", "c", ready=1)
    first = consumer.message()

    wait_until(lambda: ready(nsqd), "it is ready")
    assert nsqd.request("PUT", "/config/drain") == (200, b"true")
    assert not ready(nsqd)
    assert nsqd.get("/info")["draining"] is True
    assert nsqd.request("POST", "/pub?topic=t", b"late") == (503, b'{"message":"EXITING"}')
    assert peer(nsqd).publish("t", b"late").startswith(b"E_MPUB_FAILED")
    assert lookupd.get("/nodes")["producers"]

    consumer.finish(first)
    bodies = [first.body, *(message.body for message in consumer.consume(3))]
    assert sorted(bodies) == [b"1", b"2", b"3", b"later"]
    assert nsqd.process.wait(PATIENCE) == 0
    wait_until(lambda: not lookupd.get("/nodes")["producers"], "it is unregistered")
    assert not nsqd.start().channel("t", "c")["depth"]


def test_what_nobody_consumes_stays_on_disk(daemon):
    nsqd = daemon("nsqd", "--sigterm=drain")
    nsqd.create("t", "c")
    nsqd.post("/pub?topic=t", b"x")
    assert nsqd.terminate() == 0
    assert "1 messages without a consumer stay on disk" in nsqd.log()
    assert nsqd.start().channel("t", "c")["depth"] == 1


def test_a_paused_channel_does_not_hold_it_up(daemon, peer):
    nsqd = daemon("nsqd", "--sigterm=drain")
    nsqd.create("t", "c")
    peer(nsqd).subscribe("t", "c", ready=1)
    nsqd.post("/channel/pause?topic=t&channel=c")
    nsqd.post("/pub?topic=t", b"x")
    assert nsqd.terminate() == 0
    assert nsqd.start().channel("t", "c")["depth"] == 1


def test_what_still_waits_in_the_topic_reaches_the_consumers_first(daemon, peer):
    lookupd = daemon("nsqlookupd")
    flags = ("--http-client-request-timeout=1s", "--sigterm=drain")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}", *flags)
    wait_until(lambda: lookupd.get("/nodes")["producers"], "the nsqd is registered")
    # A new topic holds its messages back until nsqlookupd has named its channels, or will not.
    lookupd.process.send_signal(signal.SIGSTOP)
    consumer = peer(nsqd).subscribe("t", "c", ready=1)
    nsqd.post("/pub?topic=t", b"x")
    nsqd.process.send_signal(signal.SIGTERM)
    assert [message.body for message in consumer.consume(1)] == [b"x"]
    assert nsqd.process.wait(PATIENCE) == 0
    assert not nsqd.start().channel("t", "c")["depth"]


def test_the_second_sigterm_stops_it_and_what_was_held_is_not_lost(daemon, peer):
    nsqd = daemon("nsqd", "--sigterm=drain")
    nsqd.create("t", "c")
    nsqd.post("/pub?topic=t", b"x")
    consumer = peer(nsqd).subscribe("t", "c", ready=1)
    consumer.message()
    nsqd.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not ready(nsqd), "it drains")
    assert nsqd.terminate() == 0
    assert nsqd.start().channel("t", "c")["depth"] == 1
