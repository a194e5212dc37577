import math
from contextlib import contextmanager

import anyio
import pytest
from tests.e2e.daemons import PATIENCE
from tests.fakes.fake_nsqd import HANG_UP, fake_cluster, fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import (
    AuthFailed,
    ClientError,
    Closed,
    ConnectionLost,
    ConnectionOptions,
    Hooks,
    PublishError,
    open_producer,
)
from nsqcore.wire.errors import BadMessage
from nsqcore.wire.frames import error_frame
from nsqd.testing import open_nsqd


@on_every_loop
async def test_publish_returns_when_nsqd_has_the_message():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.publish("orders", b"one")
            assert nsqd.published == [b"one"]
            await producer.publish_many("orders", [b"two", b"three"])
            assert nsqd.published == [b"one", b"two", b"three"]
            await producer.publish("orders", b"later", defer=1.5)
            assert nsqd.deferred == [(b"later", 1500)]


@on_every_loop
async def test_publishes_of_many_tasks_share_writes_and_keep_their_own_outcomes():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.publish("orders", b"first")
            before = nsqd.chunks
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(producer.publish, "orders", b"%d" % number)
            assert sorted(nsqd.published[1:]) == sorted(b"%d" % n for n in range(50))
            assert nsqd.chunks - before < 10


@on_every_loop
async def test_what_cannot_be_sent_is_refused_here():
    async with (
        fake_cluster() as cluster,
        open_producer("nowhere:1", options=cluster.options()) as producer,
    ):
        for topic, body, code in [
            ("no such name", b"x", "E_BAD_TOPIC"),
            (b"orders", b"x", "E_BAD_TOPIC"),
            ("orders", b"", "E_BAD_MESSAGE"),
        ]:
            with pytest.raises(PublishError) as refused:
                await producer.publish(topic, body)
            assert refused.value.code == code
        for delay in (-1, math.nan, math.inf):
            with pytest.raises(PublishError):
                await producer.publish("orders", b"x", defer=delay)
        with pytest.raises(TypeError):
            await producer.publish("orders", "text")  # type: ignore[arg-type]
        await producer.publish_many("orders", [])


@on_every_loop
async def test_buffers_are_published_as_they_were():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.publish("orders", bytearray(b"1"))
            await producer.publish_many("orders", (b"2", memoryview(b"xx3")[2:]))
        assert nsqd.published == [b"1", b"2", b"3"]


@on_every_loop
async def test_refused_publish_raises_with_nsqds_code_and_those_behind_it_get_through():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(
            nsqd.address, options=cluster.options(), wait_when_down=True
        ) as producer:
            await producer.publish("orders", b"first")
            outcomes: dict[bytes, str] = {}

            async def publish(body: bytes) -> None:
                try:
                    await producer.publish("orders", body)
                    outcomes[body] = "ok"
                except ClientError as error:
                    outcomes[body] = getattr(error, "code", "lost")

            nsqd.replies.append(error_frame(BadMessage("too big")))
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(publish, b"%d" % number)
            assert sorted(outcomes.values()) == ["E_BAD_MESSAGE"] + ["ok"] * 9
            published = [body for body, outcome in outcomes.items() if outcome == "ok"]
            assert sorted(nsqd.published[1:]) == sorted(published)


@on_every_loop
async def test_publish_whose_answer_is_lost_raises_and_says_that_it_was_sent():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.publish("orders", b"first")
            nsqd.replies.append(HANG_UP)
            with pytest.raises(ConnectionLost) as lost:
                await producer.publish("orders", b"x")
            assert lost.value.sent


@on_every_loop
async def test_resend_publishes_again_where_the_answer_was_lost():
    async with fake_cluster() as cluster:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        a.replies.append(HANG_UP)
        b.replies.append(HANG_UP)
        async with open_producer(
            ["a:1", "b:1"], options=cluster.options(), resend=True, wait_when_down=True
        ) as producer:
            await producer.publish("orders", b"x")
        assert a.published + b.published == [b"x"]


@on_every_loop
async def test_what_may_have_been_published_before_a_resend_that_failed_is_told():
    async with fake_nsqd() as (cluster, nsqd):

        def go_away(address: str, error: Exception) -> None:
            nsqd.up = False

        async with open_producer(
            nsqd.address,
            options=cluster.options(),
            resend=True,
            hooks=Hooks(disconnected=go_away),
        ) as producer:
            nsqd.replies.append(HANG_UP)
            with pytest.raises(ConnectionLost, match="no nsqd to publish to") as caught:
                await producer.publish("orders", b"x")
        assert caught.value.sent


@on_every_loop
async def test_refusal_of_a_second_attempt_does_not_hide_that_the_first_may_have_arrived():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.replies += [HANG_UP, error_frame(BadMessage("too large here"))]
        async with open_producer(
            nsqd.address, options=cluster.options(), resend=True, wait_when_down=True
        ) as producer:
            with pytest.raises(ConnectionLost, match="too large here") as caught:
                await producer.publish("orders", b"x")
        assert caught.value.sent


@on_every_loop
async def test_publish_fails_promptly_when_no_nsqd_can_be_reached():
    async with (
        fake_cluster() as cluster,
        open_producer(["a:1", "b:1"], options=cluster.options()) as producer,
    ):
        with (
            anyio.fail_after(PATIENCE),
            pytest.raises(ConnectionLost, match="no nsqd to publish to"),
        ):
            await producer.publish("orders", b"x")


@on_every_loop
async def test_publish_waits_for_an_nsqd_when_told_to_as_long_as_the_caller_does():
    async with fake_nsqd(up=False) as (cluster, nsqd):
        async with open_producer(
            nsqd.address, options=cluster.options(), wait_when_down=True
        ) as producer:
            with anyio.move_on_after(0.05) as scope:
                await producer.publish("orders", b"x")
            assert scope.cancelled_caught
            nsqd.up = True
            await producer.publish("orders", b"y")
        assert nsqd.published == [b"y"]


@on_every_loop
async def test_publishes_go_round_and_leave_out_an_nsqd_that_is_down():
    async with fake_cluster() as cluster:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        async with open_producer(["a:1", "b:1"], options=cluster.options()) as producer:
            await until(lambda: len(producer.connected) == 2)
            for _ in range(4):
                await producer.publish("orders", b"x")
            assert len(a.published) == len(b.published) == 2
            a.up = False
            a.hang_up()
            await until(lambda: producer.connected == ["b:1"])
            for _ in range(4):
                await producer.publish("orders", b"y")
            assert b.published.count(b"y") == 4
            a.up = True
            await until(lambda: len(producer.connected) == 2)
            for _ in range(2):
                await producer.publish("orders", b"z")
            assert a.published[-1] == b"z"


@on_every_loop
async def test_cancelled_publish_leaves_the_answers_of_others_in_place():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.replies.extend([None])
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(producer.publish, "orders", b"unanswered")
                await until(lambda: not nsqd.replies)
                tasks.cancel_scope.cancel()
            # The answer nsqd still owes belongs to the cancelled one, not to the next.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(producer.publish, "orders", b"next")
                await until(lambda: b"next" in nsqd.published)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()


@on_every_loop
async def test_error_of_the_block_reaches_the_caller_as_it_is():
    async with fake_nsqd() as (cluster, nsqd):
        with pytest.raises(KeyError):
            async with open_producer(nsqd.address, options=cluster.options()):
                raise KeyError("mine")


@on_every_loop
async def test_closed_producer_says_so():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.publish("orders", b"x")
        with pytest.raises(Closed):
            await producer.publish("orders", b"y")


@on_every_loop
async def test_missing_secret_is_told_as_such():
    async with fake_nsqd(identify={"auth_required": True}) as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            with pytest.raises(AuthFailed, match="auth_secret"):
                await producer.publish("orders", b"x")
        options = cluster.options(auth_secret="sesame")
        async with open_producer(nsqd.address, options=options) as producer:
            await producer.publish("orders", b"x")
        assert nsqd.commands == ["AUTH sesame"]


@on_every_loop
async def test_hooks_hear_of_connections_and_publishes():
    heard: list[object] = []
    hooks = Hooks(
        connected=lambda address: heard.append(address),
        disconnected=lambda address, error: heard.append(type(error)),
        published=lambda topic, count, seconds, error: heard.append((topic, count, error)),
    )
    async with fake_nsqd("a:1") as (cluster, nsqd):
        async with open_producer("a:1", options=cluster.options(), hooks=hooks) as producer:
            await producer.publish_many("orders", [b"x", b"y"])
            nsqd.up = False
            nsqd.hang_up()
            await until(lambda: ConnectionLost in heard)
    assert heard[:3] == ["a:1", ("orders", 2, None), ConnectionLost]


@on_every_loop
@pytest.mark.parametrize("given", [{"x": "no\ntext"}, {"X": "name"}, "fails"])
async def test_hook_round_publishes_cannot_spoil_them(given, caplog):
    heard = []

    @contextmanager
    def around(topic, count, headers):
        heard.append((topic, count, dict(headers)))
        if given == "fails":
            raise RuntimeError("broken hook")
        yield given
        raise RuntimeError("broken hook")

    async with open_nsqd() as nsqd:
        nsqd.create_channel("orders", "billing")
        async with open_producer(
            nsqd.address, options=nsqd.options(), hooks=Hooks(publishing=around)
        ) as producer:
            await producer.publish("orders", b"one", headers={"user": "1"})
            await producer.publish_many("orders", [b"two", b"three"])
        assert nsqd.counts("orders", "billing").depth == 3
    assert heard == [("orders", 1, {"user": "1"}), ("orders", 2, {})]


@virtual_time
async def test_silent_nsqd_is_given_up_after_two_heartbeats_and_the_publish_with_it():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.replies.append(None)
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            with pytest.raises(ConnectionLost, match="no sign of life"):
                await producer.publish("orders", b"x")
            assert 60 <= anyio.current_time() <= 62


@virtual_time
async def test_idle_producer_answers_heartbeats():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.wait_until_connected()
            for _ in range(10):
                await anyio.sleep(30)
                nsqd.heartbeat()
            await anyio.sleep(1)
            assert nsqd.commands == ["NOP"] * 10
            assert nsqd.dials == 1


@virtual_time
async def test_attempts_to_connect_become_rarer():
    async with fake_nsqd(up=False) as (cluster, nsqd):
        options = cluster.options(max_reconnect_delay=10)
        async with open_producer(nsqd.address, options=options):
            await anyio.sleep(100)
            assert 12 <= nsqd.dials <= 30


@virtual_time
async def test_nsqd_that_hangs_up_at_once_is_not_dialled_in_a_busy_loop():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()):
            for _ in range(1000):
                await anyio.sleep(0.01)
                nsqd.hang_up()
            assert nsqd.dials < 20


@virtual_time
async def test_nsqd_that_never_answers_the_handshake_is_left_in_time():
    async def dial(address: str) -> object:
        await anyio.sleep_forever()
        raise AssertionError

    options = ConnectionOptions(dial=dial, connect_timeout=5)  # type: ignore[arg-type]
    async with open_producer("a:1", options=options) as producer:
        with pytest.raises(ConnectionLost, match="no answer within 5 s"):
            await producer.publish("orders", b"x")
        assert anyio.current_time() == pytest.approx(5)


def test_wrong_addresses_are_refused():
    async def open_with(address: str) -> None:
        async with open_producer(address):
            raise AssertionError

    for address in ("", "host:", "host:99999", ":x"):
        with pytest.raises(ValueError, match="address"):
            anyio.run(open_with, address)
