"""Whatever fails beside the event loop, nsqd goes on serving."""

import contextlib

import pytest
import trio
from tests.nsqd.client.conftest import Wire, bodies, body
from tests.nsqd.test_service import Running, dial, nsqd  # noqa: F401 - a fixture
from tests.support.failing import (
    ERRORS,
    all_raised,
    fail_in_every_way,
    raising,
    restarts,
    supervised,
)

from nsqd.service import Nsqd

pytestmark = pytest.mark.slow

HELPERS = {
    "timers": "nsqcore.reactor.timers.Timers.run",
    "clock": "nsqd.lifecycle.wall_clock.follow_wall_clock",
    "sync": "nsqd.lifecycle.sync.keep_synced",
    "disk": "nsqd.lifecycle.sync.watch_health",
    "metadata": "nsqd.metadata.metadata_file.MetadataFile.run",
    "lag": "nsqcore.operations.lag.LoopLag.run",
    "topics": "nsqd.lookup.topic_channels.TopicChannels.run",
    "lookup": "nsqd.lookup.registrar.LookupRegistrar.run",
    "statsd": "nsqd.statsd.reporter.StatsdReporter.run",
    "durability": "nsqd.lifecycle.durability.Durability.run",
    "garbage": "nsqcore.app.process.garbage.MemoryWatch.run",
    "space": "nsqd.lifecycle.data_path.FreeSpace.run",
}


async def exchange(running: Running) -> None:
    """A message from a client to another, over TCP and over HTTP."""
    consumer: Wire = await running.connect(b"SUB t c\n", b"RDY 9\n")
    producer = await running.connect(b"PUB t\n" + body(b"one"))
    assert await producer.many(1) == ["OK"]
    assert (await running.ask("POST", "/pub?topic=t", b"two"))[0] == 200
    answers = await consumer.many(3)
    assert sorted(bodies(answers)) == [b"one", b"two"]
    assert (await running.ask("GET", "/ping"))[0] == 200
    assert (await running.ask("GET", "/metrics"))[0] == 200


@pytest.mark.parametrize("helper", HELPERS)
async def test_a_helper_that_fails_in_every_way_ends_nothing(
    nsqd,  # noqa: F811
    helper,
    monkeypatch,
    caplog,
):
    failed = fail_in_every_way(HELPERS[helper], monkeypatch)
    settings = {"nsqlookupd_tcp_addresses": (), "statsd_address": "127.0.0.1:1"}
    async with nsqd(**settings, min_free_bytes=1) as running:
        await all_raised(failed)
        await exchange(running)
    assert len(restarts(helper, caplog)) == len(ERRORS)
    assert caplog.records[-1].getMessage() == "NSQ: bye"


def test_every_helper_is_made_to_fail():
    assert sorted(HELPERS) == supervised(Nsqd)


async def test_a_session_that_cannot_be_made_costs_one_connection(
    nsqd,  # noqa: F811
    monkeypatch,
):
    async with nsqd() as running:
        for error in ERRORS:
            with monkeypatch.context() as patch, trio.fail_after(60):
                patch.setattr("nsqd.lifecycle.sessions.open_session", raising([error]))
                refused = await dial(running.tcp)
                async with refused:
                    with contextlib.suppress(trio.BrokenResourceError):
                        assert await refused.receive_some() == b""
        await exchange(running)


async def test_an_auth_server_that_fails_in_every_way_refuses_the_client_in_words(
    nsqd,  # noqa: F811
    monkeypatch,
):
    errors = ERRORS.copy()

    async def fail(*_args: object, **_more: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr("nsqcore.http.client.HttpClient.request", fail)
    async with nsqd(auth_http_addresses=("127.0.0.1:1",)) as running:
        for left in range(len(ERRORS), 0, -1):
            assert len(errors) == left
            client = await running.connect(b"AUTH\n" + body(b"secret"))
            assert await client.next() == "E_AUTH_FAILED AUTH failed"
        assert (await running.ask("GET", "/ping"))[0] == 200


async def test_a_drain_that_fails_goes_on_and_ends(nsqd, monkeypatch):  # noqa: F811
    async with nsqd() as running:
        await running.ask("POST", "/pub?topic=t", b"left")
        errors = ERRORS.copy()
        monkeypatch.setattr("nsqd.lifecycle.drain.INTERVAL", 1)
        monkeypatch.setattr("nsqd.lifecycle.drain._has_work", raising(errors))
        assert (await running.ask("PUT", "/config/drain"))[0] == 200
        with trio.fail_after(60):
            await running.process.shutdown.wait()
        assert not errors
