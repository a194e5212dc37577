"""A message to its endpoint or endpoints, and the answer to nsqd that it deserves."""

import logging
import random
from collections.abc import Callable, Sequence

import trio

from nsqclient import Message
from nsqcore.classes import define, field
from nsqtools.nsq_to_http.client import Call, DeliveryFailed
from nsqtools.shared.host_pool import Chooser
from nsqtools.shared.timings import StatusLog

logger = logging.getLogger(__name__)

# Messages of which is remembered which endpoints have them already: more than can be in flight.
REMEMBERED = 10_000


@define(eq=False, repr=False)
class Forwarder:
    """Sends messages on: to the endpoint that ``chooser`` names, or to all where it is None."""

    endpoints: Sequence[str]
    call: Call
    chooser: Chooser | None
    sample: float
    requeue: Callable[[Message], None]
    status: StatusLog
    _delivered: dict[str, set[str]] = field(factory=dict)  # of messages that failed

    async def handle(self, message: Message) -> None:
        """Send ``message``, and give it the answer it deserves."""
        if self.sample < 1 and random.random() > self.sample:
            return
        try:
            if self.chooser is None:
                await self._send_to_all(message)
            else:
                await self._send_to_one(self.chooser, message)
        except DeliveryFailed as error:
            logger.error("message(%s): %s", message.id, error)
            self.requeue(message)

    async def _send_to_one(self, chooser: Chooser, message: Message) -> None:
        endpoint = chooser.choose(trio.current_time())
        try:
            elapsed = await self._send(endpoint, message)
        except DeliveryFailed:
            chooser.mark(endpoint, trio.current_time(), elapsed=None)
            raise
        chooser.mark(endpoint, trio.current_time(), elapsed=elapsed)

    async def _send_to_all(self, message: Message) -> None:
        """Send to every endpoint, whatever the others say; not again to those that have it."""
        key = f"{message.nsqd} {message.id}"
        delivered = self._delivered.pop(key, set())
        failures: list[DeliveryFailed] = []
        for endpoint in self.endpoints:
            if endpoint in delivered:
                continue
            try:
                await self._send(endpoint, message)
            except DeliveryFailed as error:
                failures.append(error)
            else:
                delivered.add(endpoint)
        if failures:
            self._delivered[key] = delivered
            if len(self._delivered) > REMEMBERED:
                self._delivered.pop(next(iter(self._delivered)))
            raise DeliveryFailed("; ".join(map(str, failures)))

    async def _send(self, endpoint: str, message: Message) -> float:
        began = trio.current_time()
        await self.call(endpoint, message.body)
        elapsed = trio.current_time() - began
        self.status.add(endpoint, elapsed)
        return elapsed
