"""An nsqlookupd that is wrong in some answer, beside one that is well: the topic is still found."""

import json

import anyio
import pytest
from tests.e2e.daemons import PATIENCE
from tests.fakes.fake_lookupd import fake_lookupd
from tests.fakes.fake_nsqd import fake_cluster, until
from tests.nsqclient.backends import on_every_loop

from nsqclient import open_consumer

GOOD = {"broadcast_address": "good", "tcp_port": 1, "http_port": 2}

ODD_PRODUCERS = [
    {**GOOD, "tcp_port": 0},
    {**GOOD, "tcp_port": 70_000},
    {**GOOD, "tcp_port": -1},
    {**GOOD, "tcp_port": "4150"},
    {**GOOD, "tcp_port": True},
    {**GOOD, "tcp_port": 1.5},
    {**GOOD, "broadcast_address": ""},
    {**GOOD, "broadcast_address": None},
    {**GOOD, "broadcast_address": 7},
    {**GOOD, "broadcast_address": "/tmp/socket"},
    {**GOOD, "broadcast_address": "unix:/tmp/socket"},
    {**GOOD, "broadcast_address": "user:secret@host"},
    {**GOOD, "broadcast_address": "a..b"},
    {**GOOD, "broadcast_address": "\ud800"},
    {**GOOD, "broadcast_address": "x" * 10_000},
    {"tcp_port": 1},
    None,
    1,
    "a:1",
    [],
]

ODD_ANSWERS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"producers": {}}',
    b'{"channels": 1, "producers": []}',
    b'{"data": {}, "status_code": 500}',
    b'{"channels": ["\\ud800"], "producers": []}',
]


def answer(*producers: object) -> bytes:
    return json.dumps({"channels": [], "producers": list(producers)}).encode()


@pytest.mark.parametrize("producer", ODD_PRODUCERS, ids=lambda one: repr(one)[:60])
@on_every_loop
async def test_one_bad_producer_does_not_hide_the_others(producer: object):
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("good:1")
        lookupd.answers["/lookup?topic=orders"] = answer(producer, GOOD, producer)
        with anyio.fail_after(PATIENCE):
            async with open_consumer(
                "orders", "billing", lookupd=lookupd.address, options=cluster.options()
            ):
                await until(lambda: nsqd.subscriptions)
        assert set(cluster.nsqds) == {"good:1"}


@pytest.mark.parametrize("odd", ODD_ANSWERS, ids=lambda one: repr(one[:40]))
@on_every_loop
async def test_one_bad_answer_does_not_hide_what_another_nsqlookupd_says(odd: bytes):
    async with fake_cluster() as cluster, fake_lookupd() as bad, fake_lookupd() as good:
        nsqd = cluster.nsqd("good:1")
        bad.default = odd
        good.answers["/lookup?topic=orders"] = answer(GOOD)
        good.answers["/topics"] = b'{"topics": ["orders", "\\ud800", 7]}'
        addresses = [bad.address, good.address]
        with anyio.fail_after(PATIENCE):
            async with open_consumer(
                "orders", "billing", lookupd=addresses, options=cluster.options()
            ):
                await until(lambda: nsqd.subscriptions and bad.asked)
            async with open_consumer(
                channel="billing", topics="ord*", lookupd=addresses, options=cluster.options()
            ):
                await until(lambda: len(nsqd.subscriptions) == 2)
