"""What to do with a message that was delivered too often.

A give-up action gets the message and returns when it is safe; the message is
finished then. If the action raises, the message is requeued and the action has
another go at the next delivery. Nothing is dropped without one: the default
logs the message's id and drops it, as the original clients do, and only where
``max_attempts`` was set.
"""

import base64
import json
import logging
from collections.abc import Awaitable, Callable
from os import PathLike

import anyio
import anyio.to_thread

from nsqclient.messages.message import Message
from nsqclient.publishing.producer import Producer

log = logging.getLogger("nsqclient")

GiveUp = Callable[[Message], Awaitable[None]]


async def drop(message: Message) -> None:
    """Log the message and let go of it."""
    log.error(
        "message(%s): giving up on it after %d attempts, topic %s",
        message.id,
        message.attempts - 1,
        message.topic,
    )


def dead_letter(producer: Producer, topic: str) -> GiveUp:
    """An action that publishes the body to ``topic``."""

    async def publish(message: Message) -> None:
        await producer.publish(topic, message.body)

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
