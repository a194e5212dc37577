"""Everything goes wrong at once, in virtual time; nothing is lost and nothing stuck."""

import random

import anyio
import pytest
from tests.nsqclient.backends import virtual_time
from tests.support.seeds import seeds

from nsqclient import ConnectionLost, Hooks, Message, State, open_consumer, open_producer
from nsqd.testing import Nsqd, open_nsqd

MESSAGES = 60


async def misbehave(message: Message, fate: random.Random) -> None:
    """Handle ``message`` in one of many ways; most of them fail the first times."""
    if message.attempts > 4:
        return
    match fate.randrange(7):
        case 0:
            raise ValueError("no luck")
        case 1:
            await anyio.sleep(fate.uniform(0, 30))  # longer than the timeout, now and then
        case 2:
            with anyio.move_on_after(fate.uniform(0, 2)):
                async with message.process():
                    await anyio.sleep_forever()
        case 3:
            await message.requeue(fate.uniform(0, 5), backoff=fate.random() < 0.5)
        case 4:
            await message.finish()
        case 5:
            await message.touch()
        case _:
            await anyio.lowlevel.checkpoint()


async def disturb(nsqd: Nsqd, fate: random.Random) -> None:
    """Crash and come back."""
    while True:
        await anyio.sleep(fate.expovariate(1 / 20))
        nsqd.accepting = fate.random() < 0.8
        nsqd.hang_up()
        await anyio.sleep(fate.uniform(0, 5))
        nsqd.accepting = True


def left(nsqd: Nsqd) -> int:
    """How many messages are not finished."""
    counts = nsqd.counts("orders", "billing")
    return counts.depth + counts.deferred + counts.in_flight


async def consume(nsqd: Nsqd, fate: random.Random, hooks: Hooks) -> None:
    """Consume in every way there is, with changing consumers."""
    while True:
        async with open_consumer(
            "orders",
            "billing",
            nsqd=nsqd.address,
            options=nsqd.options(),
            max_in_flight=fate.randint(1, 20),
            max_backoff=fate.choice([0, 5]),
            drain_timeout=fate.uniform(0, 5),
            max_requeue_delay=10,
            hooks=hooks,
        ) as consumer:
            with anyio.move_on_after(fate.expovariate(1 / 40)):
                match fate.randrange(3):
                    case 0:
                        await consumer.run(
                            lambda message: misbehave(message, fate),
                            concurrency=fate.randint(1, 5),
                            auto_touch=fate.random() < 0.5,
                        )
                    case 1:
                        async for message in consumer:
                            try:
                                async with message.process():
                                    await misbehave(message, fate)
                            except ValueError:
                                continue
                    case _:
                        async for batch in consumer.batches(max_size=7, max_wait=1):
                            async with batch.process():
                                await anyio.sleep(fate.uniform(0, 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(12))
@virtual_time
async def test_every_message_is_handled_whatever_happens(seed: int):
    fate = random.Random(seed)
    published: set[bytes] = set()
    finished: set[bytes] = set()

    def note(message: Message) -> None:
        if message.state is State.FINISHED:
            finished.add(message.body)

    async with open_nsqd(msg_timeout=10, max_msg_timeout=60) as nsqd:
        nsqd.create_channel("orders", "billing")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(disturb, nsqd, fate)
            for _ in range(2):
                tasks.start_soon(consume, nsqd, fate, Hooks(answered=note))
            async with open_producer(
                nsqd.address, options=nsqd.options(), wait_when_down=True
            ) as producer:
                for number in range(MESSAGES):
                    try:
                        await producer.publish("orders", b"%d" % number)
                        published.add(b"%d" % number)
                    except ConnectionLost as lost:
                        assert lost.sent  # noqa: PT017 - with `wait_when_down` it is tried until it was
                    await anyio.sleep(fate.uniform(0, 3))
            while left(nsqd):  # noqa: ASYNC110 - time is virtual
                await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert finished >= published
        assert left(nsqd) == 0
