"""What a consumer's program is told of in its log, once and not by the thousand."""

import subprocess
import sys

import anyio
from tests.fakes.fake_nsqd import fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import open_producer
from nsqclient.connection import connection
from nsqclient.consuming import subscription
from nsqclient.core.log import INTERVAL
from nsqcore.wire.errors import TouchFailed
from nsqcore.wire.frames import error_frame
from nsqcore.wire.hot import encode_messages

RECORD = bytes(8) + b"\0\1" + b"0123456789abcdef" + b"body"

LIMITED = """
import resource
from nsqclient import ConnectionOptions
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(ConnectionOptions().heartbeat_interval)
"""


@virtual_time
async def test_a_message_that_expires_in_hand_is_told_of(caplog, monkeypatch):
    monkeypatch.setattr(subscription._expired_in_hand, "_last", -INTERVAL)
    async with fake_nsqd(identify={"msg_timeout": 10_000}) as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            await anyio.sleep(11)
            assert caplog.text.count(message.id) == 1


@on_every_loop
async def test_touches_that_come_too_late_make_one_line(caplog):
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            for _ in range(50):
                nsqd.sessions[0].send(error_frame(TouchFailed("TOUCH 0 failed ID not in flight")))
            await message.finish()
            await until(lambda: nsqd.finished)
    assert caplog.text.count("E_TOUCH_FAILED") <= 1


@on_every_loop
async def test_messages_that_a_producer_was_not_meant_to_get_make_one_line(caplog, monkeypatch):
    monkeypatch.setattr(connection._unwanted, "_last", -INTERVAL)
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            for _ in range(50):  # each is a chunk of its own
                await producer.publish("orders", b"x")
                nsqd.sessions[0].send(encode_messages([RECORD]))
    assert len(nsqd.published) == 50
    assert caplog.text.count("nobody subscribed to") == 1


def test_settings_are_made_without_a_descriptor_left():
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
