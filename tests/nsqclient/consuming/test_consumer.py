import math

import anyio
import pytest
from tests.fakes.fake_nsqd import FakeNsqd, fake_cluster, fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import (
    AlreadyAnswered,
    ConnectionLost,
    Hooks,
    Message,
    MessageExpired,
    drop,
    open_consumer,
    open_producer,
)
from nsqclient import dead_letter as dead_letter_to
from nsqd.testing import open_nsqd


@on_every_loop
async def test_messages_are_iterated_over_and_finished():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"1", b"2", b"3")
        seen = []
        async with cluster.consumer(nsqd) as consumer:
            async for message in consumer:
                async with message.process():
                    seen.append(message.body)
                if len(seen) == 3:
                    break
        assert seen == [b"1", b"2", b"3"]
        assert nsqd.finished == seen
        assert nsqd.subscriptions == [("orders", "billing")]
        assert nsqd.commands[-1] == "CLS"


@on_every_loop
async def test_message_tells_all_about_itself():
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.put(b'{"n": 1}', attempts=3)
        began = anyio.current_time()
        async with open_consumer(
            "orders", "billing", nsqd="a:1", options=cluster.options()
        ) as consumer:
            message = await anext(consumer)
            assert message.id == "0000000000000001"
            assert message.attempts == 3
            assert message.timestamp == 10**18 + 1
            assert message.json() == {"n": 1}
            assert repr(message) == (
                "<Message 0000000000000001 of orders at a:1: attempt 3, 8 bytes, OPEN>"
            )
            assert (message.topic, message.nsqd, message.headers) == ("orders", "a:1", {})
            assert began <= message.deadline - 60 <= anyio.current_time()
            await message.touch()
            await message.finish()
            for answer in (message.finish, message.requeue, message.touch):
                with pytest.raises(AlreadyAnswered):
                    await answer()
        assert nsqd.touched == nsqd.finished == [b'{"n": 1}']


@on_every_loop
async def test_process_requeues_what_fails_with_a_growing_delay_and_passes_the_error_on():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.keep_requeued = True
        nsqd.put(b"first")
        nsqd.put(b"fourth", attempts=4)
        async with cluster.consumer(nsqd, max_backoff=0) as consumer:
            for _ in range(2):
                message = await anext(consumer)
                with pytest.raises(KeyError):
                    async with message.process():
                        raise KeyError
            nsqd.put(b"told")
            message = await anext(consumer)
            with pytest.raises(KeyError):
                async with message.process(requeue_delay=0.25):
                    raise KeyError
        assert nsqd.requeued == [(b"first", 1000), (b"fourth", 8000), (b"told", 250)]


@on_every_loop
async def test_answer_given_inside_process_counts():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            async with (await anext(consumer)).process() as message:
                await message.finish()
        assert nsqd.finished == [b"x"]


@on_every_loop
async def test_cancelled_block_gives_its_message_back_at_once_without_backing_off():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            with anyio.move_on_after(0.01):
                async with message.process():
                    await anyio.sleep_forever()
            await until(lambda: nsqd.requeued == [(b"x", 0)])
            assert consumer.stats().backoff_level == 0


@on_every_loop
async def test_answer_of_a_cancelled_task_is_not_lost():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await message.finish()
            assert scope.cancelled_caught
            await until(lambda: nsqd.finished == [b"x"])


@on_every_loop
async def test_run_handles_messages_with_bounded_workers():
    async with fake_nsqd() as (cluster, nsqd):
        bodies = [b"%d" % number for number in range(100)]
        nsqd.put(*bodies)
        busy, peak = 0, 0

        async def handle(message: Message) -> None:
            nonlocal busy, peak
            busy += 1
            peak = max(peak, busy)
            await anyio.sleep(0.001)
            busy -= 1

        async with (
            cluster.consumer(nsqd) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(lambda: consumer.run(handle, concurrency=7))
            await until(lambda: len(nsqd.finished) == 100)
            consumer.stop()
        assert sorted(nsqd.finished) == sorted(bodies)
        assert peak == 7


@on_every_loop
async def test_run_requeues_what_fails_and_goes_on(caplog):
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"bad", b"good")

        async def handle(message: Message) -> None:
            if message.body == b"bad":
                raise ValueError("not today")

        async with (
            cluster.consumer(nsqd) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(consumer.run, handle)
            await until(lambda: nsqd.finished)
            consumer.stop()
        assert (nsqd.requeued, nsqd.finished) == ([(b"bad", 1000)], [b"good"])
        assert "not today" in caplog.text


@pytest.mark.slow
@on_every_loop
async def test_cancelled_run_lets_handlers_end_within_the_drain_timeout():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"quick")
        started, cancelled = anyio.Event(), anyio.Event()

        async def handle(message: Message) -> None:
            started.set()
            await cancelled.wait()
            await anyio.sleep(0.02)

        async with cluster.consumer(nsqd, drain_timeout=600) as consumer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: consumer.run(handle, concurrency=3))
                await started.wait()
                tasks.cancel_scope.cancel()
                cancelled.set()
            nsqd.put(b"later")
            await (await anext(consumer)).finish()  # the consumer itself is still in use
        assert nsqd.finished == [b"quick", b"later"]


@on_every_loop
async def test_cancelled_run_requeues_what_takes_longer_than_the_drain_timeout():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"slow")
        started = anyio.Event()

        async def handle(message: Message) -> None:
            started.set()
            await anyio.sleep_forever()

        async with cluster.consumer(nsqd, drain_timeout=0.02) as consumer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: consumer.run(handle, concurrency=3))
                await started.wait()
                tasks.cancel_scope.cancel()
        assert (nsqd.finished, nsqd.requeued) == ([], [(b"slow", 0)])


@on_every_loop
async def test_leaving_gives_back_what_nobody_took_and_waits_for_what_is_in_hand():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(*[b"%d" % number for number in range(10)])
        async with anyio.create_task_group() as tasks:
            async with cluster.consumer(nsqd) as consumer:
                message = await anext(consumer)

                async def finish_later() -> None:
                    await until(lambda: len(nsqd.requeued) == 9)
                    await message.finish()

                tasks.start_soon(finish_later)
            assert nsqd.finished == [b"0"]
        assert sorted(nsqd.requeued) == [(b"%d" % number, 0) for number in range(1, 10)]
        assert nsqd.in_flight == 0


@on_every_loop
async def test_leaving_gives_back_what_is_still_in_hand_after_the_drain_timeout():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd, drain_timeout=0.05) as consumer:
            message = await anext(consumer)
        assert nsqd.requeued == [(b"x", 0)]
        with pytest.raises(AlreadyAnswered):
            await message.finish()


@on_every_loop
async def test_cancelling_the_scope_around_drains_and_says_goodbye():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"in hand", b"not taken")
        with anyio.CancelScope() as scope:
            async with cluster.consumer(nsqd) as consumer:
                message = await anext(consumer)
                async with message.process():
                    scope.cancel()
                    await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert sorted(nsqd.requeued) == [(b"in hand", 0), (b"not taken", 0)]
        assert nsqd.commands[-1] == "CLS"


@on_every_loop
async def test_stop_ends_every_iteration():
    async with fake_nsqd() as (cluster, nsqd):
        ended = []

        async with cluster.consumer(nsqd) as consumer:

            async def iterate() -> None:
                async for _ in consumer:
                    raise AssertionError
                ended.append(1)

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(iterate)
                await anyio.wait_all_tasks_blocked()
                consumer.stop()
        assert ended == [1, 1, 1]


@on_every_loop
async def test_many_takers_get_every_message_once():
    async with fake_nsqd() as (cluster, nsqd):
        seen: list[bytes] = []

        async with cluster.consumer(nsqd) as consumer:

            async def iterate() -> None:
                async for message in consumer:
                    seen.append(message.body)
                    await message.finish()

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(iterate)
                for number in range(200):
                    nsqd.put(b"%d" % number)
                    if number % 7 == 0:
                        await anyio.lowlevel.checkpoint()
                await until(lambda: len(seen) == 200)
                consumer.stop()
        assert sorted(seen) == sorted(b"%d" % number for number in range(200))


@pytest.mark.slow
@on_every_loop
async def test_taker_cancelled_at_the_wrong_moment_leaves_the_message_to_another():
    async with fake_nsqd() as (cluster, nsqd):
        async with cluster.consumer(nsqd) as consumer:
            got: list[Message] = []

            async def take(scope: anyio.CancelScope) -> None:
                with scope:
                    got.append(await anext(consumer))

            for number in range(5):
                async with anyio.create_task_group() as tasks:
                    scopes = [anyio.CancelScope(), anyio.CancelScope()]
                    for scope in scopes:
                        tasks.start_soon(take, scope)
                        await anyio.wait_all_tasks_blocked()
                    nsqd.put(b"%d" % number)
                    for _ in range(number):
                        await anyio.lowlevel.checkpoint()
                    scopes[0].cancel()
                    await until(lambda: got)
                    scopes[1].cancel()
                got.pop().finish_nowait()
            await until(lambda: len(nsqd.finished) == 5)


@pytest.mark.slow
@on_every_loop
async def test_consumption_goes_on_from_the_others_and_resumes_when_an_nsqd_is_back():
    async with fake_cluster() as cluster:
        a, b = cluster.nsqd("a:1"), cluster.nsqd("b:1")
        async with open_consumer(
            "orders", "billing", nsqd=["a:1", "b:1"], options=cluster.options(), max_in_flight=10
        ) as consumer:
            await until(lambda: (a.ready, b.ready) == (5, 5))
            a.up = False
            a.hang_up()
            await until(lambda: b.ready == 10)
            b.put(b"from b")
            await (await anext(consumer)).finish()
            a.up = True
            a.put(b"from a")
            message = await anext(consumer)
            assert message.body == b"from a"
            await message.finish()
            await until(lambda: (a.ready, b.ready) == (5, 5))


@on_every_loop
async def test_message_of_a_lost_connection_cannot_be_answered_and_is_not_handed_out():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"in hand", b"waiting")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            nsqd.hang_up()
            await until(lambda: consumer.stats().timed_out == 2)
            with pytest.raises(MessageExpired):
                await message.finish()
            again = [await anext(consumer), await anext(consumer)]
            assert sorted(m.body for m in again) == [b"in hand", b"waiting"]
            for message in again:
                await message.finish()


@on_every_loop
async def test_give_up_action_gets_what_has_failed_too_often():
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.put(b"poison", attempts=5)
        nsqd.put(b"fine", attempts=9)
        async with (
            open_producer("a:1", options=cluster.options()) as producer,
            open_consumer(
                "orders",
                "billing",
                nsqd="a:1",
                options=cluster.options(),
                max_attempts=5,
                on_give_up=dead_letter_to(producer, "dead"),
            ) as consumer,
        ):
            await (await anext(consumer)).requeue()
            message = await anext(consumer)
            assert message.body == b"fine", "delivered often, but here for the first time"
            await message.finish()
            await until(lambda: nsqd.published == [b"poison"])
            await until(lambda: consumer.stats().given_up == 1)
            assert consumer.stats().finished == 1
        assert sorted(nsqd.finished) == [b"fine", b"poison"]


@on_every_loop
async def test_message_is_requeued_when_the_give_up_action_fails(caplog):
    async def fail(message: Message) -> None:
        raise OSError("disk full")

    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"poison", attempts=6)
        async with cluster.consumer(nsqd, max_attempts=5, on_give_up=fail) as consumer:
            async with anyio.create_task_group() as tasks:
                await (await anext(consumer)).requeue()
                await until(lambda: nsqd.requeued)
                tasks.cancel_scope.cancel()
        assert nsqd.requeued == [(b"poison", 32_000)]
        assert "disk full" in caplog.text


@on_every_loop
async def test_batches_are_full_or_handed_over_in_time():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(*[b"%d" % number for number in range(25)])
        sizes = []
        async with cluster.consumer(nsqd) as consumer:
            async for batch in consumer.batches(max_size=10, max_wait=0.05):
                async with batch.process():
                    sizes.append(len(batch))
                if sum(sizes) == 25:
                    break
        assert sizes == [10, 10, 5]
        assert len(nsqd.finished) == 25


@on_every_loop
async def test_failed_batch_is_requeued_but_for_what_was_answered():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"1", b"2", b"3")
        async with cluster.consumer(nsqd) as consumer:
            batch = await anext(consumer.batches(max_size=3, max_wait=1))
            with pytest.raises(KeyError):  # noqa: PT012
                async with batch.process(requeue_delay=0.1):
                    await batch.messages[1].finish()
                    raise KeyError
        assert nsqd.finished == [b"2"]
        assert nsqd.requeued == [(b"1", 100), (b"3", 100)]


@on_every_loop
async def test_batch_cancelled_while_it_gathers_gives_its_messages_back():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"1", b"2")
        async with cluster.consumer(nsqd) as consumer:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, consumer.batches(max_size=3, max_wait=600))
                await until(lambda: consumer.stats().in_flight == 2)
                await anyio.wait_all_tasks_blocked()  # it has both, and waits for the third
                tasks.cancel_scope.cancel()
            await until(lambda: nsqd.requeued == [(b"1", 0), (b"2", 0)])


@pytest.mark.slow
@on_every_loop
async def test_max_in_flight_holds_over_all_connections_while_they_come_and_go():
    async with fake_cluster() as cluster:
        nsqds = [cluster.nsqd(f"n{number}:1") for number in range(4)]
        peaks: list[int] = []
        hooks = Hooks(received=lambda messages: peaks.append(consumer.stats().in_flight))
        for nsqd in nsqds:
            nsqd.put(*[b"x"] * 100)
        nsqds[3].up = False

        async def handle(message: Message) -> None:
            await anyio.sleep(0.0005)

        async with (
            open_consumer(
                "orders",
                "billing",
                nsqd=[nsqd.address for nsqd in nsqds],
                options=cluster.options(),
                max_in_flight=10,
                hooks=hooks,
            ) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(lambda: consumer.run(handle, concurrency=5))
            await until(lambda: nsqds[0].finished)
            nsqds[3].up = True
            nsqds[0].hang_up()
            await until(lambda: sum(len(nsqd.finished) for nsqd in nsqds) == 400)
            consumer.stop()
        assert max(peaks) <= 10


@on_every_loop
async def test_settings_reach_nsqd():
    async with fake_nsqd() as (cluster, nsqd):
        options = cluster.options(
            client_id="me", hostname="here", msg_timeout=2.5, sample_rate=10, user_agent="tests/1"
        )
        async with open_consumer("orders", "billing", nsqd=nsqd.address, options=options):
            await until(lambda: nsqd.identified)
        told = nsqd.identified[0]
        assert told["msg_timeout"] == 2500
        assert told["heartbeat_interval"] == 30_000
        assert (told["client_id"], told["hostname"], told["user_agent"]) == (
            "me",
            "here",
            "tests/1",
        )
        assert told["sample_rate"] == 10
        assert told["feature_negotiation"] is True


@on_every_loop
async def test_error_of_the_block_reaches_the_caller_as_it_is():
    async with fake_nsqd() as (cluster, nsqd):
        with pytest.raises(KeyError):
            async with cluster.consumer(nsqd):
                raise KeyError


@on_every_loop
async def test_hooks_hear_of_messages_and_wrap_their_handling():
    heard: list[object] = []

    class Span:
        def __enter__(self) -> None:
            heard.append("begin")

        def __exit__(self, *error: object) -> None:
            heard.append(error[0])

    hooks = Hooks(
        received=lambda messages: heard.append(len(messages)),
        answered=lambda message: heard.append(message.state.value),
        backed_off=heard.append,
        handling=lambda message: Span(),
        disconnected=lambda address, error: heard.append(type(error)),
    )
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd, hooks=hooks) as consumer:
            with pytest.raises(KeyError):
                async with (await anext(consumer)).process():
                    raise KeyError
            nsqd.hang_up()
            await until(lambda: ConnectionLost in heard)
    assert heard == [1, "begin", "requeued", 1, KeyError, ConnectionLost]


@pytest.mark.slow
@virtual_time
async def test_failures_slow_the_consumer_down_and_successes_speed_it_up_again():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        async with cluster.consumer(nsqd, max_in_flight=5) as consumer:
            await until(lambda: nsqd.ready == 5)
            nsqd.put(b"x")
            (await anext(consumer)).requeue_nowait()
            await until(lambda: nsqd.ready == 0)
            stopped = anyio.current_time()
            await until(lambda: nsqd.ready == 1)
            assert anyio.current_time() - stopped == pytest.approx(2, abs=0.1)
            nsqd.put(b"y")
            (await anext(consumer)).finish_nowait()
            await until(lambda: nsqd.ready == 5)


@virtual_time
async def test_message_is_touched_as_long_as_it_is_processed():
    async with fake_nsqd(identify={"msg_timeout": 10_000, "max_msg_timeout": 100_000}) as (
        cluster,
        nsqd,
    ):
        nsqd.put(b"x", b"y")
        async with cluster.consumer(nsqd) as consumer:
            async with (await anext(consumer)).process():
                await anyio.sleep(23)
                touches = len(nsqd.touched)
                assert 2 <= touches <= 12
            await anyio.sleep(25)
            assert nsqd.finished == [b"x"]
            assert len(nsqd.touched) == touches
            assert consumer.stats().timed_out == 1  # y, which nobody took in time


@pytest.mark.slow
@virtual_time
async def test_handler_that_hangs_is_cancelled_when_its_message_expires_and_the_worker_goes_on():
    async with fake_nsqd(identify={"msg_timeout": 10_000}) as (cluster, nsqd):
        nsqd.put(b"hang")
        ends: list[float] = []

        async def handle(message: Message) -> None:
            if message.body == b"hang":
                try:
                    await anyio.sleep_forever()
                finally:
                    ends.append(anyio.current_time())

        async with (
            cluster.consumer(nsqd) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(lambda: consumer.run(handle, auto_touch=False))
            await until(lambda: ends)
            assert ends == [pytest.approx(10, abs=0.1)]
            nsqd.put(b"next")
            await until(lambda: nsqd.finished == [b"next"])
            consumer.stop()


@virtual_time
async def test_blocked_event_loop_is_noticed(caplog):
    async with fake_nsqd() as (cluster, nsqd):
        async with cluster.consumer(nsqd) as consumer:
            await until(lambda: nsqd.ready)
            import trio

            clock = trio.lowlevel.current_clock()
            clock.jump(300)  # type: ignore[attr-defined]
            await anyio.sleep(1)
            assert "event loop was blocked" in caplog.text
            nsqd.put(b"x")
            (await anext(consumer)).finish_nowait()


@virtual_time
async def test_nsqd_that_was_silent_too_long_is_dialled_again():
    async with fake_nsqd() as (cluster, nsqd):
        async with cluster.consumer(nsqd) as consumer:
            await anyio.sleep(70)
            assert nsqd.dials == 2
            nsqd.put(b"x")
            (await anext(consumer)).finish_nowait()


@pytest.mark.slow
@on_every_loop
async def test_every_checkpoint_may_be_the_last():
    """Cancelled after any number of steps, nothing stays in flight and nothing is lost."""

    async def consume(nsqd: FakeNsqd, options: object) -> None:
        async with open_consumer(
            "orders",
            "billing",
            nsqd=nsqd.address,
            options=options,
            drain_timeout=0.5,  # type: ignore[arg-type]
        ) as consumer:
            async for message in consumer:
                async with message.process():
                    await anyio.lowlevel.checkpoint()

    for steps in range(60):
        async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
            nsqd.put(*[b"%d" % number for number in range(6)])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume, nsqd, cluster.options())
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await until(lambda nsqd=nsqd: not nsqd.sessions)
            accounted = nsqd.finished + [body for body, _ in nsqd.requeued]
            accounted += [record[26:] for record in nsqd.queue]
            assert sorted(accounted) == [b"%d" % number for number in range(6)]


@on_every_loop
async def test_hooks_that_raise_are_logged_and_change_nothing(caplog):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug in the hook")

    hooks = Hooks(
        connected=broken,
        disconnected=broken,
        received=broken,
        answered=broken,
        backed_off=broken,
        gave_up=broken,
        handling=broken,
    )
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"1", b"2", b"3")
        async with cluster.consumer(nsqd, hooks=hooks, max_attempts=1, on_give_up=drop) as consumer:
            async with (await anext(consumer)).process():
                pass
            with pytest.raises(KeyError):
                async with (await anext(consumer)).process():
                    raise KeyError
            batch = await anext(consumer.batches(max_size=1))
            async with batch.process():
                pass
            await until(lambda: len(nsqd.finished) == 3)
            nsqd.hang_up()
            await until(lambda: len(nsqd.subscriptions) == 2)
    assert "a bug in the hook" in caplog.text


@virtual_time
async def test_max_in_flight_may_change_and_zero_pauses():
    async with open_nsqd() as nsqd:
        nsqd.create_channel("orders", "billing")
        nsqd.publish("orders", *[b"x"] * 20)
        async with open_consumer(
            "orders", "billing", nsqd=nsqd.address, options=nsqd.options(), max_in_flight=5
        ) as consumer:

            async def in_flight() -> int:
                await anyio.sleep(5)
                return nsqd.counts("orders", "billing").in_flight

            assert await in_flight() == 5
            consumer.max_in_flight = 8
            assert await in_flight() == 8
            consumer.max_in_flight = 0
            for message in await consumer.take_many(6):
                await message.finish()
            assert await in_flight() == 2
            consumer.max_in_flight = 3
            assert await in_flight() == 3
            with pytest.raises(ValueError, match="max_in_flight"):
                consumer.max_in_flight = -1


@virtual_time
async def test_batch_whose_messages_all_expired_is_not_handed_over():
    async with open_nsqd(msg_timeout=1) as nsqd:
        nsqd.create_channel("orders", "billing")
        nsqd.publish("orders", b"x")
        async with open_consumer(
            "orders", "billing", nsqd=nsqd.address, options=nsqd.options()
        ) as consumer:
            batches = consumer.batches(max_size=10, max_wait=1.5)
            for _ in range(2):
                with anyio.move_on_after(10):
                    assert len(await anext(batches)) > 0


@on_every_loop
async def test_delay_that_is_none_means_none():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"1", b"2", b"3")
        async with cluster.consumer(nsqd, max_backoff=0) as consumer:
            for delay in (-1.0, math.nan, math.inf):
                await (await anext(consumer)).requeue(delay)
        assert nsqd.requeued == [(b"1", 0), (b"2", 0), (b"3", 3_600_000)]


def test_nonsense_is_refused():
    async def open_with(*args: object, **settings: object) -> None:
        async with open_consumer(*args, **settings):  # type: ignore[arg-type]
            raise AssertionError

    for args, settings in [
        (("orders", "billing"), {}),
        (("or ders", "billing"), {"nsqd": "a:1"}),
        (("orders", "bill ing"), {"nsqd": "a:1"}),
        (("orders", "billing"), {"nsqd": "a:1:b"}),
        (("orders", "billing"), {"nsqd": "a:1", "max_in_flight": 0}),
        (("orders", "billing"), {"nsqd": "a:1", "max_attempts": 0}),
        (("orders", "billing"), {"nsqd": "a:1", "ready": "fairly"}),
        (("orders", "billing"), {"lookupd": "a:1", "lookupd_poll_interval": 0}),
        (("orders", "billing"), {"lookupd": "a:1", "lookupd_poll_jitter": -1}),
        (("orders", "billing"), {"lookupd": "a:1", "lookupd_timeout": 0}),
        (("orders", "billing"), {"lookupd": "ftp://a:1"}),
        (("orders", "billing"), {"lookupd": "http://a:port"}),
        (("orders", "billing"), {"lookupd": ""}),
        ((None, "billing"), {"lookupd": "a:1"}),
        ((None, "billing"), {"nsqd": "a:1", "topics": "*"}),
        (("orders", "billing"), {"lookupd": "a:1", "topics": "*"}),
    ]:
        with pytest.raises(ValueError):  # noqa: PT011 - several texts
            anyio.run(lambda args=args, settings=settings: open_with(*args, **settings))
