"""The flow of messages through one consumer: how many are asked for, and what became of them.

Between the subscriptions (one a connection) and the tasks that take messages
stands one `FlowControl`: messages go through its buffer, answers come back to it. From
the answers it learns when to back off, and from both which RDY each connection
gets. All of that is synchronous; `FlowControl.run_timers` is its one task, which wakes
for deadlines, the end of a backoff, and RDYs that had to wait.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping

import anyio

from nsqclient.consuming.backoff import Backoff, Phase
from nsqclient.consuming.max_attempts import MaxAttempts
from nsqclient.consuming.rdy import RdyDistribution
from nsqclient.consuming.subscription import Subscription
from nsqclient.core.background import Background
from nsqclient.core.loop import Loop, running_loop
from nsqclient.messages.buffer import MessageBuffer
from nsqclient.messages.copies import Copies
from nsqclient.messages.hooks import Hooks
from nsqclient.messages.message import Message, State
from nsqclient.messages.span import NO_SPAN, Span, begin_span
from nsqcore.classes import Factory, define, field
from nsqcore.wire import client_commands as commands

log = logging.getLogger("nsqclient")

# Waking up this much too late means that something held the event loop: worth a line in the log,
# because heartbeats and deadlines go by meanwhile.
LATE = 2.0

# No look at deadlines sooner after the last than this, however many deadlines there are.
SHORTEST_SLEEP = 0.02

# An event loop that is blocked is noticed by waking up late, so there has to be something to wake
# up for.
LONGEST_SLEEP = 1.0


@define(eq=False, repr=False)
class FlowControl:
    """What all connections of one consumer have in common.

    Attributes:
        name: for the log, ``topic/channel``.
        decode: makes values of bodies; None leaves them as they are.
        open_count: how many messages were handed in and have no answer yet.
        stopping: no message is asked for any more.
        subscribed: the addresses of the nsqds that have confirmed a subscription.
        connection_errors: why those nsqds are not connected that are wanted, by address.
        lookupd_errors: why those nsqlookupds do not answer that are silent, by address.
        failure: why no message will ever come, if that is certain.
        refused_answers: how many answers nsqd did not take: the message had timed out there.
    """

    name: str
    distribution: RdyDistribution
    backoff: Backoff
    hooks: Hooks
    max_attempts: MaxAttempts
    first_requeue_delay: float
    longest_requeue_delay: float
    decode: Callable[[bytes], object] | None = None
    loop: Loop = Factory(running_loop)
    now: Callable[[], float] = field(init=False)
    buffer: MessageBuffer = Factory(MessageBuffer)
    subscriptions: dict[int, Subscription] = Factory(dict)
    changed: anyio.Event = Factory(anyio.Event)
    subscribed: set[str] = Factory(set)
    connection_errors: dict[str, str] = Factory(dict)
    lookupd_errors: Mapping[str, str] = Factory(dict)
    failure: Exception | None = None
    open_count: int = 0
    stopping: bool = False
    finished: int = 0
    requeued: int = 0
    timed_out: int = 0
    received: int = 0
    given_up: int = 0
    refused_answers: int = 0
    _copies: Copies = Factory(Copies)
    _ended: bool = False
    _idle: anyio.Event | None = None
    _wake: anyio.Event = Factory(anyio.Event)
    _plan_at: float = math.inf
    _look_at: float = 0.0
    _taken: tuple[int, float] = (0, 0.0)
    _give_ups: deque[Message] = Factory(deque)
    _give_up_news: anyio.Event = Factory(anyio.Event)

    def __attrs_post_init__(self) -> None:
        self.now = self.loop.now
        self._taken = (0, self.now())

    def join(self, subscription: Subscription) -> None:
        """Take a new subscription in and give it its RDY."""
        self.subscriptions[id(subscription.rdy)] = subscription
        self._look_at = self.now()
        self.distribution.join(subscription.rdy)
        self.plan()

    def leave(self, subscription: Subscription) -> None:
        """Let a subscription go whose connection has ended."""
        subscription.lose_all()
        self.subscribed.discard(subscription.address)
        del self.subscriptions[id(subscription.rdy)]
        self.distribution.leave(subscription.rdy)
        self.plan()

    def notify(self) -> None:
        """Wake who waits for connections."""
        self.changed.set()
        self.changed = anyio.Event()

    def fail(self, error: Exception) -> None:
        """Note that no message will come; whoever waits for one is told."""
        self.failure = error
        self.stop()

    def arrived(self, messages: list[Message]) -> None:
        """Put messages into the buffer; give them back if it is closed."""
        self.received += len(messages)
        self.open_count += len(messages)
        if self.hooks.received is not None:
            self.hooks.call("received", messages)
        if self.buffer.closed:
            for message in messages:
                message.holder.give_back([message])
            return
        if messages and messages[0].holder.has_headers:
            messages = self._copies.first_ones(messages)
        self.buffer.put_many(messages)

    def is_progressing(self, within: float) -> bool:
        """Whether somebody took a message in the last ``within`` seconds: others will follow."""
        count, since = self._taken
        if self.buffer.taken != count:
            self._taken = (self.buffer.taken, self.now())
            return True
        return self.now() - since < within

    def answered(self, message: Message, *, failed: bool) -> None:
        """Learn from an answer."""
        self._closed_one(message)
        if message.state is State.GIVEN_UP:
            self.given_up += 1
            self.hooks.call("gave_up", message)
        elif message.state is State.FINISHED:
            self.finished += 1
            if self.backoff.level and self.backoff.succeeded(self.now()):
                self._backoff_changed()
        else:
            self.requeued += 1
            if message.waiting:
                self.max_attempts.not_tried(message)
        if failed and self.backoff.failed(self.now()):
            self._backoff_changed()

    def expired(self, message: Message) -> None:
        """Count a message whose time ran out, here or with its connection."""
        self.timed_out += 1
        if message.waiting:
            self.max_attempts.not_tried(message)
        self._closed_one(message)

    def refused(self) -> None:
        """Count an answer that nsqd did not take."""
        self.refused_answers += 1

    def gives_up(self, message: Message, *, at_once: bool = False) -> bool:
        """Whether a message that failed is dealt with otherwise than by requeueing it.

        ``at_once`` asks for that however often it may fail, if there is another way."""
        wanted = at_once and self.max_attempts.action is not None
        if not wanted and not self.max_attempts.is_reached(message):
            return False
        message.state = State.GIVEN_UP
        message.auto_touch = True
        self._give_ups.append(message)
        self._give_up_news.set()
        return True

    async def run_give_ups(self, tasks: Background) -> None:
        """Deal with messages that failed too often, each in a task; never returns."""
        while True:
            await self._give_up_news.wait()
            self._give_up_news = anyio.Event()
            while self._give_ups:
                tasks.start(self._give_up, self._give_ups.popleft())

    async def _give_up(self, message: Message) -> None:
        holder = message.holder
        assert isinstance(holder, Subscription)
        try:
            await self.max_attempts.give_up(message)
        except Exception as error:
            log.error("message(%s): giving up on it failed, requeueing it: %r", message.id, error)
            holder.requeue_given_up(message)
        else:
            holder.finish_given_up(message)

    def requeue_delay(self, attempts: int) -> float:
        """A delay that doubles with every attempt."""
        factor = 2.0 ** min(max(attempts, 1) - 1, 32)
        return min(self.first_requeue_delay * factor, self.longest_requeue_delay)

    def handling(self, message: Message) -> Span:
        """What the hooks want wrapped round the handling of a message; entered."""
        handling = self.hooks.handling
        if handling is None:
            return NO_SPAN
        return begin_span("handling", lambda: handling(message))

    def stop_soon(self) -> None:
        """Like `stop`, from any thread and from signal handlers."""
        self.stopping = self.buffer.closed = True  # nothing is given out any more
        try:
            self.loop.call_soon(self.stop)
        except RuntimeError:
            return  # the loop has ended, and the consumer with it

    def stop(self) -> None:
        """Ask for no more messages, give back what nobody took, end the iterators."""
        self.stopping = True
        if not self._ended:
            self._ended = True
            self.plan()
            for message in self.buffer.close():
                message.holder.give_back([message])
            self.notify()

    async def wait_until_idle(self) -> None:
        """Return when every message has its answer."""
        while self.open_count:
            self._idle = self._idle or anyio.Event()
            await self._idle.wait()

    def give_everything_back(self) -> int:
        """Requeue whatever is still open; returns how many that were."""
        count = 0
        for subscription in self.subscriptions.values():
            count += len(subscription.held)
            subscription.give_back(list(subscription.held))
        return count

    def plan(self) -> None:
        """Send each connection the RDY it should have now."""
        if self.stopping or self.backoff.phase is Phase.STOPPED:
            self.distribution.cap = 0
        else:
            self.distribution.cap = 1 if self.backoff.phase is Phase.PROBING else None
        changed, self._plan_at = self.distribution.plan(self.now())
        for rdy in changed:
            self.subscriptions[id(rdy)].connection.send(commands.ready(rdy.ready))
        self._wake.set()

    async def run_timers(self) -> None:
        """Do what is due when it is due; never returns."""
        while True:
            until = min(self._look_at, self._plan_at)
            if self.backoff.phase is Phase.STOPPED:
                until = min(until, self.backoff.until)
            now = self.now()
            until = max(min(until, now + LONGEST_SLEEP), now + SHORTEST_SLEEP)
            self._wake = anyio.Event()
            with anyio.CancelScope(deadline=until):
                await self._wake.wait()
            now = self.now()
            if now - until > LATE:
                log.warning(
                    "consumer(%s): event loop was blocked for %.1f s; messages may have expired",
                    self.name,
                    now - until,
                )
            if now >= self._look_at:
                self._look_at = self._look_after(now)
            if self.backoff.advance(now) or now >= self._plan_at or self.distribution.raise_pending:
                self.plan()

    def _look_after(self, now: float) -> float:
        # With nobody subscribed there is nothing to look after; new ones come with a nudge,
        # and no timeout nsqd accepts is shorter than a second.
        looks = [subscription.look_after(now) for subscription in self.subscriptions.values()]
        return min(looks, default=now + 1.0)

    def _closed_one(self, message: Message) -> None:
        self.open_count -= 1
        if self._copies.open:
            self._copies.closed(message)
        if self.distribution.raise_pending:
            self._wake.set()
        if self._idle is not None and not self.open_count:
            self._idle.set()
            self._idle = None
        if self.hooks.answered is not None:
            self.hooks.call("answered", message)

    def _backoff_changed(self) -> None:
        backoff = self.backoff
        if backoff.phase is Phase.FLOWING:
            log.info("consumer(%s): backoff is over", self.name)
        else:
            wait = backoff.until - self.now()
            log.warning(
                "consumer(%s): backing off for %.1f s, level %d", self.name, wait, backoff.level
            )
        self.hooks.call("backed_off", backoff.level)
        self.plan()
