"""Cancelled at any of its steps, a call leaves nothing behind and nothing undecided.

Each call is made again and again, cancelled at its first step, its second, and
so on until it is no longer cut short. Steps are counted in two ways: those of
the calling task, from one yield to the event loop to the next, and those of the
loop itself, which fall between the steps of the tasks behind the call. The nsqd
is the real engine, in memory.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import define
from tests.e2e.daemons import PATIENCE
from tests.nsqclient.backends import on_every_loop

from nsqclient import Consumer, Hooks, Message, Producer, State, open_consumer, open_producer
from nsqd.testing import Nsqd, open_nsqd

TOPIC, CHANNEL = "orders", "billing"


@define(eq=False)
class Steps:
    """An awaitable that runs ``call`` and cancels ``scope`` at its step number ``last``."""

    call: Callable[[], Any]
    scope: anyio.CancelScope
    last: int

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self.call().__await__()
        resume, value = inner.send, None
        for step in range(10**6):
            try:
                trap = resume(value)
            except StopIteration as end:
                return end.value
            if step == self.last:
                self.scope.cancel()
            try:
                resume, value = inner.send, (yield trap)
            except BaseException as error:
                resume, value = inner.throw, error
        raise AssertionError("no end to it")


Runner = Callable[[Callable[[], Awaitable[object]]], Awaitable[bool]]
"""Runs a call and cancels it at some step; returns whether it came to its end."""


def own_steps(last: int) -> Runner:
    async def run(call: Callable[[], Awaitable[object]]) -> bool:
        with anyio.CancelScope() as scope:
            await Steps(call, scope, last)
            return True
        return False

    return run


def steps_of_the_loop(last: int) -> Runner:
    async def run(call: Callable[[], Awaitable[object]]) -> bool:
        ended = False

        async def until_the_end() -> None:
            nonlocal ended
            await call()
            ended = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_the_end)
            for _ in range(last):
                await anyio.lowlevel.checkpoint()
                if ended:
                    break
            tasks.cancel_scope.cancel()
        return ended

    return run


async def at_every_step(attempt: Callable[[Runner], Awaitable[bool]]) -> None:
    """Make ``attempt`` with runners that cancel at step 0, 1, … until it is not cut short."""
    for steps in (own_steps, steps_of_the_loop):
        for last in range(1000):
            with anyio.fail_after(PATIENCE):
                whole = await attempt(steps(last))
            if whole:
                break
        else:
            raise AssertionError("it never comes to its end")
        assert last > 0


@asynccontextmanager
async def broker() -> AsyncIterator[Nsqd]:
    async with open_nsqd() as nsqd:
        nsqd.create_channel(TOPIC, CHANNEL)
        yield nsqd


def queued(nsqd: Nsqd) -> int:
    """Messages that are not finished; none may be in flight, for nobody consumes."""
    counts = nsqd.counts(TOPIC, CHANNEL)
    assert counts.in_flight == 0
    return counts.depth + counts.deferred


PUBLISHES: dict[str, tuple[int, Callable[[Producer], Awaitable[None]]]] = {
    "publish": (1, lambda producer: producer.publish(TOPIC, b"x")),
    "deferred": (1, lambda producer: producer.publish(TOPIC, b"x", defer=100)),
    "publish_many": (3, lambda producer: producer.publish_many(TOPIC, [b"x"] * 3)),
}


@pytest.mark.parametrize("kind", PUBLISHES)
@on_every_loop
async def test_cancelled_publish_is_made_once_or_not_at_all_and_the_next_one_works(kind: str):
    count, publish = PUBLISHES[kind]
    async with broker() as nsqd:

        async def attempt(run: Runner) -> bool:
            async with open_producer(nsqd.address, options=nsqd.options()) as producer:
                before = queued(nsqd)
                whole = await run(lambda: publish(producer))
                await producer.publish_many(TOPIC, [b"y"] * 10)
                made = queued(nsqd) - before - 10
                assert made == count if whole else made in (0, count)
            return whole

        await at_every_step(attempt)


@pytest.mark.slow
@on_every_loop
async def test_cancelled_block_of_a_producer_leaves_nothing_half_published():
    async with broker() as nsqd:

        async def session() -> None:
            async with open_producer(nsqd.address, options=nsqd.options()) as producer:
                await producer.publish(TOPIC, b"x")
                async with anyio.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(producer.publish_many, TOPIC, [b"x"] * 5)

        async def attempt(run: Runner) -> bool:
            before = queued(nsqd)
            whole = await run(session)
            made = queued(nsqd) - before
            assert made == 16 if whole else made in (0, 1, 6, 11, 16)
            return whole

        await at_every_step(attempt)


async def iterate(consumer: Consumer, count: int) -> None:
    for _ in range(count):
        async with (await anext(consumer)).process():
            await anyio.lowlevel.checkpoint()


async def by_hand(consumer: Consumer, count: int) -> None:
    """Touch and requeue each message once, then finish it."""
    while count:
        message = await anext(consumer)
        await message.touch()
        if message.attempts == 1:
            await message.requeue(0, backoff=False)
        else:
            await message.finish()
            count -= 1


async def by_run(consumer: Consumer, count: int) -> None:
    async def handle(message: Message) -> None:
        nonlocal count
        await anyio.lowlevel.checkpoint()
        count -= 1
        if not count:
            consumer.stop()

    await consumer.run(handle, concurrency=2)


async def by_batches(consumer: Consumer, count: int) -> None:
    async for batch in consumer.batches(max_size=2, max_wait=0):
        async with batch.process():
            await anyio.lowlevel.checkpoint()
        count -= len(batch)
        if not count:
            return


async def many(consumer: Consumer, count: int) -> None:
    while count:
        messages = await consumer.take_many(3)
        count -= len(messages)
        for message in messages:
            await message.finish()


WAYS = {way.__name__: way for way in (iterate, by_hand, by_run, by_batches, many)}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@on_every_loop
async def test_cancelled_consumer_leaves_every_message_finished_or_queued(way: str):
    """None is lost, none stays in flight, and no more than the budget ever was."""
    async with broker() as nsqd:

        async def attempt(run: Runner) -> bool:
            finished = 0

            def note(message: Message) -> None:
                nonlocal finished
                finished += message.state is State.FINISHED

            before = queued(nsqd)
            nsqd.publish(TOPIC, *[b"x"] * max(0, 4 - before))
            before = max(before, 4)

            async def session() -> None:
                async with (
                    open_consumer(
                        TOPIC,
                        CHANNEL,
                        nsqd=nsqd.address,
                        options=nsqd.options(),
                        max_in_flight=3,
                        drain_timeout=0.02,
                        hooks=Hooks(answered=note),
                    ) as consumer,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(watch)
                    await WAYS[way](consumer, 4)
                    tasks.cancel_scope.cancel()

            async def watch() -> None:
                while True:
                    assert nsqd.counts(TOPIC, CHANNEL).in_flight <= 3
                    await anyio.lowlevel.checkpoint()

            whole = await run(session)
            assert queued(nsqd) == before - finished
            return whole

        await at_every_step(attempt)
