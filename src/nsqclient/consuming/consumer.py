"""Consuming a channel: `open_consumer`, and the `Consumer` it gives.

```
nsqd ══▶ Connection ─records─▶ Subscription ─messages─▶ FlowControl ─▶ async for · run · batches
     ◀══           ◀─FIN, REQ─              ◀─answers──      │
                                            ◀─RDY────────────┘
```

Everything runs inside the ``async with`` of `open_consumer`. Leaving it, or
cancelling what is round it, stops the buffer, gives back what nobody took,
waits up to ``drain_timeout`` for messages in hand, gives back the rest, and says
goodbye to each nsqd, which confirms that it has seen every answer.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Self

import anyio
from attrs import define, field, frozen, validators

from nsqclient.connection.stream import check_address
from nsqclient.consuming.backoff import Backoff
from nsqclient.consuming.batches import Batches
from nsqclient.consuming.connection_manager import ConnectionManager
from nsqclient.consuming.discovery import Discovery, Source, topic_filter
from nsqclient.consuming.flow_control import FlowControl
from nsqclient.consuming.max_attempts import GiveUp, drop
from nsqclient.consuming.rdy import STRATEGIES, RdyDistribution, Strategy
from nsqclient.consuming.runner import Handler, Runner
from nsqclient.core.background import background
from nsqclient.core.options import ConnectionOptions
from nsqclient.http.api import check_url
from nsqclient.messages.hooks import Hooks
from nsqclient.messages.message import Message, conclude
from nsqcore.names import is_valid_name

log = logging.getLogger("nsqclient")

# For CLS and its confirmation: a round trip, with room for a busy nsqd.
CLOSE_TIMEOUT = 1.0


@frozen
class ConsumerStats:
    """Counts since the consumer was opened, and what it holds now."""

    received: int
    finished: int
    requeued: int
    timed_out: int
    in_flight: int
    connections: int
    backoff_level: int


@define(eq=False, repr=False)
class Consumer:
    """Messages of a channel: iterate over it, or `run` a handler, or take `batches`.

    Several tasks may take from one consumer at once; each message goes to one.
    Made by `open_consumer`.
    """

    _control: FlowControl
    _max_attempts: int | None = field(validator=validators.optional(validators.ge(1)))
    _on_give_up: GiveUp
    _drain_timeout: float
    _screened: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._screened = self._max_attempts is not None

    def __repr__(self) -> str:
        control = self._control
        return (
            f"<Consumer of {control.name}: {len(control.subscriptions)} connections, "
            f"{control.open_count} messages in hand>"
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. The iteration ends only when the consumer is stopped or closed."""
        message = await self._take()
        if message is None:
            raise StopAsyncIteration
        return message

    async def run(
        self,
        handler: Handler,
        *,
        concurrency: int = 1,
        requeue_delay: float | None = None,
        auto_touch: bool = True,
    ) -> None:
        """Call ``handler`` with each message, up to ``concurrency`` at a time.

        Finishes the message when the handler returns; requeues it when the
        handler raises, logs that, and goes on. Returns when the consumer is
        stopped. Cancelled, it takes no more messages and gives the handlers
        ``drain_timeout`` seconds to end before they are cancelled, too.

        Args:
            requeue_delay: seconds; None for a delay that doubles with every attempt.
            auto_touch: keep messages from expiring while they are handled. A handler that takes
                longer than nsqd's longest timeout (without this: than its message timeout) is
                cancelled.
        """
        if concurrency < 1:
            raise ValueError("concurrency is 1 or more")
        runner = Runner(self._take, handler, requeue_delay, auto_touch, self._drain_timeout)
        await runner.run(concurrency)

    async def take_many(self, limit: int) -> list[Message]:
        """Up to ``limit`` messages: those that are there, at least one.

        Raises:
            StopAsyncIteration: the consumer is stopped.
        """
        messages = [await self.__anext__()]
        while len(messages) < limit and (message := self._control.buffer.take_nowait()) is not None:
            if not self._is_good(message):
                self._control.buffer.put_back(message)
                break
            messages.append(message)
        return messages

    def batches(self, *, max_size: int = 100, max_wait: float = 1.0) -> Batches:
        """An iterator of batches of up to ``max_size`` messages.

        A batch is handed over when it is full, or ``max_wait`` seconds after
        its first message came. One larger than ``max_in_flight`` cannot fill,
        so ``max_size`` is cut to that.
        """
        if max_size < 1:
            raise ValueError("max_size is 1 or more")
        size = min(max_size, self._control.distribution.max_in_flight)
        return Batches(self._control.buffer, self.__anext__, self._is_good, size, max_wait)

    def stop(self) -> None:
        """Take no more messages: give back those nobody took, end iterations and runs.

        Messages in hand can still be answered. For a signal handler, say.
        """
        self._control.stop()

    @property
    def max_in_flight(self) -> int:
        """How many messages may be on their way or in hand. May be set; 0 takes none for now.

        Messages in hand stay there; lowering it takes effect as they are answered.
        """
        return self._control.distribution.max_in_flight

    @max_in_flight.setter
    def max_in_flight(self, count: int) -> None:
        self._control.distribution.max_in_flight = count
        self._control.plan()

    def is_starved(self) -> bool:
        """Whether an nsqd will soon send no more, until messages in hand are answered.

        For programs that hold many messages to answer them together. The original client asks the
        same way: most of what a connection may have in flight is.
        """
        connections = self._control.distribution.connections
        return any(c.in_flight and c.in_flight >= 0.85 * c.ready for c in connections)

    def stats(self) -> ConsumerStats:
        """What happened so far."""
        control = self._control
        return ConsumerStats(
            received=control.received,
            finished=control.finished,
            requeued=control.requeued,
            timed_out=control.timed_out,
            in_flight=control.open_count,
            connections=len(control.subscriptions),
            backoff_level=control.backoff.level,
        )

    async def _take(self) -> Message | None:
        """The next message that was not delivered too often; None at the end."""
        if not self._screened:
            return await self._control.buffer.take()
        while True:
            message = await self._control.buffer.take()
            if message is None or self._is_good(message):
                return message
            await self._give_up(message)

    def _is_good(self, message: Message) -> bool:
        return self._max_attempts is None or message.attempts <= self._max_attempts

    async def _give_up(self, message: Message) -> None:
        error: BaseException | None = None
        message.auto_touch = True
        try:
            await self._on_give_up(message)
        except Exception as raised:
            error = raised
            log.exception("message(%s): the give-up action failed, requeueing it", message.id)
        except BaseException as raised:
            error = raised
            raise
        finally:
            conclude(message, error, None)

    def _fail(self, error: Exception) -> None:
        self._control.stop()

    async def _close_connections(self) -> None:
        control = self._control
        control.stop()
        with anyio.move_on_after(self._drain_timeout):
            await control.wait_until_idle()
        count = control.give_everything_back()
        if count:
            log.warning("consumer(%s): gave %d unfinished messages back", control.name, count)
        with anyio.move_on_after(CLOSE_TIMEOUT):
            async with anyio.create_task_group() as tasks:
                for subscription in control.subscriptions.values():
                    tasks.start_soon(subscription.connection.say_goodbye)


@asynccontextmanager
async def open_consumer(
    topic: str | None = None,
    channel: str = "",
    *,
    lookupd: str | Sequence[str] = (),
    nsqd: str | Sequence[str] = (),
    topics: str | re.Pattern[str] | None = None,
    max_in_flight: int = 25,
    ready: Literal["equal", "by_rate"] | Strategy = "equal",
    max_attempts: int | None = None,
    on_give_up: GiveUp = drop,
    requeue_delay: float = 1.0,
    max_requeue_delay: float = 900.0,
    max_backoff: float = 120.0,
    backoff_unit: float = 1.0,
    drain_timeout: float = 5.0,
    lookupd_poll_interval: float = 60.0,
    lookupd_poll_jitter: float = 0.3,
    lookupd_timeout: float = 5.0,
    options: ConnectionOptions | None = None,
    hooks: Hooks | None = None,
) -> AsyncIterator[Consumer]:
    """A consumer of ``channel`` of ``topic``, for as long as the ``async with`` lasts.

    It connects in the background to the nsqds given, or to those that the
    nsqlookupds name, keeps the connections up, and looks for new ones. All
    times are seconds.

    Args:
        lookupd: HTTP addresses of nsqlookupds, ``host:port`` or URLs.
        nsqd: TCP addresses of nsqds; reconnected to for ever. Both kinds may be given.
        topics: instead of ``topic``, all topics whose names fit: ``"order_*"``, or a compiled
            expression; looked for again with every poll.
        max_in_flight: how many messages may be on their way or in hand, over all connections.
        ready: how that is shared among connections: ``equal``, ``by_rate``, or a function.
        max_attempts: deliveries after which ``on_give_up`` gets the message; None is never.
        on_give_up: see `nsqclient.consuming.max_attempts`; the default logs and drops.
        requeue_delay: after the first failure; doubles with each, up to ``max_requeue_delay``.
        max_backoff: the longest time without messages after failures; 0 turns backing off off.
        backoff_unit: the base of these times: it is doubled at each level.
        drain_timeout: how long leaving waits for messages in hand.
        lookupd_poll_jitter: the largest part of the interval added to it at random.

    Raises:
        ValueError: a name, an address or a setting is wrong, or there is nowhere to consume from.
    """
    lookupds = [lookupd] if isinstance(lookupd, str) else list(lookupd)
    nsqds = [nsqd] if isinstance(nsqd, str) else list(nsqd)
    wanted = _check(topic, topics, channel, lookupds, nsqds)
    if ready in STRATEGIES:
        strategy = STRATEGIES[ready]
    elif isinstance(ready, str):
        raise ValueError(f"{ready!r} is no way to share: {', '.join(STRATEGIES)}, or a function")
    else:
        strategy = ready
    if max_in_flight < 1:
        raise ValueError("max_in_flight is 1 or more")
    control = FlowControl(
        name=f"{topic or topics}/{channel}",
        distribution=RdyDistribution(max_in_flight, strategy),
        backoff=Backoff(backoff_unit, max_backoff),
        hooks=hooks or Hooks(),
        first_requeue_delay=requeue_delay,
        longest_requeue_delay=max_requeue_delay,
    )
    consumer = Consumer(control, max_attempts, on_give_up, drain_timeout)
    fixed = frozenset(Source(topic, address) for address in nsqds) if topic else frozenset()
    async with background(consumer._close_connections, consumer._fail) as tasks:
        connections = ConnectionManager(
            channel, control, options or ConnectionOptions(), tasks, fixed
        )
        connections.want(())
        tasks.start(control.run_timers)
        discovery = Discovery(
            wanted, lookupd_poll_interval, lookupd_poll_jitter, lookupd_timeout, connections.want
        )
        for address in lookupds:
            tasks.start(discovery.poll, address)
        yield consumer


def _check(
    topic: str | None,
    topics: str | re.Pattern[str] | None,
    channel: str,
    lookupds: list[str],
    nsqds: list[str],
) -> str | Callable[[str], bool]:
    """The topic, or what tells which are meant; raises ValueError where something does not fit."""
    if not is_valid_name(channel):
        raise ValueError(f"{channel!r} is not a valid channel name")
    if not lookupds and not nsqds:
        raise ValueError("nowhere to consume from: give lookupd or nsqd addresses")
    for address in nsqds:
        check_address(address)
    for address in lookupds:
        check_url(address)
    if topic is not None and topics is None:
        if not is_valid_name(topic):
            raise ValueError(f"{topic!r} is not a valid topic name")
        return topic
    if topics is None or topic is not None:
        raise ValueError("give either a topic or a pattern of topics")
    if not lookupds or nsqds:
        raise ValueError("a pattern of topics needs nsqlookupds, and them alone")
    return topic_filter(topics)
