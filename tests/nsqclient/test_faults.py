"""The client against real daemons that are killed, stopped, slow and back again."""

from collections import Counter
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.fakes.fake_nsqd import until
from tests.nsqclient.backends import on_every_loop

from nsqclient import (
    ClientError,
    ConnectionLost,
    ConnectionOptions,
    Message,
    PublishError,
    open_consumer,
    open_producer,
)

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]

in_thread = anyio.to_thread.run_sync


async def consume_all(wanted: int, **settings: object) -> Counter[bytes]:
    """The bodies of the first ``wanted`` different messages, with how often each came."""
    seen: Counter[bytes] = Counter()
    async with open_consumer("orders", "billing", max_in_flight=200, **settings) as consumer:  # type: ignore[arg-type]
        async for message in consumer:
            async with message.process():
                seen[message.body] += 1
            if len(seen) == wanted:
                break
    return seen


@on_every_loop
async def test_each_publish_has_one_outcome_when_nsqds_are_killed_under_it(daemon: Daemons):
    nsqds = [daemon("nsqd"), daemon("nsqd")]
    outcomes: dict[bytes, list[str]] = {}
    stopping = False

    async def publish(worker: int) -> None:
        number = 0
        while not stopping:
            number += 1
            body = b"%d-%d" % (worker, number)
            results = outcomes.setdefault(body, [])
            try:
                with anyio.fail_after(PATIENCE):
                    await producer.publish("orders", body)
                results.append("ok")
            except ClientError as error:
                results.append(type(error).__name__)
                await anyio.sleep(0.01)

    def oks() -> int:
        return sum(results == ["ok"] for results in outcomes.values())

    async with open_producer([n.tcp for n in nsqds], wait_when_down=True) as producer:
        await producer.wait_until_connected()
        async with anyio.create_task_group() as tasks:
            for worker in range(32):
                tasks.start_soon(publish, worker)
            for nsqd in nsqds:
                before = oks()
                await until(lambda before=before: oks() > before + 100)
                await in_thread(nsqd.kill)
                if nsqd is nsqds[0]:  # the other one takes over
                    before = oks()
                    await until(lambda before=before: oks() > before + 100)
                await in_thread(nsqd.start)
            before = oks()
            await until(lambda: oks() > before + 100)
            stopping = True
    kinds = Counter(kind for results in outcomes.values() for kind in results)
    assert all(len(results) == 1 for results in outcomes.values())
    assert set(kinds) <= {"ok", "ConnectionLost"}


@on_every_loop
async def test_publish_to_a_killed_nsqd_fails_promptly(daemon: Daemons):
    nsqd = daemon("nsqd")
    async with open_producer(nsqd.tcp) as producer:
        await producer.publish("orders", b"x")
        await in_thread(nsqd.kill)
        with anyio.fail_after(PATIENCE), pytest.raises(ConnectionLost):
            await producer.publish("orders", b"y")


@on_every_loop
async def test_nothing_accepted_is_lost_when_an_nsqd_is_stopped_and_started_again(daemon: Daemons):
    nsqds = [daemon("nsqd"), daemon("nsqd")]
    accepted: list[bytes] = []

    async def publish(worker: int) -> None:
        for number in range(100):
            body = b"%d-%d" % (worker, number)
            try:
                await producer.publish("orders", body)
                accepted.append(body)
            except ConnectionLost:
                await anyio.sleep(0.01)

    async with open_producer([n.tcp for n in nsqds], wait_when_down=True) as producer:
        await producer.publish("orders", b"first")
        async with anyio.create_task_group() as tasks:
            for worker in range(20):
                tasks.start_soon(publish, worker)
            await until(lambda: len(accepted) > 500)
            assert await in_thread(nsqds[0].terminate) == 0
            await in_thread(nsqds[0].start)
    wanted = set(accepted)
    seen: set[bytes] = set()
    async with open_consumer(
        "orders", "billing", nsqd=[n.tcp for n in nsqds], max_in_flight=200
    ) as consumer:
        async for message in consumer:
            async with message.process():
                seen.add(message.body)
            if wanted <= seen:
                break


@on_every_loop
async def test_consumption_survives_a_killed_nsqd_and_resumes_when_it_is_back(daemon: Daemons):
    lookupd = daemon("nsqlookupd")
    flag = f"--lookupd-tcp-address={lookupd.tcp}"
    nsqds = [daemon("nsqd", flag), daemon("nsqd", flag)]
    for nsqd in nsqds:
        await in_thread(nsqd.create, "orders", "billing")
    seen: set[bytes] = set()

    async def handle(message: Message) -> None:
        seen.add(message.body)

    async with (
        open_consumer(
            "orders", "billing", lookupd=lookupd.http, lookupd_poll_interval=0.2
        ) as consumer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(consumer.run, handle)
        await until(lambda: consumer.stats().connections == 2)
        await in_thread(nsqds[0].kill)
        await in_thread(nsqds[1].post, "/pub?topic=orders", b"from the other")
        await until(lambda: b"from the other" in seen)
        await in_thread(nsqds[0].start)
        await in_thread(nsqds[0].post, "/pub?topic=orders", b"back again")
        await until(lambda: b"back again" in seen)
        await in_thread(lookupd.kill)
        await in_thread(nsqds[0].post, "/pub?topic=orders", b"without nsqlookupd")
        await until(lambda: b"without nsqlookupd" in seen)
        consumer.stop()


@on_every_loop
async def test_message_of_a_handler_that_raises_hangs_or_is_cancelled_comes_again(daemon: Daemons):
    nsqd = daemon("nsqd")
    for body in (b"raise", b"hang", b"cancel", b"fine"):
        await in_thread(nsqd.post, "/pub?topic=orders", body)
    attempts: Counter[bytes] = Counter()

    async def handle(message: Message) -> None:
        attempts[message.body] += 1
        if attempts[message.body] > 1 or message.body == b"fine":
            return
        if message.body == b"raise":
            raise ValueError("once")
        if message.body == b"hang":
            await anyio.sleep_forever()
        with anyio.move_on_after(0.01):
            async with message.process():
                await anyio.sleep_forever()

    async with (
        open_consumer(
            "orders",
            "billing",
            nsqd=nsqd.tcp,
            options=ConnectionOptions(msg_timeout=1.0),
            requeue_delay=0.1,
            max_backoff=0,
        ) as consumer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(lambda: consumer.run(handle, concurrency=2, auto_touch=False))
        await until(lambda: all(attempts[body] > 1 for body in (b"raise", b"hang", b"cancel")))
        await in_thread(wait_until, lambda: is_finished(nsqd))
        consumer.stop()
    assert is_finished(nsqd)


def is_finished(nsqd: Daemon) -> bool:
    channel = nsqd.channel("orders", "billing")
    return not channel["depth"] + channel["in_flight_count"] + channel["deferred_count"]


@on_every_loop
async def test_leaving_leaves_nothing_in_flight_at_nsqd(daemon: Daemons):
    nsqd = daemon("nsqd")
    async with open_producer(nsqd.tcp) as producer:
        await producer.publish_many("orders", [b"%d" % n for n in range(500)])
    async with open_consumer("orders", "billing", nsqd=nsqd.tcp, max_in_flight=100) as consumer:
        for _ in range(50):
            await (await anext(consumer)).finish()
    channel = await in_thread(nsqd.channel, "orders", "billing")
    assert (channel["depth"], channel["in_flight_count"]) == (450, 0)
    assert len(await consume_all(450, nsqd=nsqd.tcp)) == 450


@on_every_loop
async def test_message_over_the_limit_is_refused_and_the_others_get_through(daemon: Daemons):
    nsqd = daemon("nsqd", "--max-msg-size=1000")
    outcomes: list[str] = []

    async def publish(body: bytes) -> None:
        try:
            await producer.publish("orders", body)
            outcomes.append("ok")
        except PublishError as error:
            outcomes.append(error.code)

    async with open_producer(nsqd.tcp, wait_when_down=True) as producer:
        await producer.publish("orders", b"first")
        async with anyio.create_task_group() as tasks:
            for size in (10, 20, 1001, 30, 40):
                tasks.start_soon(publish, b"x" * size)
    assert sorted(outcomes) == ["E_BAD_MESSAGE", "ok", "ok", "ok", "ok"]


@pytest.mark.parametrize("what", ["topic", "channel"])
@on_every_loop
async def test_what_is_deleted_under_a_consumer_stays_deleted(daemon: Daemons, what: str):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    await in_thread(nsqd.create, "orders", "billing")
    await in_thread(nsqd.create, "orders", "other")
    path = f"/{what}/delete?topic=orders" + ("&channel=billing" if what == "channel" else "")
    async with open_consumer("orders", "billing", lookupd=lookupd.http) as consumer:
        with anyio.fail_after(PATIENCE):
            await consumer.wait_until_connected()
        await anyio.sleep(0.5)  # a program that has worked for a moment
        for one in (lookupd, nsqd):
            await in_thread(one.post, path, b"")
        await until(lambda: not consumer.stats().connections)
        await anyio.sleep(2)
        assert not await in_thread(nsqd.channel, "orders", "billing")
