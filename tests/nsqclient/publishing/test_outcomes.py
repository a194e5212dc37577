"""One publish, one nsqd, one answer is bad; every other publish comes through."""

import fcntl
import socket
import sys
import termios
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.lowlevel
import pytest
from tests.e2e.daemons import PATIENCE, wait_until
from tests.fakes.fake_nsqd import HANG_UP, fake_cluster, fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import (
    AuthFailed,
    ClientError,
    Closed,
    ConnectionLost,
    ConnectionOptions,
    Hooks,
    Producer,
    PublishError,
    open_producer,
)
from nsqclient.connection.connection import MAX_PENDING
from nsqclient.publishing.endpoint import LARGE
from nsqcore.wire.errors import BadMessage, DpubFailed, MpubFailed, PubFailed, Unauthorized
from nsqcore.wire.frames import OK_FRAME, error_frame, response_frame

UNABLE = [
    ("publish", error_frame(PubFailed("disk full"))),
    ("publish_many", error_frame(MpubFailed("draining"))),
    ("defer", error_frame(DpubFailed("draining"))),
]


async def publish(producer: Producer, kind: str, body: bytes) -> None:
    if kind == "publish_many":
        await producer.publish_many("orders", [body])
    else:
        await producer.publish("orders", body, defer=1 if kind == "defer" else None)


def got(nsqd) -> list[bytes]:
    return nsqd.published + [body for body, _ in nsqd.deferred]


@pytest.mark.parametrize(("kind", "refusal"), UNABLE)
@on_every_loop
async def test_what_one_nsqd_cannot_take_goes_to_the_next(kind: str, refusal: bytes):
    async with fake_cluster() as cluster:
        sick, well = cluster.nsqd("sick:1"), cluster.nsqd("well:1")
        sick.always = refusal
        addresses = ["sick:1", "well:1"]
        async with open_producer(addresses, options=cluster.options()) as producer:
            await until(lambda: len(producer.connected) == 2)
            for number in range(20):
                await publish(producer, kind, b"%d" % number)
            async with anyio.create_task_group() as tasks:
                for number in range(20, 60):
                    tasks.start_soon(publish, producer, kind, b"%d" % number)
        assert sorted(got(well), key=int) == [b"%d" % n for n in range(60)]
        # Connected is not well: it is not asked again with every publish.
        assert sick.refused <= 25


@pytest.mark.parametrize(("kind", "refusal"), UNABLE)
@on_every_loop
async def test_publish_that_no_nsqd_takes_raises_with_nsqds_code(kind: str, refusal: bytes):
    async with fake_cluster() as cluster:
        for address in ("a:1", "b:1"):
            cluster.nsqd(address).always = refusal
        async with open_producer(["a:1", "b:1"], options=cluster.options()) as producer:
            for _ in range(3):
                with anyio.fail_after(PATIENCE), pytest.raises(PublishError) as refused:
                    await publish(producer, kind, b"x")
                assert refused.value.code.endswith("PUB_FAILED")


@virtual_time
async def test_nsqd_that_can_take_messages_again_gets_its_part():
    async with fake_cluster() as cluster:
        sick, well = cluster.nsqd("sick:1"), cluster.nsqd("well:1")
        sick.always = error_frame(PubFailed("disk full"))
        options = cluster.options(max_reconnect_delay=10)
        async with open_producer(["sick:1", "well:1"], options=options) as producer:
            for _ in range(100):
                await producer.publish("orders", b"x")
                await anyio.sleep(0.5)
            assert sick.refused < 15
            sick.always = None
            await anyio.sleep(10)
            before = len(well.published)
            for _ in range(20):
                await producer.publish("orders", b"y")
            assert sick.published.count(b"y") == 10
            assert len(well.published) - before == 10


@on_every_loop
async def test_refused_messages_are_no_outage_for_those_of_others():
    """One bad publish after the other, and every small one of the same producer gets through."""
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.refuse = lambda body: error_frame(BadMessage("too big")) if len(body) > 100 else None
        outcomes: list[str] = []

        async def small(worker: int) -> None:
            for number in range(30):
                try:
                    await producer.publish("orders", b"%d-%d" % (worker, number))
                except ClientError as error:
                    outcomes.append(repr(error))
                await anyio.lowlevel.checkpoint()

        async def large() -> None:
            for _ in range(10):
                with pytest.raises(PublishError) as refused:
                    await producer.publish("orders", b"x" * 101)
                assert refused.value.code == "E_BAD_MESSAGE"

        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            with anyio.fail_after(20):  # waits that double to 30 s would not fit in here
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(large)
                    for worker in range(5):
                        tasks.start_soon(small, worker)
        assert outcomes == []
        assert len(set(nsqd.published)) == len(nsqd.published) == 150


@on_every_loop
async def test_publish_to_a_topic_we_may_not_use_disturbs_no_other():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.refuse = lambda body: error_frame(Unauthorized("no")) if body == b"no" else None
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            for _ in range(10):
                with pytest.raises(PublishError) as refused:
                    await producer.publish("orders", b"no")
                assert refused.value.code == "E_UNAUTHORIZED"
                with anyio.fail_after(20):
                    await producer.publish("orders", b"yes")
        assert nsqd.published == [b"yes"] * 10


@on_every_loop
async def test_answers_that_come_behind_an_error_count():
    """An nsqd that goes on after an error: nothing is published twice."""
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.hangs_up = False
        nsqd.refuse = lambda body: error_frame(BadMessage("no")) if body == b"bad" else None
        outcomes: dict[bytes, str] = {}

        async def attempt(body: bytes) -> None:
            try:
                await producer.publish("orders", body)
                outcomes[body] = "ok"
            except PublishError:
                outcomes[body] = "refused"

        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.wait_until_connected()
            async with anyio.create_task_group() as tasks:
                for body in (b"1", b"bad", b"2", b"3"):
                    tasks.start_soon(attempt, body)
        assert outcomes == {b"1": "ok", b"bad": "refused", b"2": "ok", b"3": "ok"}
        assert sorted(nsqd.published) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("answer", [b"", b"NO", b"ok", b"OK ", b"\xff", b"{}"])
@on_every_loop
async def test_answer_that_is_no_ok_is_no_success(answer: bytes):
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.always = response_frame(answer)
        nsqd.hangs_up = False
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            with anyio.fail_after(PATIENCE), pytest.raises(ConnectionLost) as lost:
                await producer.publish("orders", b"x")
            assert lost.value.sent


@on_every_loop
async def test_wait_until_connected_ends_when_the_producer_closes():
    async with fake_cluster() as cluster:
        cluster.nsqd("a:1", up=False)
        ended: list[str] = []

        async def wait(producer: Producer) -> None:
            try:
                await producer.wait_until_connected()
            except Closed:
                ended.append("closed")

        async with anyio.create_task_group() as tasks:
            async with open_producer("a:1", options=cluster.options()) as producer:
                tasks.start_soon(wait, producer)
                await anyio.wait_all_tasks_blocked()
        assert ended == ["closed"]
        with pytest.raises(Closed):
            await producer.wait_until_connected()


@virtual_time
async def test_publish_after_an_outage_connects_at_once_and_has_no_stale_error():
    async with fake_nsqd(up=False) as (cluster, nsqd):
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await anyio.sleep(300)  # the waits between attempts are 15 to 30 s by now
            nsqd.up = True
            await producer.publish("orders", b"x")
            nsqd.up = False
            nsqd.hang_up()
            await anyio.sleep(300)
            with pytest.raises(ConnectionLost):
                await producer.publish("orders", b"y")
            nsqd.up = True
            began = anyio.current_time()
            await producer.publish("orders", b"z")
            assert anyio.current_time() - began < 1


@on_every_loop
async def test_secret_is_blamed_only_if_every_nsqd_refuses_it():
    async with fake_cluster() as cluster:
        cluster.nsqd("strict:1", identify={"auth_required": True})
        cluster.nsqd("down:1", up=False)
        addresses = ["strict:1", "down:1"]
        async with open_producer(addresses, options=cluster.options()) as producer:
            with pytest.raises(ConnectionLost, match="auth_secret"):
                await producer.publish("orders", b"x")
        async with open_producer(["strict:1"], options=cluster.options()) as producer:
            with pytest.raises(AuthFailed):
                await producer.publish("orders", b"x")


@pytest.mark.slow
@on_every_loop
async def test_what_waits_for_a_frozen_nsqd_is_bounded():
    async with fake_nsqd() as (cluster, nsqd):
        options = cluster.options()
        async with open_producer(nsqd.address, options=options) as producer:
            await producer.publish("orders", b"x")
            [endpoint] = producer._endpoints
            connection = endpoint.connection
            assert connection is not None
            nsqd.freeze()
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(producer.publish, "orders", bytes(1024 * 1024 - 100))
                for _ in range(20):
                    await anyio.wait_all_tasks_blocked()
                assert MAX_PENDING <= connection.pending < MAX_PENDING + 2 * 1024 * 1024
                nsqd.thaw()
            assert len(nsqd.published) == 101


@pytest.mark.slow
@on_every_loop
async def test_what_waits_for_a_frozen_nsqd_is_not_copied():
    body = bytes(512 * 1024)
    tracemalloc.start()
    try:
        async with fake_nsqd() as (cluster, nsqd):
            async with open_producer(nsqd.address, options=cluster.options()) as producer:
                await producer.publish("orders", body)
                nsqd.freeze()
                before, _ = tracemalloc.get_traced_memory()
                async with anyio.create_task_group() as tasks:
                    for _ in range(200):
                        tasks.start_soon(producer.publish, "orders", body)
                    for _ in range(20):
                        await anyio.wait_all_tasks_blocked()
                    waiting, _ = tracemalloc.get_traced_memory()
                    nsqd.thaw()
    finally:
        tracemalloc.stop()
    # What may be sent at once, and what the connection and the fake have in hand of it.
    assert waiting - before < 2.5 * MAX_PENDING


@pytest.mark.slow
@on_every_loop
async def test_full_nsqd_does_not_hold_up_what_another_can_take():
    async with fake_cluster() as cluster:
        slow, quick = cluster.nsqd("slow:1"), cluster.nsqd("quick:1")
        addresses = ["slow:1", "quick:1"]
        async with open_producer(addresses, options=cluster.options()) as producer:
            await until(lambda: len(producer.connected) == 2)
            slow.freeze()
            async with anyio.create_task_group() as tasks:
                for _ in range(80):
                    tasks.start_soon(producer.publish, "orders", bytes(1024 * 1024 - 100))
                await until(lambda: len(quick.published) > 50)
                slow.thaw()
        assert len(quick.published) + len(slow.published) == 80


@on_every_loop
async def test_hook_that_raises_changes_no_outcome(caplog):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug of the caller's")

    hooks = Hooks(connected=fail, disconnected=fail, published=fail)
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(
            nsqd.address, options=cluster.options(), hooks=hooks, wait_when_down=True
        ) as producer:
            await producer.publish("orders", b"1")
            nsqd.hang_up()
            await until(lambda: not producer.connected)
            await producer.publish("orders", b"2")
        assert nsqd.published == [b"1", b"2"]
    assert "a bug of the caller's" in caplog.text


@on_every_loop
async def test_resend_after_an_nsqd_that_cannot_take_it_is_still_told_as_uncertain():
    async with fake_cluster() as cluster:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        a.replies.append(HANG_UP)
        b.replies.append(HANG_UP)
        a.always = b.always = error_frame(PubFailed("disk full"))
        async with open_producer(
            ["a:1", "b:1"], options=cluster.options(), resend=True
        ) as producer:
            with pytest.raises(ConnectionLost, match="disk full") as lost:
                await producer.publish("orders", b"x")
            assert lost.value.sent


def unacknowledged(peer: socket.socket) -> int:
    """Bytes that the kernel has and the other side has not; a reset would drop them."""
    return int.from_bytes(fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


@contextmanager
def abrupt_nsqd(limit: int) -> Iterator[int]:
    """An nsqd on a real socket; refuses a large body as the original: unread data, then a reset."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as Go does
        with peer, peer.makefile("rb") as stream:
            stream.read(4)
            while line := stream.readline():
                size = int.from_bytes(stream.read(4), "big")
                if line == b"IDENTIFY\n":
                    stream.read(size)
                    peer.sendall(response_frame(b'{"max_rdy_count":2500}'))
                elif size > limit:
                    peer.sendall(error_frame(BadMessage("PUB message too big")))
                    wait_until(lambda: unacknowledged(peer) == 0)
                    return
                else:
                    stream.read(size)
                    peer.sendall(OK_FRAME)

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@on_every_loop
async def test_large_message_goes_alone_so_that_its_refusal_takes_no_answers_of_others_away():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.refuse = lambda body: HANG_UP if len(body) > LARGE else None
        outcomes: dict[int, str] = {}

        async def attempt(size: int) -> None:
            try:
                await producer.publish("orders", bytes(size))
                outcomes[size] = "ok"
            except ConnectionLost:
                outcomes[size] = "lost"

        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.wait_until_connected()
            async with anyio.create_task_group() as tasks:
                for size in (1, 2, LARGE + 1, 3, 4):
                    tasks.start_soon(attempt, size)
        assert outcomes == {1: "ok", 2: "ok", LARGE + 1: "lost", 3: "ok", 4: "ok"}


@on_every_loop
async def test_publish_that_is_cancelled_while_it_waits_to_go_alone_holds_nobody_up():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.replies.append(None)
        async with open_producer(nsqd.address, options=cluster.options()) as producer:
            await producer.wait_until_connected()
            async with anyio.create_task_group() as unanswered:
                unanswered.start_soon(producer.publish, "orders", b"1")
                await until(lambda: not nsqd.replies)
                async with anyio.create_task_group() as large:
                    large.start_soon(producer.publish, "orders", bytes(LARGE + 1))
                    await anyio.wait_all_tasks_blocked()
                    large.start_soon(producer.publish, "orders", b"2")
                    await anyio.wait_all_tasks_blocked()
                    assert b"2" not in nsqd.published
                    large.cancel_scope.cancel()
                unanswered.start_soon(producer.publish, "orders", b"3")
                await until(lambda: b"3" in nsqd.published)
                unanswered.cancel_scope.cancel()


@pytest.mark.slow
@on_every_loop
async def test_answers_from_before_a_reset_are_read():
    """The same outcomes under every loop: one refused, all others published."""
    outcomes: list[str] = []

    async def attempt(body: bytes) -> None:
        try:
            await producer.publish("orders", body)
            outcomes.append("ok")
        except PublishError as error:
            outcomes.append(error.code)
        except ConnectionLost as error:
            outcomes.append(f"lost, sent {error.sent}")

    with abrupt_nsqd(1024 * 1024) as port:
        async with open_producer(f"127.0.0.1:{port}", options=ConnectionOptions()) as producer:
            await producer.wait_until_connected()
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    size = 2_000_000 if number == 11 else 200
                    tasks.start_soon(attempt, b"x" * size)
    assert sorted(outcomes) == ["E_BAD_MESSAGE"] + ["ok"] * 49
