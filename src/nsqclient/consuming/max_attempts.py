"""What to do with a message that has failed too often.

A message is given up when it fails, never before it was tried: nsqd counts
deliveries, and a message may have been delivered before to a consumer that did
not get to it. Such deliveries are left out of the count as far as this consumer
knows of them.

A give-up action gets the message and returns when it is safe; the message is
finished then. If the action raises, the message is requeued. Nothing is dropped
without one: ``max_attempts`` needs ``on_give_up``.
"""

import base64
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from os import PathLike

import anyio
import anyio.to_thread

from nsqclient.messages.message import Message
from nsqclient.publishing.producer import Producer
from nsqcore.classes import Factory, define

log = logging.getLogger("nsqclient")

GiveUp = Callable[[Message], Awaitable[None]]


# Messages whose untried deliveries are remembered; of older ones all deliveries count.
MAX_UNTRIED = 10_000


@define(eq=False, repr=False)
class MaxAttempts:
    """After how many failed attempts which action deals with a message; ``limit`` None is never."""

    limit: int | None = None
    action: GiveUp | None = None
    _untried: OrderedDict[tuple[str, str], int] = Factory(OrderedDict)

    def not_tried(self, message: Message) -> None:
        """Note that a delivery ended before anybody got the message."""
        if self.limit is not None:
            self._untried[message.place] = self._untried.pop(message.place, 0) + 1
            if len(self._untried) > MAX_UNTRIED:
                self._untried.popitem(last=False)

    def is_reached(self, message: Message) -> bool:
        """Whether a message that has just failed is not to be tried again."""
        if self.limit is None:
            return False
        return message.attempts - self._untried.get(message.place, 0) >= self.limit

    async def give_up(self, message: Message) -> None:
        """Do the action."""
        assert self.action is not None
        await self.action(message)
        self._untried.pop(message.place, None)


async def drop(message: Message) -> None:
    """Log the message and let go of it."""
    log.error(
        "message(%s): giving up on it after %d attempts, topic %s",
        message.id,
        message.attempts,
        message.topic,
    )


def dead_letter(producer: Producer, topic: str) -> GiveUp:
    """An action that publishes the body to ``topic``.

    Where that is nsqd's own dead-letter topic (``TOPIC.dead``), nsqd is asked to move it: in one
    step, with headers, and as its policies say.
    """

    async def publish(message: Message) -> None:
        if topic != f"{message.topic}.dead" or not message.holder.terminate_given_up(message):
            await producer.publish(topic, message.body, headers=message.headers or None)

    return publish


def archive(path: str | PathLike[str]) -> GiveUp:
    """An action that appends the message to a file, as a line of JSON.

    Keys: ``topic``, ``id``, ``timestamp``, ``attempts``, ``nsqd`` and ``body``,
    or ``body_base64`` where the body is no UTF-8.
    """

    def append(line: str) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)

    async def write(message: Message) -> None:
        fields: dict[str, object] = {
            "topic": message.topic,
            "id": message.id,
            "timestamp": message.timestamp,
            "attempts": message.attempts,
            "nsqd": message.nsqd,
        }
        try:
            fields["body"] = message.body.decode()
        except UnicodeDecodeError:
            fields["body_base64"] = base64.b64encode(message.body).decode("ascii")
        # Not to be abandoned half-way: a cut line would spoil the file.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(append, json.dumps(fields) + "\n")

    return write
