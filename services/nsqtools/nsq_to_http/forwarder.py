"""A message to an endpoint, and the answer it deserves to nsqd."""

import logging
import random

import attrs
import trio

from nsqclient import Message
from nsqtools.nsq_to_http.client import Caller, RequestFailed
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.host_pool import Chooser
from nsqtools.shared.timings import StatusLog

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Forwarder:
    """Sends messages on. ``chooser`` None is to every endpoint."""

    endpoints: list[str]
    call: Caller
    chooser: Chooser | None
    sample: float
    settings: ClientSettings
    status: StatusLog

    async def handle(self, message: Message) -> None:
        """Send ``message``, and give it the answer it deserves."""
        if self.sample < 1 and random.random() > self.sample:
            return
        try:
            if self.chooser is None:
                for endpoint in self.endpoints:
                    await self._send(endpoint, message)
            else:
                await self._send_to_one(self.chooser, message)
        except RequestFailed as error:
            logger.error("message(%s): %s", message.id, error)
            self.settings.requeue(message)

    async def _send_to_one(self, chooser: Chooser, message: Message) -> None:
        endpoint = chooser.choose(trio.current_time())
        try:
            elapsed = await self._send(endpoint, message)
        except RequestFailed:
            chooser.mark(endpoint, trio.current_time(), elapsed=None)
            raise
        chooser.mark(endpoint, trio.current_time(), elapsed=elapsed)

    async def _send(self, endpoint: str, message: Message) -> float:
        began = trio.current_time()
        await self.call(endpoint, message.body)
        elapsed = trio.current_time() - began
        self.status.add(endpoint, elapsed)
        return elapsed
