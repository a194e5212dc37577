"""A message to a destination, and the answer it deserves to its own nsqd."""

import logging

import trio

from nsqclient import ClientError, Message, PublishError
from nsqcore.classes import define
from nsqtools.nsq_to_nsq.destination import Destination
from nsqtools.nsq_to_nsq.json_filter import JsonFilter, NotJson, Verdict
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.host_pool import Chooser
from nsqtools.shared.timings import StatusLog

logger = logging.getLogger(__name__)

# Of a body that is shown in the log.
SHOWN = 200


@define(eq=False, repr=False)
class Relay:
    """Publishes messages to one of several nsqds each."""

    destinations: dict[str, Destination]
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
        topic = self.destination_topic or message.topic
        tried: set[str] = set()
        errors: list[str] = []
        while len(tried) < len(self.destinations):
            began = trio.current_time()
            address = self.chooser.choose(began)
            if address in tried:
                break
            tried.add(address)
            last = len(tried) == len(self.destinations)
            try:
                await self.destinations[address].publish(topic, body, waits=last)
            except ClientError as error:
                # What is wrong with a message says nothing about its destination.
                refused = isinstance(error, PublishError) and error.code.startswith("E_BAD_")
                if not refused:
                    self.chooser.mark(address, trio.current_time(), elapsed=None)
                errors.append(f"{address}: {error}")
                continue
            now = trio.current_time()
            self.chooser.mark(address, now, elapsed=now - began)
            self.status.add(address, now - began)
            return
        logger.error("message(%s): not published: %s", message.id, "; ".join(errors))
        self.settings.requeue(message)
