"""A message as a consumer sees it, and the one answer it gets.

A message keeps the record it came as; its fields are read from that when asked
for. The answer (FIN or REQ) goes into the connection's outbox at once, without
waiting, so a cancelled task never loses it; the ``await`` in front of `finish`
and `requeue` is a checkpoint after the deed.

A message is answered once. Where nsqd no longer waits for the answer, because
the timeout passed or the connection went, answering raises `MessageExpired`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from struct import Struct
from types import MappingProxyType, TracebackType
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from nsqclient.core.arguments import Duration, number_of_seconds, seconds
from nsqclient.core.errors import AlreadyAnswered, MessageExpired
from nsqclient.core.log import RateLimited
from nsqclient.messages.span import Span
from nsqcore.classes import define
from nsqcore.wire.headers import MARK, MOST_ATTEMPTS, BadHeaders, decode_headers, split_record

_expired = RateLimited("message(%s): expired while it was handled, nsqd %s")

_timestamp = Struct(">q").unpack_from
_attempts = Struct(">H").unpack_from

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class State(Enum):
    """Where a message stands."""

    OPEN = "waits for its answer"
    FINISHED = "finished"
    REQUEUED = "requeued"
    EXPIRED = "expired"
    TERMINATED = "terminated: it is not delivered again"
    GIVEN_UP = "given up: it has failed too often"


class Holder(Protocol):
    """The subscription a message came by, as far as the message needs it."""

    @property
    def topic(self) -> str:
        """The topic of the subscription."""

    @property
    def address(self) -> str:
        """The nsqd's address."""

    @property
    def is_full(self) -> bool:
        """Whether nsqd may send no more before some messages are answered."""

    @property
    def has_headers(self) -> bool:
        """Whether messages may have headers."""

    def terminate(self, message: "Message", reason: str) -> None:
        """Send TERM, or what comes nearest, and note the state."""

    def terminate_given_up(self, message: "Message") -> bool:
        """Send TERM for a message that has failed too often, if nsqd knows it."""

    def decode(self, body: bytes) -> object:
        """The value of ``body``, as the consumer was told to make it."""

    def finish(self, message: "Message") -> None:
        """Send FIN and note the state; raises MessageExpired if it is too late."""

    def requeue(self, message: "Message", delay: float | None, *, backoff: bool) -> None:
        """Send REQ and note the state; None is a delay that grows with the attempts."""

    def touch(self, message: "Message") -> None:
        """Send TOUCH and move the deadline."""

    def give_back(self, messages: "Iterable[Message]") -> None:
        """Send REQ without a delay for messages nobody will handle here."""

    def handling(self, message: "Message") -> Span:
        """What to wrap round the handling of the message; entered."""


@define(eq=False, repr=False)
class Message:
    """One message, open until it is finished or requeued.

    Attributes:
        deadline: when nsqd takes the message back, on the clock of `anyio.current_time`.
        waiting: whether it waits in the consumer's buffer, and nobody has tried it.
        auto_touch: whether the deadline is moved on by itself while the message is open.
        on_expired: called if the deadline passes first.
    """

    record: bytes
    holder: Holder
    deadline: float
    received_at: float
    state: State = State.OPEN
    waiting: bool = True
    auto_touch: bool = False
    on_expired: Callable[[], None] | None = None

    @property
    def id(self) -> str:
        """Its id: 16 hex digits, the same at every delivery."""
        return self.record[10:26].decode("ascii", "replace")

    @property
    def body(self) -> bytes:
        """The bytes that were published."""
        record = self.record
        if record[8] & MARK and self.holder.has_headers:
            return split_record(record)[0]
        return record[26:]

    @property
    def timestamp(self) -> int:
        """When it was published: nanoseconds since 1970, by nsqd's clock."""
        stamp: int = _timestamp(self.record)[0]
        return stamp

    @property
    def attempts(self) -> int:
        """How often it was delivered, this time included."""
        count: int = _attempts(self.record, 8)[0]
        if count > MOST_ATTEMPTS and self.holder.has_headers:
            count &= MOST_ATTEMPTS
        return count

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self.holder.topic

    @property
    def nsqd(self) -> str:
        """The address of the nsqd it came from."""
        return self.holder.address

    @property
    def place(self) -> tuple[str, str]:
        """nsqd and id. Several nsqds may give equal ids: by default those are made of the host's
        name and the time."""
        return self.holder.address, self.id

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; none where nsqd or the topic keeps none (docs/client.md)."""
        if self.record[8] & MARK and self.holder.has_headers:
            try:
                return decode_headers(split_record(self.record)[1])
            except BadHeaders:
                return _NO_HEADERS
        return _NO_HEADERS

    def __repr__(self) -> str:
        return (
            f"<Message {self.id} of {self.topic} at {self.nsqd}: "
            f"attempt {self.attempts}, {len(self.body)} bytes, {self.state.name}>"
        )

    @property
    def value(self) -> Any:
        """What the consumer's ``decode`` makes of the body, anew each time; else the body.

        Raises what that raises.
        """
        return self.holder.decode(self.body)

    def json(self) -> Any:
        """The body, decoded from JSON; raises ValueError if it is none."""
        return json.loads(self.body)

    async def finish(self) -> None:
        """Tell nsqd that the message is done.

        Raises:
            MessageExpired: nsqd has taken it back before; it will be delivered again.
            AlreadyAnswered: it was finished or requeued before.
        """
        self.finish_nowait()
        await anyio.lowlevel.checkpoint()

    def finish_nowait(self) -> None:
        """Like `finish`, without the checkpoint."""
        self._expect_open()
        self.holder.finish(self)

    async def requeue(self, delay: Duration | None = None, *, backoff: bool = True) -> None:
        """Give the message back, to be delivered again after ``delay`` seconds.

        A failure that is one too many (``max_attempts``) goes to ``on_give_up`` instead.

        Args:
            delay: None for one that doubles with every attempt.
            backoff: whether this counts as a failure that slows the whole consumer down.

        Raises:
            MessageExpired: nsqd has taken it back before.
            AlreadyAnswered: it was finished or requeued before.
        """
        self.requeue_nowait(delay, backoff=backoff)
        await anyio.lowlevel.checkpoint()

    def requeue_nowait(self, delay: Duration | None = None, *, backoff: bool = True) -> None:
        """Like `requeue`, without the checkpoint."""
        checked = None if delay is None else number_of_seconds(delay, "delay")
        self._expect_open()
        self.holder.requeue(self, checked, backoff=backoff)

    async def terminate(self, reason: str = "") -> None:
        """Give the message up: nsqd moves it to its dead-letter topic, with the ``reason``.

        An nsqd that has no dead letters, such as the original, does not know that: the message
        goes to ``on_give_up`` then, or is requeued if there is none.

        Raises:
            MessageExpired: nsqd has taken it back before.
            AlreadyAnswered: it was finished or requeued before.
        """
        self.terminate_nowait(reason)
        await anyio.lowlevel.checkpoint()

    def terminate_nowait(self, reason: str = "") -> None:
        """Like `terminate`, without the checkpoint."""
        self._expect_open()
        self.holder.terminate(self, reason)

    async def touch(self) -> None:
        """Start the timeout anew, up to nsqd's longest timeout.

        Raises:
            MessageExpired: nsqd has taken it back before.
            AlreadyAnswered: it was finished or requeued before.
        """
        self._expect_open()
        self.holder.touch(self)
        await anyio.lowlevel.checkpoint()

    def process(
        self, *, requeue_delay: Duration | None = None, auto_touch: bool = True
    ) -> "Processing":
        """A context that answers: FIN if its block succeeds, REQ if it raises.

        The exception goes on to the caller. A block that is cancelled gives its
        message back at once, and that is no failure. A message that expired
        meanwhile is only logged: it will be delivered again. An answer given
        inside the block counts.

        Args:
            requeue_delay: seconds; None for a delay that doubles with every attempt.
            auto_touch: keep the message from expiring while the block runs.
        """
        delay = None if requeue_delay is None else seconds(requeue_delay, "requeue_delay")
        return Processing(self, delay, auto_touch)

    def _expect_open(self) -> None:
        if self.state is not State.OPEN:
            text = f"message {self.id} of nsqd {self.nsqd} is {self.state.value}"
            raise MessageExpired(text) if self.state is State.EXPIRED else AlreadyAnswered(text)


@define(eq=False, repr=False)
class Processing:
    """The context of `Message.process`. ``async with`` gives the message."""

    _message: Message
    _requeue_delay: float | None
    _auto_touch: bool
    _span: Span | None = None

    async def __aenter__(self) -> Message:
        self.begin()
        return self._message

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(kind, error, trace)

    def begin(self) -> None:
        """What entering does; it never waits."""
        message = self._message
        message.auto_touch = self._auto_touch
        self._span = message.holder.handling(message)

    def end(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """What leaving does; it never waits."""
        conclude(self._message, error, self._requeue_delay)
        if self._span is not None:
            self._span.end(error)


def conclude(message: Message, error: BaseException | None, delay: float | None) -> None:
    """Give ``message`` the answer that fits how its handling ended, unless it has one."""
    if message.state is State.OPEN:
        message.auto_touch = False
        try:
            if error is None:
                message.finish_nowait()
            elif isinstance(error, Exception):
                message.requeue_nowait(delay)
            else:  # cancelled, or the program is ending: not the message's fault
                message.requeue_nowait(0, backoff=False)
        except MessageExpired:
            pass  # logged below, as when it expired before
    if message.state is State.EXPIRED:
        _expired.warning(message.id, message.nsqd)
