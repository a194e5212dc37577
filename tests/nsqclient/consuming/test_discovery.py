import json
import re

import anyio
import pytest
from tests.fakes.fake_lookupd import fake_lookupd
from tests.fakes.fake_nsqd import fake_cluster, until
from tests.nsqclient.backends import on_every_loop

from nsqclient import open_consumer
from nsqclient.consuming.discovery import topic_filter


@on_every_loop
async def test_consumer_finds_nsqds_by_every_nsqlookupd():
    async with fake_cluster() as cluster, fake_lookupd() as one, fake_lookupd() as two:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        one.knows("orders", "a:1")
        two.knows("orders", "a:1", "b:1")
        async with open_consumer(
            "orders",
            "billing",
            lookupd=[one.address, f"http://{two.address}/"],
            options=cluster.options(),
        ):
            await until(lambda: a.subscriptions and b.subscriptions)
        assert a.subscriptions == b.subscriptions == [("orders", "billing")]


@pytest.mark.slow
@on_every_loop
async def test_topic_nobody_has_yet_is_found_soon_after_it_comes():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        async with open_consumer(
            "orders", "billing", lookupd=lookupd.address, options=cluster.options()
        ):
            await until(lambda: len(lookupd.asked) == 2)
            lookupd.knows("orders", "a:1")
            await until(lambda: nsqd.subscriptions)


@pytest.mark.slow
@on_every_loop
async def test_nonsense_and_silence_of_nsqlookupd_are_logged_and_take_no_connection_away(caplog):
    async def never() -> bytes:
        await anyio.sleep_forever()
        return b""

    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.knows("orders", "a:1")
        async with open_consumer(
            "orders",
            "billing",
            lookupd=lookupd.address,
            lookupd_poll_interval=0.01,
            lookupd_timeout=0.05,
            options=cluster.options(),
        ) as consumer:
            await until(lambda: nsqd.subscriptions)
            for nonsense, said in [
                (b"<html>", "not JSON"),
                (b"[]", "not an answer of NSQ"),
                (b"[" * 10_000, "not JSON"),
                (b"{}", "not an answer of nsqlookupd"),
                (b'{"producers": 1}', "not an answer of nsqlookupd"),
                (b'{"channels": [], "producers": [1]}', "no producer can"),
                (_named("", 1), "no producer can be dialled"),
                (_named("a", 99999), "no producer can be dialled"),
                (_named("/run/nsqd.sock", 1), "no producer can be dialled"),
                (never, "no answer in time"),
            ]:
                caplog.clear()
                lookupd.answers["/lookup?topic=orders"] = nonsense
                await until(lambda said=said: said in caplog.text)
            # What it named before still counts: a lost connection is made again.
            nsqd.hang_up()
            await until(lambda: len(nsqd.subscriptions) == 2)
            nsqd.put(b"x")
            (await anext(consumer)).finish_nowait()


@on_every_loop
async def test_one_producer_that_nobody_can_dial_hides_no_other():
    """Port 0, 70000 or an empty address hid all nsqds of the topic."""
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        bad = [("a", 0), ("a", 70000), ("", 1), ("a..b", 1), ("/run/nsqd.sock", 1)]
        lookupd.answers["/lookup?topic=orders"] = _named(
            *[part for one in bad for part in one], "a", 1
        )
        async with open_consumer(
            "orders", "billing", lookupd=lookupd.address, options=cluster.options()
        ):
            await until(lambda: nsqd.subscriptions)


def _named(*hosts_and_ports: str | int) -> bytes:
    """An answer that names nsqds."""
    pairs = zip(hosts_and_ports[::2], hosts_and_ports[1::2], strict=True)
    producers = [{"broadcast_address": host, "tcp_port": port} for host, port in pairs]
    return json.dumps({"channels": [], "producers": producers}).encode()


@on_every_loop
async def test_unreachable_nsqlookupd_is_asked_again_and_delays_nobody(caplog):
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.knows("orders", "a:1")
        async with open_consumer(
            "orders",
            "billing",
            lookupd=["127.0.0.1:1", lookupd.address],
            options=cluster.options(),
        ):
            await until(lambda: nsqd.subscriptions)
            await until(lambda: caplog.text.count("lookupd(127.0.0.1:1)") >= 2)
        assert "asking again in" in caplog.text


@pytest.mark.slow
@on_every_loop
async def test_nsqd_no_longer_named_is_not_dialled_again_once_it_has_gone():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        lookupd.knows("orders", "a:1")
        async with open_consumer(
            "orders",
            "billing",
            lookupd=lookupd.address,
            lookupd_poll_interval=0.01,
            options=cluster.options(),
        ):
            await until(lambda: a.subscriptions)
            lookupd.knows("orders", "b:1")
            await until(lambda: b.subscriptions)
            assert a.sessions, "a connection that works is kept"
            a.hang_up()
            await anyio.sleep(0.5)
            assert a.dials == 1


@pytest.mark.slow
@on_every_loop
async def test_topics_are_found_by_pattern_as_they_come():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        lookupd.answers["/topics"] = b'{"topics": ["order_eu", "other", "order_us", "bad name"]}'
        for topic in ("order_eu", "order_us", "order_new"):
            lookupd.knows(topic, "a:1")
        async with open_consumer(
            channel="billing",
            topics="order_*",
            lookupd=lookupd.address,
            lookupd_poll_interval=0.01,
            options=cluster.options(),
            max_in_flight=9,
        ) as consumer:
            await until(lambda: len(nsqd.subscriptions) == 2)
            lookupd.answers["/topics"] = b'{"topics": ["order_eu", "order_us", "order_new"]}'
            await until(lambda: len(nsqd.subscriptions) == 3)
            nsqd.put(b"x")
            message = await anext(consumer)
            assert message.topic.startswith("order_")
            message.finish_nowait()
            await until(lambda: nsqd.ready == 9)
        assert {topic for topic, _ in nsqd.subscriptions} == {"order_eu", "order_us", "order_new"}


def test_patterns_fit_whole_names():
    assert topic_filter("order_*")("order_eu")
    assert not topic_filter("order_*")("preorder_eu")
    assert topic_filter(re.compile(r"order_\d+"))("order_1")
    assert not topic_filter(re.compile(r"order_\d+"))("order_1x")
