"""The whole process, from its socket to its end."""

import logging
import re

import pytest
import trio
from tests.fakes.fake_cluster import running, topic
from tests.fakes.fake_nsqd import FakeNsqd

from nsqadmin.config.options import NsqadminOptions
from nsqadmin.service import run
from nsqcore.app.config.options import OptionsError
from nsqcore.app.service import Process

LISTENING = re.compile(r"HTTP: listening on 127\.0\.0\.1:(\d+)")


async def listening(caplog):
    """The port that the log tells."""
    with trio.fail_after(60):
        while not (found := LISTENING.search(caplog.text)):  # noqa: ASYNC110 - a line of the log
            await trio.sleep(0.01)
    return int(found[1])


@pytest.mark.slow
async def test_it_serves_until_told_to_stop_whoever_watches(caplog, nursery):
    caplog.set_level(logging.INFO)
    nsqd = FakeNsqd([topic("orders")])
    async with running(nsqd):
        options = NsqadminOptions(
            http_address="127.0.0.1:0", nsqd_http_addresses=[nsqd.address], collect_interval=0.2
        )
        process, ended = Process(), trio.Event()

        async def serve():
            await run(options, process)
            ended.set()

        nursery.start_soon(serve)
        port = await listening(caplog)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /events?view=/ HTTP/1.1\r\nHost: x\r\n\r\n")
            heard = b""
            with trio.fail_after(60):
                while b"event: page" not in heard or b"orders" not in heard:
                    heard += await stream.receive_some()
            process.shutdown.set()
            with trio.fail_after(60):
                await ended.wait()


async def test_a_port_in_use_is_told_at_once_with_its_address():
    async with running(FakeNsqd()) as _:
        taken = FakeNsqd()
        async with running(taken):
            options = NsqadminOptions(
                http_address=taken.address, nsqd_http_addresses=["127.0.0.1:1"]
            )
            with pytest.raises(
                OptionsError, match=f"listen \\({taken.address}\\) failed - .* in use"
            ):
                await run(options, Process())


async def test_without_daemons_to_ask_it_does_not_start():
    with pytest.raises(OptionsError, match="required"):
        await run(NsqadminOptions(), Process())


@pytest.mark.slow
async def test_a_provider_that_is_asked_in_the_clear_is_told_of(caplog, nursery):
    caplog.set_level(logging.INFO)
    options = NsqadminOptions(
        http_address="127.0.0.1:0", nsqd_http_addresses=("127.0.0.1:1",),
        oidc_issuer="http://id.example", oidc_client_id="x", oidc_roles=("ops=admin",),
    )  # fmt: skip
    nursery.start_soon(run, options, Process())
    await listening(caplog)
    assert "oidc(http://id.example): asked without TLS" in caplog.text


async def test_a_flag_without_effect_is_told_and_no_reason_not_to_start(caplog, nursery):
    caplog.set_level(logging.INFO)
    options = NsqadminOptions(
        http_address="127.0.0.1:0", nsqd_http_addresses=["127.0.0.1:1"], proxy_graphite=True
    )
    process = Process()
    nursery.start_soon(run, options, process)
    await listening(caplog)
    assert "--proxy-graphite does nothing" in caplog.text
    process.shutdown.set()
