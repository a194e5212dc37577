"""An nsqd that gets every message, in commands of sizes that it takes."""

import trio

from nsqclient import (
    ConnectionLost,
    Producer,
    PublishError,
)
from nsqcore.classes import define, field
from nsqtools.shared.refusals import TOO_LARGE, refused_limit

# Bodies in one command, by number and by size: below what an nsqd accepts by default (5 MiB), and
# enough that their number, not the round trip, decides the speed.
BATCH = 1000

MPUB_LIMIT = 1024 * 1024

# Seconds to wait for an nsqd that went away: time for a restart.
RECONNECT_TIMEOUT = 5.0


@define(eq=False, repr=False)
class Destination:
    """An nsqd that gets every message.

    nsqd does not say what sizes it accepts before it refuses one, and hangs up then; the limits are
    learned from its refusals.
    """

    producer: Producer
    reached: trio.Event = field(factory=trio.Event)
    max_body: int = MPUB_LIMIT
    max_message: int = MPUB_LIMIT
    max_count: int = BATCH

    async def send(self, topic: str, batch: list[bytes]) -> None:
        """Publish all of ``batch``, in order; raises ClientError if not all are published."""
        start = 0
        while start < len(batch):
            part = self._fitting(batch, start)
            try:
                await self._publish(topic, part)
            except PublishError as error:
                if len(part) == 1 or error.code not in TOO_LARGE:
                    raise
                self._learn(error)
                if len(self._fitting(batch, start)) == len(part):
                    self.max_count = len(part) // 2
                continue  # nothing was published
            start += len(part)

    def _fitting(self, batch: list[bytes], start: int) -> list[bytes]:
        """The bodies from ``start`` on that fit into one command; one at least."""
        part: list[bytes] = []
        room = self.max_body - 4  # MPUB: a count, then a size before each body
        for body in batch[start : start + self.max_count]:
            room -= 4 + len(body)
            if part and (room < 0 or len(body) > self.max_message):
                break
            part.append(body)
            if len(body) > self.max_message:
                break
        return part

    def _learn(self, error: PublishError) -> None:
        limit = refused_limit(error)
        if limit is None:
            return
        if error.code == "E_BAD_BODY":
            self.max_body = limit
        else:
            self.max_message = limit

    async def _publish(self, topic: str, batch: list[bytes]) -> None:
        try:
            await self._publish_once(topic, batch)
        except ConnectionLost as error:
            if error.sent or not self.reached.is_set():
                raise
            # It was there before: restarted maybe, or it has just refused something.
            with trio.move_on_after(RECONNECT_TIMEOUT):
                await self.producer.wait_until_connected()
            await self._publish_once(topic, batch)

    async def _publish_once(self, topic: str, batch: list[bytes]) -> None:
        if len(batch) == 1:  # PUB has a limit of its own, which is the one for messages
            await self.producer.publish(topic, batch[0])
        else:
            await self.producer.publish_many(topic, batch)
