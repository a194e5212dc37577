import anyio
import pytest
from tests.nsqclient.backends import on_every_loop, virtual_time

from nsqclient import ConnectionLost, PublishError, open_consumer, open_producer
from nsqd.testing import open_nsqd


@on_every_loop
async def test_messages_go_through_the_nsqd_in_memory():
    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options()) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.address, options=nsqd.options()) as consumer,
    ):
        await producer.publish_many("orders", [b"1", b"2"])
        nsqd.publish("orders", b"3")
        bodies = []
        for _ in range(3):
            async with (await anext(consumer)).process() as message:
                bodies.append(message.body)
        assert sorted(bodies) == [b"1", b"2", b"3"]
        await anyio.wait_all_tasks_blocked()
        assert nsqd.counts("orders", "billing").in_flight == 0


@on_every_loop
async def test_errors_are_those_of_nsqd():
    async with (
        open_nsqd(max_msg_size=10) as nsqd,
        open_producer(nsqd.address, options=nsqd.options()) as producer,
    ):
        with pytest.raises(PublishError, match="PUB message too big 11 > 10"):
            await producer.publish("orders", b"x" * 11)


@on_every_loop
async def test_nsqd_can_go_away_and_come_back():
    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options()) as producer,
    ):
        await producer.publish("orders", b"x")
        nsqd.accepting = False
        nsqd.hang_up()
        with pytest.raises(ConnectionLost):
            await producer.publish("orders", b"y")
        nsqd.accepting = True
        await producer.wait_until_connected()
        await producer.publish("orders", b"z")
        assert nsqd.counts("orders", "billing").depth == 2


@on_every_loop
async def test_error_of_the_block_comes_out():
    with pytest.raises(KeyError):
        async with open_nsqd():
            raise KeyError


@virtual_time
async def test_message_comes_again_when_its_time_is_over():
    async with (
        open_nsqd(msg_timeout=60) as nsqd,
        open_consumer("orders", "billing", nsqd=nsqd.address, options=nsqd.options()) as consumer,
    ):
        nsqd.publish("orders", b"x")
        first = await anext(consumer)
        began = anyio.current_time()
        again = await anext(consumer)
        assert (first.id, first.attempts, again.attempts) == (again.id, 1, 2)
        assert anyio.current_time() - began == pytest.approx(60, abs=0.1)
        await again.finish()


@pytest.mark.slow
@virtual_time
async def test_deferred_and_requeued_messages_come_in_their_time():
    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options()) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.address, options=nsqd.options()) as consumer,
    ):
        began = anyio.current_time()
        await producer.publish("orders", b"x", defer=1800)
        message = await anext(consumer)
        assert anyio.current_time() - began == pytest.approx(1800, abs=0.1)
        await message.requeue(600, backoff=False)
        assert nsqd.counts("orders", "billing").deferred == 0
        await (await anext(consumer)).finish()
        assert anyio.current_time() - began == pytest.approx(2400, abs=0.1)


@pytest.mark.slow
@virtual_time
async def test_idle_clients_stay_connected_for_hours():
    async with (
        open_nsqd() as nsqd,
        open_producer(nsqd.address, options=nsqd.options()) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.address, options=nsqd.options()) as consumer,
    ):
        await anyio.sleep(7200)
        await producer.publish("orders", b"x")
        await (await anext(consumer)).finish()
        assert consumer.stats().connections == 1


def test_the_old_import_still_works_and_says_where_the_new_one_is() -> None:
    import nsqclient.testing  # the old name, on purpose

    with pytest.warns(DeprecationWarning, match=r"nsqd\.testing"):
        old = nsqclient.testing.open_nsqd
    assert old is open_nsqd
