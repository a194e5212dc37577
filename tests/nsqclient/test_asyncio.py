"""What programs of plain asyncio do: native cancellation, ``wait_for``, ``gather``."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.e2e.daemons import PATIENCE
from tests.fakes.fake_nsqd import fake_nsqd, until

from nsqclient import Consumer, Message, Producer, open_consumer, open_producer


def test_wait_for_gives_up_on_a_message_and_loses_none():
    async def main() -> None:
        async with fake_nsqd() as (cluster, nsqd):
            async with cluster.consumer(nsqd) as consumer:
                for number in range(5):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(anext(consumer), 0.01)
                    nsqd.put(b"%d" % number)
                    message = await asyncio.wait_for(anext(consumer), PATIENCE)
                    await message.finish()
            assert nsqd.finished == [b"0", b"1", b"2", b"3", b"4"]

    asyncio.run(main())


def test_cancelled_task_gives_its_messages_back_and_says_goodbye():
    async def main() -> None:
        async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
            nsqd.put(b"in hand", b"not taken")
            handling = asyncio.Event()

            async def consume() -> None:
                async with cluster.consumer(nsqd) as consumer:
                    async with (await anext(consumer)).process():
                        handling.set()
                        await asyncio.sleep(3600)

            task = asyncio.create_task(consume())
            await handling.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert sorted(nsqd.requeued) == [(b"in hand", 0), (b"not taken", 0)]
            assert nsqd.commands[-1] == "CLS"

    asyncio.run(main())


def test_cancelled_run_lets_its_handler_end():
    async def main() -> None:
        async with fake_nsqd() as (cluster, nsqd):
            nsqd.put(b"x")
            handling = asyncio.Event()

            async def handle(message: object) -> None:
                handling.set()
                await asyncio.sleep(0.05)

            async with cluster.consumer(nsqd) as consumer:
                task = asyncio.create_task(consumer.run(handle))
                await handling.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda: nsqd.finished == [b"x"])

    asyncio.run(main())


def test_gathered_publishes_all_arrive():
    async def main() -> None:
        async with fake_nsqd() as (cluster, nsqd):
            async with open_producer(nsqd.address, options=cluster.options()) as producer:
                await asyncio.gather(*(producer.publish("orders", b"%d" % n) for n in range(100)))
            assert len(nsqd.published) == 100

    asyncio.run(main())


def test_exit_of_the_program_is_not_wrapped():
    async def main() -> None:
        async with open_producer("127.0.0.1:1"):
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        asyncio.run(main())


def test_task_cancelled_again_and_again_still_says_goodbye():
    async def main() -> None:
        async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
            nsqd.put(b"in hand")
            handling = asyncio.Event()

            async def consume() -> None:
                async with cluster.consumer(nsqd, drain_timeout=0.2) as consumer:
                    await anext(consumer)
                    handling.set()
                    await asyncio.sleep(3600)

            task = asyncio.create_task(consume())
            await handling.wait()
            while not task.done():
                task.cancel()
                await asyncio.sleep(0.01)
            assert task.cancelled()
            assert nsqd.requeued == [(b"in hand", 0)]
            assert nsqd.commands[-1] == "CLS"
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_run_cancelled_twice_does_not_wait_for_its_handlers():
    async def main() -> None:
        async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
            nsqd.put(b"x")
            handling = asyncio.Event()

            async def handle(message: Message) -> None:
                handling.set()
                await asyncio.sleep(3600)

            async with cluster.consumer(nsqd, drain_timeout=600) as consumer:
                task = asyncio.create_task(consumer.run(handle))
                await handling.wait()
                for _ in range(2):
                    task.cancel()
                    await asyncio.sleep(0.01)
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert nsqd.requeued == [(b"x", 0)]

    asyncio.run(main())


def test_opened_in_one_task_and_closed_in_another():
    """As fixtures of pytest-asyncio and start-up hooks of frameworks do."""

    async def main() -> None:
        async with fake_nsqd() as (cluster, nsqd):
            nsqd.put(b"x")
            stack = AsyncExitStack()

            async def start() -> tuple[Producer, Consumer]:
                options = cluster.options()
                producer = open_producer(nsqd.address, options=options)
                consumer = open_consumer("orders", "billing", nsqd=nsqd.address, options=options)
                return (
                    await stack.enter_async_context(producer),
                    await stack.enter_async_context(consumer),
                )

            producer, consumer = await asyncio.create_task(start())
            await producer.publish("orders", b"y")
            await (await anext(consumer)).finish()
            await asyncio.create_task(stack.aclose())
            assert nsqd.commands[-1] == "CLS"
            assert nsqd.published == [b"y"]
            assert not nsqd.sessions

    asyncio.run(main())


def test_program_does_not_wait_for_a_name_server_that_hangs(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", _hangs(released))

    async def main() -> None:
        async with open_producer("slow.example:4150"):
            await asyncio.sleep(0.05)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 20
    released.set()


def _hangs(released: threading.Event) -> Callable[..., object]:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> object:
        if host == "slow.example" and not kwargs.get("flags"):
            released.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, port, *args, **kwargs)

    return getaddrinfo
