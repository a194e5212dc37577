"""Whatever fails beside the event loop, nsqadmin goes on serving."""

import pytest
import trio
from tests.fakes.fake_cluster import running, topic
from tests.fakes.fake_nsqd import FakeNsqd
from tests.nsqadmin.test_service import listening
from tests.support.failing import ERRORS, all_raised, fail_in_every_way, restarts, supervised

from nsqadmin import service
from nsqadmin.config.options import NsqadminOptions
from nsqcore.app.service import Process

pytestmark = pytest.mark.slow

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n"

HELPERS = {
    "collector": "nsqadmin.collect.collector.Collector.run",
    "notifier": "nsqadmin.core.notify.Notifier.run",
    "event loop lag": "nsqcore.operations.lag.LoopLag.run",
    "timers": "nsqcore.reactor.timers.Timers.run",
}


async def page(port: int) -> bytes:
    """The answer with the page of all topics."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(ASKED)
        return b"".join([data async for data in stream])


@pytest.mark.parametrize("helper", HELPERS)
async def test_a_helper_that_fails_in_every_way_ends_nothing(helper, monkeypatch, caplog, nursery):
    caplog.set_level("INFO")
    failed = fail_in_every_way(HELPERS[helper], monkeypatch)
    nsqd = FakeNsqd([topic("orders")])
    async with running(nsqd):
        options = NsqadminOptions(
            http_address="127.0.0.1:0", nsqd_http_addresses=[nsqd.address], collect_interval=0.1
        )
        nursery.start_soon(service.run, options, Process())
        port = await listening(caplog)
        await all_raised(failed)
        with trio.fail_after(60):
            # another round of the collector may have to come first
            while b"/topics/orders" not in (answer := await page(port)):  # noqa: ASYNC110
                await trio.sleep(0.01)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(restarts(helper, caplog)) == len(ERRORS)


def test_every_helper_is_made_to_fail():
    assert sorted(HELPERS) == supervised(service)
