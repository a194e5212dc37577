"""A message to a destination, and the answer it deserves to its own nsqd."""

import logging

import attrs
import trio

from nsqclient import ClientError, Message, Producer
from nsqtools.nsq_to_nsq.json_filter import JsonFilter, NotJson, Verdict
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.host_pool import Chooser
from nsqtools.shared.timings import StatusLog

logger = logging.getLogger(__name__)

# Of a body that is shown in the log.
SHOWN = 200


@attrs.define(eq=False)
class Relay:
    """Publishes messages to one of several nsqds each."""

    producers: dict[str, Producer]
    chooser: Chooser
    filter: JsonFilter
    destination_topic: str
    settings: ClientSettings
    status: StatusLog

    async def handle(self, message: Message) -> None:
        """Publish ``message`` if it passes, and give it the answer it deserves."""
        try:
            verdict, body = self.filter.apply(message.body)
        except NotJson as error:
            logger.error("message(%s): %s: %r", message.id, error, message.body[:SHOWN])
            return
        if verdict is Verdict.RETRY:
            logger.error("message(%s): missing field to check required value", message.id)
            self.settings.requeue(message)
        elif verdict is Verdict.PASS:
            await self._publish(message, body)

    async def _publish(self, message: Message, body: bytes) -> None:
        began = trio.current_time()
        address = self.chooser.choose(began)
        topic = self.destination_topic or message.topic
        try:
            await self.producers[address].publish(topic, body)
        except ClientError as error:
            self.chooser.mark(address, trio.current_time(), elapsed=None)
            logger.error("message(%s): not published: %s", message.id, error)
            self.settings.requeue(message)
            return
        now = trio.current_time()
        self.chooser.mark(address, now, elapsed=now - began)
        self.status.add(address, now - began)
