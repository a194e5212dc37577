import json
from pathlib import Path

import anyio
import pytest
from tests.fakes.fake_nsqd import fake_nsqd, until
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import Message, archive, drop, open_consumer
from nsqd.testing import open_nsqd


@on_every_loop
async def test_archive_keeps_the_message_as_a_line_of_json(tmp_path: Path):
    path = tmp_path / "dead.jsonl"
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.put("grün".encode(), b"\xff\xfe", attempts=2)
        nsqd.put(b"alive")
        async with open_consumer(
            "orders",
            "billing",
            nsqd="a:1",
            options=cluster.options(),
            max_attempts=1,
            on_give_up=archive(path),
        ) as consumer:
            (await anext(consumer)).requeue_nowait()
            await until(lambda: len(nsqd.finished) == 1)
            (await anext(consumer)).requeue_nowait()
            (await anext(consumer)).finish_nowait()
            await until(lambda: len(nsqd.finished) == 3)
    text, binary = [json.loads(line) for line in path.read_text().splitlines()]
    assert text["body"] == "grün"
    assert binary["body_base64"] == "//4="
    assert (text["topic"], text["attempts"], text["nsqd"]) == ("orders", 2, "a:1")
    assert text["id"] == "0000000000000001"


@on_every_loop
async def test_dropping_is_logged(caplog):
    async with fake_nsqd("a:1") as (cluster, nsqd):
        nsqd.put(b"dead", b"alive")
        options = cluster.options()
        async with open_consumer(
            "orders", "billing", nsqd="a:1", options=options, max_attempts=1, on_give_up=drop
        ) as consumer:
            (await anext(consumer)).requeue_nowait()
            (await anext(consumer)).finish_nowait()
        assert sorted(nsqd.finished) == [b"alive", b"dead"]
    assert "giving up on it after 1 attempts" in caplog.text


@on_every_loop
async def test_max_attempts_says_what_becomes_of_the_messages():
    for settings in ({"max_attempts": 3}, {"on_give_up": drop}):
        with pytest.raises(ValueError, match="needs"):
            async with open_consumer("orders", "billing", nsqd="a:1", **settings):
                raise AssertionError


@pytest.mark.slow
@virtual_time
async def test_messages_in_the_buffer_do_not_expire_while_the_handler_goes_on():
    """A slow handler and many messages ahead of it: each is delivered once, tried once."""
    handled: list[tuple[bytes, int]] = []

    async def handle(message: Message) -> None:
        await anyio.sleep(2)
        handled.append((message.body, message.attempts))

    async with open_nsqd(msg_timeout=10) as nsqd:
        nsqd.create_channel("orders", "billing")
        nsqd.publish("orders", *[b"%d" % n for n in range(100)])
        async with (
            open_consumer(
                "orders",
                "billing",
                nsqd=nsqd.address,
                options=nsqd.options(),
                max_in_flight=100,
                max_attempts=2,
                on_give_up=drop,
            ) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(consumer.run, handle)
            await anyio.sleep(250)
            assert sorted(attempts for _, attempts in handled) == [1] * 100
            assert nsqd.counts("orders", "billing").timed_out == 0
            consumer.stop()


@pytest.mark.slow
@virtual_time
async def test_what_was_never_tried_is_never_given_up():
    """Consumers that come and go, and messages that expire in a buffer nobody takes from."""
    given_up: list[bytes] = []
    handled: list[bytes] = []

    async def give_up(message: Message) -> None:
        given_up.append(message.body)

    async with open_nsqd(msg_timeout=10) as nsqd:
        nsqd.create_channel("orders", "billing")
        nsqd.publish("orders", *[b"%d" % n for n in range(25)])
        settings = {"max_attempts": 3, "on_give_up": give_up, "max_backoff": 0}
        for _ in range(4):
            async with open_consumer(
                "orders", "billing", nsqd=nsqd.address, options=nsqd.options(), **settings
            ) as consumer:
                (await anext(consumer)).requeue_nowait(0, backoff=False)
                await anyio.sleep(100)  # all expire several times, for nobody takes one
        async with open_consumer(
            "orders", "billing", nsqd=nsqd.address, options=nsqd.options(), **settings
        ) as consumer:
            async for message in consumer:
                handled.append(message.body)
                await message.finish()
                if len(handled) == 25:
                    break
        assert given_up == []
        assert len(set(handled)) == 25


@pytest.mark.slow
@virtual_time
async def test_deliveries_nobody_tried_are_not_counted_as_attempts():
    tried: list[int] = []

    async def handle(message: Message) -> None:
        tried.append(message.attempts)
        raise ValueError

    async with open_nsqd(msg_timeout=10) as nsqd:
        nsqd.create_channel("orders", "billing")
        async with (
            open_consumer(
                "orders",
                "billing",
                nsqd=nsqd.address,
                options=nsqd.options(),
                max_attempts=3,
                on_give_up=drop,
                max_backoff=0,
                max_requeue_delay=1,
            ) as consumer,
            anyio.create_task_group() as tasks,
        ):
            nsqd.publish("orders", b"x")
            await anyio.sleep(100)
            assert consumer.stats().timed_out > 2
            tasks.start_soon(consumer.run, handle)
            await anyio.sleep(1000)
            assert len(tried) == 3
            assert consumer.stats().given_up == 1
            consumer.stop()


@pytest.mark.slow
@virtual_time
async def test_messages_that_wait_longer_than_nsqd_allows_are_handled_once_and_given_up_never():
    """Nsqd's longest timeout ended their waiting, or the handling soon after it."""
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        await anyio.sleep(3)
        handled.append(message.body)

    async with open_nsqd(msg_timeout=10, max_msg_timeout=30) as nsqd:
        nsqd.create_channel("orders", "billing")
        bodies = [b"%d" % n for n in range(100)]
        nsqd.publish("orders", *bodies)
        async with (
            open_consumer(
                "orders",
                "billing",
                nsqd=nsqd.address,
                options=nsqd.options(),
                max_in_flight=100,
                max_attempts=1,
                on_give_up=drop,
            ) as consumer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(consumer.run, handle)
            await anyio.sleep(310)
            assert sorted(handled) == sorted(bodies)
            assert nsqd.counts("orders", "billing").timed_out == 0
            assert consumer.stats().given_up == 0
            consumer.stop()
