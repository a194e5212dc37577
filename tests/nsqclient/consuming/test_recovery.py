"""One message, one nsqd, one nsqlookupd or one argument is bad; everything else goes on."""

import json
import math
import os
import signal
import threading
import time
from datetime import timedelta

import anyio
import pytest
from tests.e2e.daemons import PATIENCE
from tests.fakes.fake_lookupd import FakeLookupd, fake_lookupd
from tests.fakes.fake_nsqd import fake_cluster, fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import (
    AuthFailed,
    Closed,
    ConnectionOptions,
    Hooks,
    HttpError,
    Message,
    MessageExpired,
    NsqdHttp,
    ProtocolError,
    State,
    open_consumer,
    open_producer,
)
from nsqclient.consuming import flow_control
from nsqclient.http import polling
from nsqcore.wire.errors import BadBody, FinFailed, SubFailed
from nsqcore.wire.frames import error_frame
from nsqd.testing import open_nsqd


@pytest.mark.slow
@virtual_time
async def test_batches_of_several_nsqds_do_not_wait_for_messages_that_cannot_come():
    """Each connection has its part of max_in_flight; together they never fill a batch of 100."""
    async with fake_cluster() as cluster:
        nsqds = [cluster.nsqd(f"n{number}:1") for number in range(3)]
        for nsqd in nsqds:
            nsqd.put(*[b"x"] * 1000)
        count = 0
        async with open_consumer(
            "orders", "billing", nsqd=[n.address for n in nsqds], options=cluster.options()
        ) as consumer:
            await until(lambda: len(consumer._control.subscribed) == 3)
            began = anyio.current_time()
            async for batch in consumer.batches(max_size=100, max_wait=1.0):
                await batch.finish()
                count += len(batch)
                if count == 3000:
                    break
            assert anyio.current_time() - began < 5


@pytest.mark.slow
@on_every_loop
async def test_batches_of_one_busy_nsqd_do_not_wait_for_idle_ones():
    """The busy one may send a third of max_in_flight, and the others have nothing."""
    async with fake_cluster() as cluster:
        nsqds = [cluster.nsqd(f"n{number}:1") for number in range(3)]
        nsqds[1].put(*[b"x"] * 1000)
        count = 0
        async with open_consumer(
            "orders", "billing", nsqd=[n.address for n in nsqds], options=cluster.options()
        ) as consumer:
            await until(lambda: len(consumer._control.subscribed) == 3)
            began = anyio.current_time()
            async for batch in consumer.batches(max_size=100, max_wait=1.0):
                await batch.finish()
                count += len(batch)
                if count == 1000:
                    break
            assert anyio.current_time() - began < 5


@on_every_loop
async def test_batches_that_never_fill_are_warned_of_and_follow_max_in_flight(caplog):
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(*[b"x"] * 100)
        async with cluster.consumer(nsqd, max_in_flight=5, drain_timeout=0.1) as consumer:
            batches = consumer.batches(max_size=20, max_wait=60)
            assert "never fill" in caplog.text
            first = await anext(batches)
            assert len(first) == 5
            consumer.max_in_flight = 20
            await first.finish()
            await until(lambda: nsqd.in_flight == 20)
            assert len(await anext(batches)) == 20


def knows(lookupd: FakeLookupd, channels: list[str], *nsqds: str) -> None:
    lookupd.knows("orders", *nsqds)
    answer = json.loads(lookupd.answers["/lookup?topic=orders"])
    lookupd.answers["/lookup?topic=orders"] = json.dumps({**answer, "channels": channels}).encode()


@on_every_loop
async def test_deleted_topic_does_not_come_back():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        knows(lookupd, ["billing"], "a:1")
        async with open_consumer(
            "orders", "billing", lookupd=lookupd.address, options=cluster.options()
        ):
            await until(lambda: nsqd.subscriptions)
            del lookupd.answers["/lookup?topic=orders"]
            nsqd.hang_up()
            await anyio.sleep(1.5)
            assert len(nsqd.subscriptions) == 1
            # It comes again by itself when somebody makes it anew.
            knows(lookupd, [], "a:1")
            await until(lambda: len(nsqd.subscriptions) == 2)


@on_every_loop
async def test_deleted_channel_does_not_come_back():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        knows(lookupd, ["billing", "other"], "a:1")
        async with open_consumer(
            "orders", "billing", lookupd=lookupd.address, options=cluster.options()
        ):
            await until(lambda: nsqd.subscriptions)
            knows(lookupd, ["other"], "a:1")
            nsqd.hang_up()
            await anyio.sleep(1.5)
            assert len(nsqd.subscriptions) == 1


@on_every_loop
async def test_nsqd_that_restarts_is_found_again_soon():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        nsqd = cluster.nsqd("a:1")
        cluster.nsqd("b:1")
        knows(lookupd, ["billing"], "a:1", "b:1")
        async with open_consumer(
            "orders", "billing", lookupd=lookupd.address, options=cluster.options()
        ):
            await until(lambda: nsqd.subscriptions)
            knows(lookupd, ["billing"], "b:1")
            nsqd.hang_up()
            await anyio.sleep(0.3)
            knows(lookupd, ["billing"], "a:1", "b:1")
            with anyio.fail_after(30):  # the next poll would be in a minute
                await until(lambda: len(nsqd.subscriptions) == 2)


@on_every_loop
async def test_answer_of_an_nsqlookupd_that_is_away_no_longer_counts_while_another_answers():
    async with fake_cluster() as cluster, fake_lookupd() as one, fake_lookupd() as two:
        gone, here = cluster.nsqd("gone:1"), cluster.nsqd("here:1")
        knows(one, ["billing"], "gone:1")
        knows(two, ["billing"], "here:1")
        async with open_consumer(
            "orders",
            "billing",
            lookupd=[one.address, two.address],
            lookupd_poll_interval=0.05,
            options=cluster.options(),
        ):
            await until(lambda: gone.subscriptions and here.subscriptions)
            one.answers["/lookup?topic=orders"] = b"nonsense"
            gone.hang_up()
            await anyio.sleep(1.0)
            assert gone.dials == 1


@virtual_time
async def test_attempts_at_an_nsqd_that_does_not_answer_become_rarer():
    dials = 0

    async def dial(address: str) -> object:
        nonlocal dials
        dials += 1
        await anyio.sleep_forever()
        raise AssertionError

    options = ConnectionOptions(dial=dial, connect_timeout=5)  # type: ignore[arg-type]
    async with open_consumer("orders", "billing", nsqd="a:1", options=options):
        await anyio.sleep(600)
    assert dials < 600 / 15


@on_every_loop
async def test_late_answer_is_told_and_not_counted():
    async with fake_nsqd(identify={"msg_timeout": 50}) as (cluster, nsqd):
        nsqd.put(b"x", b"y")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            time.sleep(0.1)  # noqa: ASYNC251, TID251 - a program that blocks its loop
            with pytest.raises(MessageExpired):
                await message.finish()
            assert message.state is State.EXPIRED
            assert consumer.stats().finished == 0


@on_every_loop
async def test_answers_that_nsqd_did_not_take_are_counted(caplog):
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            await (await anext(consumer)).finish()
            for _ in range(20):
                nsqd.sessions[0].send(error_frame(FinFailed("FIN 0 failed ID not in flight")))
            await until(lambda: consumer.stats().refused_answers == 20)
    assert caplog.text.count("E_FIN_FAILED") <= 1


@on_every_loop
async def test_finish_on_a_connection_that_is_dead_is_no_success():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            [subscription] = consumer._control.subscriptions.values()
            subscription.connection.fail(ProtocolError("it is dead"))
            with pytest.raises(MessageExpired):
                message.finish_nowait()
            assert consumer.stats().finished == 0


@on_every_loop
async def test_handler_is_cancelled_when_its_connection_is_lost():
    cancelled: list[bytes] = []
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        if message.body == b"hang" and not cancelled:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.append(message.body)
        handled.append(message.body)

    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"hang")
        async with (
            cluster.consumer(nsqd) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(consumer.run, handle)
            await until(lambda: consumer.stats().in_flight == 1)
            await anyio.wait_all_tasks_blocked()
            nsqd.hang_up()
            await until(lambda: handled == [b"hang"])
            assert cancelled == [b"hang"]
            consumer.stop()


def plain(message: Message) -> None:
    raise AssertionError("never called")


@on_every_loop
async def test_handler_that_is_no_async_function_is_refused_at_once():
    async def generator(message: Message):
        yield message

    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            for handler in (plain, generator, None, "handle"):
                with pytest.raises(TypeError):
                    await consumer.run(handler)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="async def"):
                await consumer.run(lambda message: None)  # type: ignore[arg-type,return-value]
            await until(lambda: nsqd.requeued == [(b"x", 0)])


@on_every_loop
async def test_exit_of_the_program_in_a_handler_comes_out_of_run_as_it_is():
    async def handle(message: Message) -> None:
        raise SystemExit(3)

    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer:
            with pytest.raises(SystemExit):
                await consumer.run(handle, concurrency=3)
            await until(lambda: nsqd.requeued == [(b"x", 0)])


@on_every_loop
async def test_answer_from_another_thread_is_refused_and_the_message_stays_open():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x", b"y")
        errors: list[Exception] = []

        def answer() -> None:
            try:
                message.finish_nowait()
            except RuntimeError as error:
                errors.append(error)

        async with cluster.consumer(nsqd) as consumer:
            message = await anext(consumer)
            thread = threading.Thread(target=answer)
            thread.start()
            thread.join()
            assert "another thread" in str(errors[0])
            assert message.state is State.OPEN
            await message.finish()
            await (await anext(consumer)).finish()
            await until(lambda: nsqd.finished == [b"x", b"y"])


@on_every_loop
async def test_durations_may_be_timedeltas_and_nothing_else_is_taken_for_one():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b"1", b"2")
        async with open_consumer(
            "orders",
            "billing",
            nsqd=nsqd.address,
            options=cluster.options(heartbeat_interval=timedelta(seconds=10)),
            requeue_delay=timedelta(seconds=2),
            max_backoff=0,
        ) as consumer:
            message = await anext(consumer)
            for wrong in ("1", b"1", [1], True):
                with pytest.raises(TypeError):
                    await message.requeue(wrong)  # type: ignore[arg-type]
                assert message.state is State.OPEN
            await message.requeue(timedelta(milliseconds=1500))
            await (await anext(consumer)).requeue()
            await until(lambda: nsqd.requeued == [(b"1", 1500), (b"2", 2000)])
        assert nsqd.identified[0]["heartbeat_interval"] == 10_000


@on_every_loop
async def test_stop_in_a_signal_handler_ends_the_iteration_at_once(monkeypatch):
    monkeypatch.setattr(flow_control, "LONGEST_SLEEP", 3600.0)  # nothing else wakes the loop
    async with fake_nsqd() as (cluster, nsqd):
        async with cluster.consumer(nsqd) as consumer:
            await consumer.wait_until_connected()
            before = signal.signal(signal.SIGUSR1, lambda *_: consumer.stop())
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            try:
                began = time.monotonic()
                async for _ in consumer:
                    raise AssertionError
                assert time.monotonic() - began < 10
            finally:
                timer.join()
                signal.signal(signal.SIGUSR1, before)


@on_every_loop
async def test_stop_from_another_thread_gives_nothing_out_any_more():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(*[b"x"] * 10)
        async with cluster.consumer(nsqd) as consumer:
            await (await anext(consumer)).finish()
            await anyio.to_thread.run_sync(consumer.stop)
            with pytest.raises(StopAsyncIteration):
                await anext(consumer)
            assert await consumer.take_many(5) == []
            await until(lambda: len(nsqd.requeued) == 9)


@on_every_loop
async def test_wait_until_connected_returns_raises_or_ends_with_the_consumer():
    async with fake_cluster() as cluster:
        cluster.nsqd("a:1")
        cluster.nsqd("down:1", up=False)
        options = cluster.options()
        async with open_consumer("orders", "billing", nsqd="a:1", options=options) as consumer:
            await consumer.wait_until_connected()
            consumer.stop()
        async with open_consumer("orders", "billing", nsqd="down:1", options=options) as consumer:
            with anyio.move_on_after(0.05) as scope:
                await consumer.wait_until_connected()
            assert scope.cancelled_caught
            consumer.stop()
            with pytest.raises(Closed):
                await consumer.wait_until_connected()


@on_every_loop
async def test_consumer_that_no_nsqd_will_ever_take_says_so():
    async with fake_cluster() as cluster:
        cluster.nsqd("a:1", identify={"auth_required": True})
        async with open_consumer(
            "orders", "billing", nsqd="a:1", options=cluster.options()
        ) as consumer:
            with anyio.fail_after(PATIENCE), pytest.raises(AuthFailed):
                await anext(consumer)
            with pytest.raises(AuthFailed):
                await consumer.run(lambda message: message.finish())
            with pytest.raises(AuthFailed):
                await consumer.wait_until_connected()


@on_every_loop
@pytest.mark.parametrize("answer", [b"<html>", b"[1]", b'{"topics": []}'])
async def test_consumer_whose_nsqlookupds_are_none_says_so(monkeypatch, answer):
    monkeypatch.setattr(polling, "WRONG_FOR", 0.1)
    async with fake_lookupd() as lookupd:
        lookupd.default = answer
        async with open_consumer("orders", "billing", lookupd=lookupd.address) as consumer:
            with anyio.fail_after(PATIENCE), pytest.raises(HttpError):
                await anext(consumer)
            with pytest.raises(HttpError):
                await consumer.wait_until_connected()


@on_every_loop
async def test_tcp_port_given_for_an_nsqlookupd_is_told(monkeypatch):
    monkeypatch.setattr(polling, "WRONG_FOR", 0.1)
    async with fake_lookupd() as lookupd:
        lookupd.raw = b"\x00\x00\x00\x0f\x00\x00\x00\x01E_BAD_PROTOCOL"
        async with open_consumer("orders", "billing", lookupd=lookupd.address) as consumer:
            with anyio.fail_after(PATIENCE), pytest.raises(HttpError, match="illegal"):
                await consumer.wait_until_connected()


@on_every_loop
async def test_nsqlookupd_that_may_come_back_is_waited_for_beside_a_wrong_one(monkeypatch):
    monkeypatch.setattr(polling, "WRONG_FOR", 0.0)
    async with fake_cluster() as cluster, fake_lookupd() as away, fake_lookupd() as wrong:
        cluster.nsqd("a:1").put(b"x")
        away.raw, wrong.default = b"", b"[]"
        lookupds = [away.address, wrong.address]
        async with open_consumer(
            "orders", "billing", lookupd=lookupds, options=cluster.options()
        ) as consumer:
            await until(lambda: len(wrong.asked) >= 3 and len(away.asked) >= 3)
            away.raw = None
            away.knows("orders", "a:1")
            with anyio.fail_after(PATIENCE):
                await (await anext(consumer)).finish()


@on_every_loop
async def test_subscription_that_is_refused_for_good_is_told_and_one_that_may_pass_is_not():
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.on_subscribe = error_frame(BadBody("no"))
        options = cluster.options()
        async with open_consumer("orders", "billing", nsqd="a:1", options=options) as consumer:
            with anyio.fail_after(PATIENCE), pytest.raises(ProtocolError, match="E_BAD_BODY"):
                await anext(consumer)
        nsqd.on_subscribe = error_frame(SubFailed("too many consumers"))
        async with open_consumer("orders", "billing", nsqd="a:1", options=options) as consumer:
            with anyio.move_on_after(0.3):
                await anext(consumer)
            nsqd.on_subscribe = None
            nsqd.put(b"x")
            await (await anext(consumer)).finish()


@on_every_loop
async def test_one_nsqd_that_refuses_us_does_not_spoil_the_others():
    async with fake_cluster() as cluster:
        cluster.nsqd("strict:1", identify={"auth_required": True})
        nsqd = cluster.nsqd("a:1")
        nsqd.put(b"x")
        async with open_consumer(
            "orders", "billing", nsqd=["strict:1", "a:1"], options=cluster.options()
        ) as consumer:
            await (await anext(consumer)).finish()
            await until(lambda: nsqd.finished == [b"x"])


@on_every_loop
async def test_handling_wraps_each_way_of_handling_in_one_order():
    events: list[str] = []

    class Span:
        def __enter__(self) -> None:
            events.append("begin")

        def __exit__(self, *_: object) -> None:
            events.append("end")

    hooks = Hooks(
        handling=lambda message: Span(), answered=lambda message: events.append("answered")
    )
    whole = ["begin", "handle", "answered", "end"]

    async def handle(message: Message) -> None:
        events.append("handle")
        consumer.stop()

    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"1", b"2", b"3")
        async with cluster.consumer(nsqd, hooks=hooks, max_in_flight=1) as consumer:
            async with (await anext(consumer)).process():
                events.append("handle")
            batch = await anext(consumer.batches(max_size=1))
            async with batch.process():
                events.append("handle")
            await consumer.run(handle)
    assert events == whole * 3


@on_every_loop
async def test_more_connections_than_messages_in_flight_are_warned_of(caplog):
    async with fake_cluster() as cluster:
        addresses = [cluster.nsqd(f"n{number}:1").address for number in range(5)]
        async with open_consumer(
            "orders", "billing", nsqd=addresses, options=cluster.options(), max_in_flight=2
        ):
            await anyio.wait_all_tasks_blocked()
    assert "max_in_flight 2 is less than 5 connections" in caplog.text


@on_every_loop
async def test_topics_of_a_pattern_are_looked_up_side_by_side():
    under_way, most = 0, 0

    async def slow() -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0.05)
        under_way -= 1
        return b'{"channels": [], "producers": []}'

    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        names = [f"t{number}" for number in range(20)]
        lookupd.answers["/topics"] = json.dumps({"topics": names}).encode()
        lookupd.default = slow
        async with open_consumer(
            channel="billing", topics="t*", lookupd=lookupd.address, options=cluster.options()
        ):
            await until(lambda: len(lookupd.asked) >= 21)
    assert most > 3


@pytest.mark.slow
@virtual_time
async def test_thousands_of_nsqds_are_not_dialled_at_the_same_moment():
    moments: list[float] = []

    async def dial(address: str) -> object:
        moments.append(anyio.current_time())
        raise ConnectionRefusedError

    options = ConnectionOptions(dial=dial)  # type: ignore[arg-type]
    addresses = [f"n{number}:1" for number in range(2000)]
    async with open_consumer("orders", "billing", nsqd=addresses, options=options):
        await anyio.sleep(1)
    assert max(moments.count(moment) for moment in set(moments)) < 100


@on_every_loop
async def test_event_loop_that_was_blocked_is_told(caplog):
    async with fake_nsqd() as (cluster, nsqd):
        async with cluster.consumer(nsqd) as consumer:
            await consumer.wait_until_connected()
            await anyio.sleep(0.05)
            time.sleep(3.5)  # noqa: ASYNC251, TID251 - a program that blocks its loop
            await until(lambda: "event loop was blocked" in caplog.text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"heartbeat_interval": math.inf},
        {"heartbeat_interval": 0},
        {"heartbeat_interval": "30"},
        {"user_agent": b"x"},
        {"client_id": 7},
        {"hostname": "\ud800"},
        {"tls": "yes"},
        {"deflate": 10},
        {"deflate": True},
        {"snappy": 1},
        {"auth_secret": b"secret"},
        {"sample_rate": 100},
        {"sample_rate": 1.5},
        {"msg_timeout": -1},
        {"msg_timeout": math.nan},
        {"output_buffer_size": "1"},
        {"output_buffer_timeout": math.inf},
        {"connect_timeout": 0},
        {"max_reconnect_delay": None},
        {"dial": 1},
    ],
    ids=str,
)
def test_wrong_settings_of_a_connection_are_refused_where_they_are_given(wrong: dict):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        ConnectionOptions(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nsqd": "http://a:4151"},
        {"nsqd": b"a:1"},
        {"nsqd": 4150},
        {"nsqd": [None]},
        {"nsqd": "a..b:4150"},
        {"nsqd": "a:99999"},
        {"lookupd": "a..b:4161"},
        {"lookupd": "127.0.0.1:99999"},
        {"lookupd": "ftp://a"},
        {"max_in_flight": 0},
        {"max_in_flight": 2.5},
        {"max_in_flight": "25"},
        {"ready": "best"},
        {"ready": 3},
        {"max_attempts": 0},
        {"max_attempts": 2.0},
        {"requeue_delay": None},
        {"requeue_delay": -1},
        {"max_requeue_delay": "1"},
        {"max_backoff": math.nan},
        {"backoff_unit": 0},
        {"drain_timeout": None},
        {"lookupd_poll_interval": 0},
        {"lookupd_timeout": "5"},
        {"lookupd_tls": True},
        {"options": {}, "nsqd": "a:1"},
        {"options": 5},
        {"hooks": print},
    ],
    ids=str,
)
@on_every_loop
async def test_wrong_arguments_of_a_consumer_are_refused_at_the_call(wrong: dict):
    async def action(message: Message) -> None: ...

    settings = {"nsqd": "a:1", **wrong}
    if "max_attempts" in wrong:
        settings["on_give_up"] = action
    if wrong.get("options") == {}:
        settings["options"] = {"tls": True}
    with pytest.raises((TypeError, ValueError)):
        async with open_consumer("orders", "billing", **settings):
            raise AssertionError


@pytest.mark.parametrize(
    "wrong",
    [
        {"nsqd": "http://a:4151"},
        {"nsqd": []},
        {"nsqd": b"a:1"},
        {"nsqd": "a:99999"},
        {"resend": "yes"},
        {"wait_when_down": 1},
        {"options": "x"},
        {"hooks": print},
    ],
    ids=str,
)
@on_every_loop
async def test_wrong_arguments_of_a_producer_are_refused_at_the_call(wrong: dict):
    with pytest.raises((TypeError, ValueError)):
        async with open_producer(**{"nsqd": "a:1", **wrong}):
            raise AssertionError


def test_hooks_that_are_no_functions_are_refused():
    with pytest.raises(TypeError, match="connected"):
        Hooks(connected="print")  # type: ignore[arg-type]


@on_every_loop
async def test_http_interfaces_can_be_opened_again():
    async with fake_lookupd() as server:
        server.answers["/ping"] = b"OK"
        nsqd = NsqdHttp(server.address)
        for _ in range(2):
            async with nsqd:
                await nsqd.ping()
        assert server.asked == ["/ping", "/ping"]


@on_every_loop
async def test_nsqlookupd_gets_the_secret_as_the_original_sends_it():
    async with fake_cluster() as cluster, fake_lookupd() as lookupd:
        options = cluster.options(auth_secret="sesame")
        async with open_consumer("orders", "billing", lookupd=lookupd.address, options=options):
            await until(lambda: lookupd.asked)
        assert b"authorization: bearer sesame" in lookupd.heads[0].lower()
        lookupd.heads.clear()
        options = cluster.options(auth_secret="sesame", lookupd_authorization=False)
        async with open_consumer("orders", "billing", lookupd=lookupd.address, options=options):
            await until(lambda: lookupd.heads)
        assert b"sesame" not in lookupd.heads[0]


@pytest.mark.slow
@virtual_time
async def test_consumers_get_every_message_once_while_one_nsqd_comes_and_goes():
    async with open_nsqd() as nsqd:
        nsqd.create_channel("orders", "billing")
        seen: list[bytes] = []
        async with (
            open_producer(nsqd.address, options=nsqd.options(), wait_when_down=True) as producer,
            open_consumer(
                "orders", "billing", nsqd=nsqd.address, options=nsqd.options()
            ) as consumer,
            anyio.create_task_group() as tasks,
        ):

            async def handle(message: Message) -> None:
                seen.append(message.body)

            tasks.start_soon(consumer.run, handle)
            for number in range(20):
                await producer.publish("orders", b"%d" % number)
                await anyio.sleep(1)
                nsqd.hang_up()
                await anyio.sleep(1)
            await until(lambda: len(seen) == 20)
            consumer.stop()
        assert len(set(seen)) == 20
