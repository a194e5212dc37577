"""Bodies to every destination."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio

from nsqclient import (
    ClientError,
)
from nsqcore.classes import define
from nsqtools.shared.progress import Progress
from nsqtools.to_nsq.destination import BATCH, Destination
from nsqtools.to_nsq.throttle import Throttle

T = TypeVar("T")


@define(eq=False, repr=False)
class LinePublisher:
    """Publishes bodies to every destination."""

    topic: str
    destinations: list[Destination]
    throttle: Throttle
    progress: Progress
    shutdown: trio.Event

    async def publish(self, bodies: list[bytes]) -> int:
        """How many of ``bodies`` were published: all, unless told to stop.

        Raises:
            ClientError: a destination did not take some.
        """
        start = 0
        while start < len(bodies):
            batch = bodies[start : start + BATCH]
            allowed = await unless(self.shutdown, partial(self.throttle.allow, len(batch)))
            if not allowed:
                break
            batch = batch[:allowed]
            await self._send(batch)
            self.progress.add(len(batch), sum(map(len, batch)) + len(batch))
            start += len(batch)
        return start

    async def _send(self, batch: list[bytes]) -> None:
        if len(self.destinations) == 1:
            await self.destinations[0].send(self.topic, batch)
            return
        errors: list[ClientError] = []

        async def send(destination: Destination) -> None:
            try:
                await destination.send(self.topic, batch)
            except ClientError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for destination in self.destinations:
                nursery.start_soon(send, destination)
        if errors:
            raise errors[0]


async def unless(shutdown: trio.Event, work: Callable[[], Awaitable[T]]) -> T | None:
    """What ``work`` returns, or None if ``shutdown`` was set first."""
    result: T | None = None

    async def cancel(scope: trio.CancelScope) -> None:
        await shutdown.wait()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel, nursery.cancel_scope)
        result = await work()
        nursery.cancel_scope.cancel()
    return result
