"""Tests with pytest-asyncio, on an nsqd inside the test's process."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import nsqclient
from nsqd.testing import Nsqd, open_nsqd


@pytest_asyncio.fixture
async def nsqd() -> AsyncIterator[Nsqd]:
    async with open_nsqd() as running:
        yield running


@pytest_asyncio.fixture
async def producer(nsqd: Nsqd) -> AsyncIterator[nsqclient.Producer]:
    async with nsqclient.open_producer(nsqd.address, options=nsqd.options()) as opened:
        yield opened


@pytest.mark.asyncio
async def test_an_order_arrives(nsqd: Nsqd, producer: nsqclient.Producer) -> None:
    await producer.publish("orders", b"coffee")
    async with nsqclient.open_consumer(
        "orders", "billing", nsqd=nsqd.address, options=nsqd.options()
    ) as consumer:
        message = await anext(consumer)
        assert message.body == b"coffee"
        await message.finish()
