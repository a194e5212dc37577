"""One connection's subscription: what it holds, and the answers it sends.

It turns records into messages, keeps those that are open, moves or enforces
their deadlines when told the time, and turns answers into commands. What an
answer means for the whole consumer (backing off, moving RDY) is `FlowControl`'s.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from nsqclient.connection.connection import Connection
from nsqclient.consuming.rdy import ConnectionRdy
from nsqclient.core.errors import MessageExpired
from nsqclient.core.log import RateLimited
from nsqclient.core.options import milliseconds
from nsqclient.messages.message import Message, State
from nsqclient.messages.span import Span
from nsqcore.classes import Factory, define
from nsqcore.wire import client_commands as commands
from nsqcore.wire.frames import ErrorFrame

_refused = RateLimited("subscription(%s): nsqd %s says %s")
_expired_in_hand = RateLimited(
    "message(%s): expired before it was answered, nsqd %s; touch it, or handle it in process()"
)

# nsqd refuses a REQ beyond its --max-req-timeout; an hour is the default of that.
LONGEST_REQUEUE = 3600.0


class Owner(Protocol):
    """What a subscription needs of the consumer's flow control."""

    @property
    def now(self) -> Callable[[], float]:
        """The clock."""

    @property
    def decode(self) -> Callable[[bytes], object] | None:
        """Makes values of bodies; None leaves them as they are."""

    def is_progressing(self, within: float) -> bool:
        """Whether somebody took a message in the last ``within`` seconds: others will follow."""

    def arrived(self, messages: list[Message]) -> None:
        """Take messages that came."""

    def answered(self, message: Message, *, failed: bool) -> None:
        """Note that a message got its answer; ``failed`` asks to back off."""

    def expired(self, message: Message) -> None:
        """Note that a message's time ran out."""

    def refused(self) -> None:
        """Note that nsqd did not take an answer."""

    def requeue_delay(self, attempts: int) -> float:
        """The delay after a number of attempts."""

    def gives_up(self, message: Message, *, at_once: bool = False) -> bool:
        """Whether a message that failed is dealt with otherwise than by requeueing it.

        ``at_once`` asks for that however often it may fail, if there is another way."""

    def handling(self, message: Message) -> Span:
        """What to wrap round the handling of a message; entered."""


@define(eq=False, repr=False)
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

    def decode(self, body: bytes) -> object:
        """The value of ``body``."""
        decode = self.owner.decode
        return body if decode is None else decode(body)

    @property
    def is_full(self) -> bool:
        """Whether nsqd may send no more before some messages are answered."""
        return self.rdy.is_full

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
        self._expect_in_time(message)
        message.state = State.FINISHED
        self._answer(message, b"FIN " + message.record[10:26] + b"\n", failed=False)

    def requeue(self, message: Message, delay: float | None, *, backoff: bool) -> None:
        """Send REQ; None is a delay that grows with the attempts."""
        self._expect_in_time(message)
        if backoff and self.owner.gives_up(message):
            return
        if delay is None:
            delay = self.owner.requeue_delay(message.attempts)
        message.state = State.REQUEUED
        command = commands.requeue(
            message.record[10:26], milliseconds(min(delay, LONGEST_REQUEUE) if delay > 0 else 0)
        )
        self._answer(message, command, failed=backoff)

    @property
    def has_headers(self) -> bool:
        """Whether messages may have headers."""
        return self.connection.negotiated.headers

    def terminate(self, message: Message, reason: str) -> None:
        """Send TERM where nsqd knows it; else give the message up here, or requeue it."""
        self._expect_in_time(message)
        if self.connection.negotiated.terminate:
            message.state = State.TERMINATED
            self._answer(message, commands.terminate(message.record[10:26], reason), failed=False)
        elif not self.owner.gives_up(message, at_once=True):
            self.requeue(message, None, backoff=True)

    def terminate_given_up(self, message: Message) -> bool:
        """Send TERM for a message that has failed too often; whether nsqd knows that."""
        if not self.connection.negotiated.terminate or message not in self.held:
            return False
        self._answer(
            message, commands.terminate(message.record[10:26], "failed too often"), failed=True
        )
        return True

    def finish_given_up(self, message: Message) -> None:
        """Send FIN for a message that was dealt with because it failed too often."""
        if message in self.held:
            self._answer(message, b"FIN " + message.record[10:26] + b"\n", failed=True)

    def requeue_given_up(self, message: Message) -> None:
        """Send REQ for a message that could not be dealt with."""
        if message in self.held:
            message.state = State.REQUEUED
            delay = milliseconds(self.owner.requeue_delay(message.attempts))
            self._answer(message, commands.requeue(message.record[10:26], delay), failed=True)

    def _answer(self, message: Message, command: bytes, *, failed: bool) -> None:
        self.connection.send(command)
        self.held.discard(message)
        self.rdy.answered()
        self.owner.answered(message, failed=failed)

    def _expect_in_time(self, message: Message) -> None:
        """Raise MessageExpired if nsqd no longer waits for an answer."""
        self.connection.loop.check_thread()
        if self.connection.error is not None:
            self._expire(message)
            raise MessageExpired(f"message {message.id}: {self.connection.error}")
        if self.owner.now() >= message.deadline:
            self._expire(message)
            raise MessageExpired(f"message {message.id} of nsqd {self.address}: its time is over")

    def give_back(self, messages: Iterable[Message]) -> None:
        """Send REQ without a delay for messages nobody will handle here."""
        for message in messages:
            if message.state is State.GIVEN_UP:
                self.requeue_given_up(message)
            elif message.state is State.OPEN:
                try:
                    message.requeue_nowait(0, backoff=False)
                except MessageExpired:
                    continue  # nsqd has it again, which is what was wanted

    def touch(self, message: Message) -> None:
        """Send TOUCH and move the deadline, as far as nsqd lets it move."""
        self._expect_in_time(message)
        granted = self.connection.negotiated
        self.connection.send(commands.touch(message.record[10:26]))
        latest = message.received_at + granted.max_msg_timeout
        message.deadline = min(self.owner.now() + granted.msg_timeout, latest)

    def handling(self, message: Message) -> Span:
        """What to wrap round the handling of a message; entered."""
        return self.owner.handling(message)

    def look_after(self, now: float) -> float:
        """Expire what is overdue, touch what asks for it; returns when to look again.

        What waits and can be touched no more is given back in time.
        """
        if self.connection.error is not None:
            return now + 1.0  # it is about to leave, with all that it holds
        granted = self.connection.negotiated
        margin = granted.msg_timeout / 2
        look = now + granted.msg_timeout / 4
        # What waits is kept from expiring as long as somebody takes messages; else nsqd gives it
        # to another consumer.
        progressing = self.owner.is_progressing(granted.msg_timeout)
        for message in list(self.held):
            if now >= message.deadline:
                if not message.waiting and not message.auto_touch:
                    _expired_in_hand.warning(message.id, self.address)
                self._expire(message)
                continue
            last = message.deadline >= message.received_at + granted.max_msg_timeout
            keep = message.auto_touch or (message.waiting and progressing)
            if keep and message.deadline - now <= margin:
                if not last:
                    self.touch(message)
                elif message.waiting:
                    # It could be handed out with hardly any time left: it comes again with all.
                    self.give_back([message])
                    continue
            look = min(look, message.deadline)
        return look

    def refused(self, frame: ErrorFrame) -> None:
        """Count that nsqd did not take an answer: the message had timed out there."""
        self.owner.refused()
        _refused.warning(self.topic, self.address, frame.data.decode("utf-8", "replace"))

    def lose_all(self) -> None:
        """The connection is gone: everything held is nsqd's again."""
        for message in list(self.held):
            self._expire(message)

    def _expire(self, message: Message) -> None:
        message.state = State.EXPIRED
        self.held.discard(message)
        self.rdy.answered()
        self.owner.expired(message)
        if message.on_expired is not None:
            message.on_expired()
