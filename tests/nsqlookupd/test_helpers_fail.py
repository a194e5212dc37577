"""Whatever fails beside the event loop, nsqlookupd goes on serving."""

import pytest
import trio
from tests.nsqlookupd.test_service import get, replies, running
from tests.support.failing import ERRORS, all_raised, fail_in_every_way, restarts, supervised

from nsqcore.wire.lookup import identify_command
from nsqlookupd import service

pytestmark = pytest.mark.slow

FIELDS = {"broadcast_address": "here", "tcp_port": 1, "http_port": 2, "version": "1.3.0"}

HELPERS = {
    "lag": "nsqcore.operations.lag.LoopLag.run",
    "timers": "nsqcore.reactor.timers.Timers.run",
    "garbage": "nsqcore.app.process.garbage.MemoryWatch.run",
    "topics": "nsqlookupd.service._forget_idle_topics",
}


@pytest.mark.parametrize("helper", HELPERS)
async def test_a_helper_that_fails_in_every_way_ends_nothing(helper, monkeypatch, caplog):
    failed = fail_in_every_way(HELPERS[helper], monkeypatch)
    async with running(caplog, inactive_topic_timeout=3600.0) as (tcp, http, _):
        await all_raised(failed)
        stream = await trio.open_tcp_stream("127.0.0.1", tcp)
        async with stream:
            await stream.send_all(b"  V1" + identify_command(FIELDS) + b"REGISTER t c\n")
            await replies(stream, 2)
            assert b'"here"' in await get(http, "/lookup?topic=t")
    assert len(restarts(helper, caplog)) == len(ERRORS)


def test_every_helper_is_made_to_fail():
    assert sorted(HELPERS) == supervised(service)
