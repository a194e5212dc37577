"""An nsqd that messages are published to, some of them at the same time.

nsqd hangs up on whoever publishes a message that is too large, and what was on its way behind that
one is lost with the connection. So the size it refused is remembered, and what was lost is
published again at once: only a destination that stays away, or refuses, fails a message.
"""

import trio

from nsqclient import ConnectionLost, Producer, PublishError
from nsqcore.classes import define
from nsqtools.shared.refusals import refused_limit

# Seconds to wait for a destination that went away: time for a restart.
RECONNECT_TIMEOUT = 5.0

# How often a message is published again that was lost with its connection.
MAX_LOSSES = 20

# Seconds for which a size that was refused is not tried again: nsqd may be given another limit.
LIMIT_LIFE = 600.0


@define(eq=False, repr=False)
class Destination:
    """One destination. ``producer`` publishes to it alone."""

    address: str
    producer: Producer
    _limit: int | None = None  # bytes of a message
    _limit_until: float = 0.0

    async def publish(self, topic: str, body: bytes, *, waits: bool) -> None:
        """Publish ``body``; returns when nsqd has it.

        Args:
            waits: for a destination that went away; if not, there is another one to try.

        Raises:
            PublishError: nsqd refuses this message.
            ClientError: the destination is away, or takes nothing.
        """
        limit = self._limit
        if limit is not None and len(body) > limit and trio.current_time() < self._limit_until:
            text = f"nsqd {self.address} takes no message of {len(body)} bytes, {limit} at most"
            raise PublishError(text, code="E_BAD_MESSAGE")
        losses = 0
        while True:
            try:
                await self.producer.publish(topic, body)
            except ConnectionLost:
                losses += 1
                if not waits or losses > MAX_LOSSES or not await self._comes_back():
                    raise
            except PublishError as error:
                self._learn(error)
                raise
            else:
                return

    async def _comes_back(self) -> bool:
        with trio.move_on_after(RECONNECT_TIMEOUT):
            await self.producer.wait_until_connected()
        return bool(self.producer.connected)

    def _learn(self, error: PublishError) -> None:
        limit = refused_limit(error)
        if limit is not None:
            self._limit = limit
            self._limit_until = trio.current_time() + LIMIT_LIFE
