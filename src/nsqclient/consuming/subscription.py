"""One connection's subscription: what it holds, and the answers it sends.

It turns records into messages, keeps those that are open, moves or enforces
their deadlines when told the time, and turns answers into commands. What an
answer means for the whole consumer (backing off, moving RDY) is `FlowControl`'s.
"""

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from attrs import Factory, define

from nsqclient.connection.connection import Connection
from nsqclient.consuming.rdy import ConnectionRdy
from nsqclient.core.options import milliseconds
from nsqclient.messages.message import Message, State
from nsqcore.wire import client_commands as commands
from nsqcore.wire.frames import ErrorFrame

log = logging.getLogger("nsqclient")

# nsqd refuses a REQ beyond its --max-req-timeout; an hour is the default of that.
LONGEST_REQUEUE = 3600.0


class Owner(Protocol):
    """What a subscription needs of the consumer's control."""

    def now(self) -> float:
        """The time."""

    def arrived(self, messages: list[Message]) -> None:
        """Take messages that came."""

    def answered(self, message: Message, *, failed: bool) -> None:
        """Note that a message got its answer; ``failed`` asks to back off."""

    def expired(self, message: Message) -> None:
        """Note that a message's time ran out."""

    def requeue_delay(self, attempts: int) -> float:
        """The delay after a number of attempts."""

    def handling(self, message: Message) -> AbstractContextManager[object] | None:
        """What to wrap round the handling of a message, if anything."""


@define(eq=False)
class Subscription:
    """A subscribed connection. ``held`` are the open messages that came by it."""

    topic: str
    connection: Connection
    owner: Owner
    rdy: ConnectionRdy
    held: set[Message] = Factory(set)

    @property
    def address(self) -> str:
        """The nsqd's address."""
        return self.connection.address

    def receive(self, records: list[bytes]) -> None:
        """Hand on the messages of a chunk."""
        now = self.owner.now()
        deadline = now + self.connection.negotiated.msg_timeout
        messages = [Message(record, self, deadline, now) for record in records]
        self.held.update(messages)
        self.rdy.received(len(messages), now)
        self.owner.arrived(messages)

    def finish(self, message: Message) -> None:
        """Send FIN."""
        self.connection.send(b"FIN " + message.record[10:26] + b"\n")
        self.held.discard(message)
        self.rdy.answered()
        self.owner.answered(message, failed=False)

    def requeue(self, message: Message, delay: float | None, *, backoff: bool) -> None:
        """Send REQ; None is a delay that grows with the attempts."""
        if delay is None:
            delay = self.owner.requeue_delay(message.attempts)
        delay = min(delay, LONGEST_REQUEUE) if delay > 0 else 0.0
        self.connection.send(commands.requeue(message.record[10:26], milliseconds(delay)))
        self.held.discard(message)
        self.rdy.answered()
        self.owner.answered(message, failed=backoff)

    def give_back(self, messages: Iterable[Message]) -> None:
        """Send REQ without a delay for messages nobody will handle here."""
        for message in messages:
            if message.state is State.OPEN:
                message.requeue_nowait(0, backoff=False)

    def touch(self, message: Message) -> None:
        """Send TOUCH and move the deadline, as far as nsqd lets it move."""
        granted = self.connection.negotiated
        self.connection.send(commands.touch(message.record[10:26]))
        latest = message.received_at + granted.max_msg_timeout
        message.deadline = min(self.owner.now() + granted.msg_timeout, latest)

    def handling(self, message: Message) -> AbstractContextManager[object] | None:
        """What to wrap round the handling of a message, if anything."""
        return self.owner.handling(message)

    def look_after(self, now: float) -> float:
        """Expire what is overdue, touch what asks for it; returns when to look again."""
        granted = self.connection.negotiated
        margin = granted.msg_timeout / 2
        look = now + granted.msg_timeout / 4
        for message in list(self.held):
            if now >= message.deadline:
                self._expire(message)
                if message.on_expired is not None:
                    message.on_expired()
                continue
            last = message.deadline >= message.received_at + granted.max_msg_timeout
            if message.auto_touch and not last and message.deadline - now <= margin:
                self.touch(message)
            look = min(look, message.deadline)
        return look

    def refused(self, frame: ErrorFrame) -> None:
        """Log that nsqd did not take an answer: the message had timed out there."""
        text = frame.data.decode("utf-8", "replace")
        log.warning("subscription(%s): nsqd %s says %s", self.topic, self.address, text)

    def lose_all(self) -> None:
        """The connection is gone: everything held is nsqd's again."""
        for message in list(self.held):
            self._expire(message)

    def _expire(self, message: Message) -> None:
        message.state = State.EXPIRED
        self.held.discard(message)
        self.rdy.answered()
        self.owner.expired(message)
