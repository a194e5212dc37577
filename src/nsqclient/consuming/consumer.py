"""Consuming a channel: the `Consumer` that `open_consumer` gives.

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
from collections.abc import Iterable
from typing import Self

import anyio
import anyio.lowlevel

from nsqclient.consuming.backoff import Phase
from nsqclient.consuming.batches import Batches
from nsqclient.consuming.flow_control import FlowControl
from nsqclient.consuming.runner import Handler, Runner
from nsqclient.core.arguments import Duration, coroutine_function, seconds, switch, whole
from nsqclient.core.errors import Closed
from nsqclient.core.lifetime import Closable, Health
from nsqclient.messages.message import Message
from nsqcore.classes import define, frozen

log = logging.getLogger("nsqclient")

# For CLS and its confirmation: a round trip, with room for a busy nsqd.
CLOSE_TIMEOUT = 1.0


@frozen
class ConsumerStats:
    """Counts since the consumer was opened, and what it holds now.

    ``given_up`` are messages that ``on_give_up`` has dealt with, ``refused_answers``
    FINs, REQs and TOUCHes that came too late for nsqd.
    """

    received: int
    finished: int
    requeued: int
    timed_out: int
    in_flight: int
    connections: int
    backoff_level: int
    given_up: int = 0
    refused_answers: int = 0


@define(eq=False, repr=False)
class Consumer(Closable):
    """Messages of a channel: iterate over it, or `run` a handler, or take `batches`.

    Several tasks may take from one consumer at once; each message goes to one.
    Made by `open_consumer`.
    """

    _control: FlowControl
    _drain_timeout: float

    def __repr__(self) -> str:
        control = self._control
        return (
            f"<Consumer of {control.name}: {len(control.subscriptions)} connections, "
            f"{control.open_count} messages in hand>"
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. The iteration ends only when the consumer is stopped or closed.

        Raises:
            AuthFailed, ProtocolError, ConnectionLost: none of the nsqds takes us, and none will:
                another secret, other settings or another certificate is needed.
        """
        message = await self._take()
        if message is None:
            raise StopAsyncIteration
        return message

    async def run(
        self,
        handler: Handler,
        *,
        concurrency: int = 1,
        requeue_delay: Duration | None = None,
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
                longer than nsqd's longest timeout (without this: than its message timeout), or
                whose connection is lost, is cancelled: nsqd has given the message to another.

        Raises:
            TypeError: the handler is no async function, or an argument is of a wrong type.
        """
        coroutine_function(handler, "handler")
        whole(concurrency, "concurrency", lowest=1)
        delay = None if requeue_delay is None else seconds(requeue_delay, "requeue_delay")
        switch(auto_touch, "auto_touch")
        runner = Runner(self._take, handler, delay, auto_touch, self._drain_timeout)
        await runner.run(concurrency)

    async def take_many(self, limit: int) -> list[Message]:
        """Up to ``limit`` messages: those that are there, at least one; none once it is stopped."""
        whole(limit, "limit", lowest=1)
        first = await self._take()
        messages = [] if first is None else [first]
        while messages and len(messages) < limit:
            message = self._control.buffer.take_nowait()
            if message is None:
                break
            messages.append(message)
        return messages

    def batches(self, *, max_size: int = 100, max_wait: Duration = 1.0) -> Batches:
        """An iterator of batches of up to ``max_size`` messages.

        A batch is handed over when it is full, when no nsqd can send more before some are
        answered, or ``max_wait`` seconds after its first message came. One larger than
        ``max_in_flight`` never fills, which is logged.
        """
        whole(max_size, "max_size", lowest=1)
        wait = seconds(max_wait, "max_wait")
        control = self._control
        if max_size > control.distribution.max_in_flight:
            log.warning(
                "consumer(%s): batches of %d never fill: max_in_flight is %d",
                control.name,
                max_size,
                control.distribution.max_in_flight,
            )
        is_exhausted = control.distribution.is_exhausted
        return Batches(control.buffer, self.__anext__, is_exhausted, max_size, wait)

    async def wait_until_connected(self, *, to: Iterable[str] = ()) -> None:
        """Return when an nsqd has confirmed a subscription, and all those of the addresses ``to``
        have. Limit it with a cancel scope.

        Raises:
            AuthFailed, ProtocolError, ConnectionLost: none of the nsqds takes us, and none will.
            Closed: the consumer is stopped or closed.
        """
        await anyio.lowlevel.checkpoint()
        control, wanted = self._control, set(to)
        while not control.subscribed or not wanted.issubset(control.subscribed):
            if control.failure is not None:
                raise control.failure
            if control.stopping:
                raise Closed(f"the consumer of {control.name} is stopped")
            await control.changed.wait()

    async def until_idle(self, *, quiet: Duration = 1.0) -> None:
        """Return when all messages are answered, and none has come for ``quiet`` seconds.

        For jobs and tests that end when there is nothing left. Begins to count when an nsqd has
        confirmed the subscription and no backoff is on. What nsqd delivers later, because it was
        deferred or requeued with a longer delay, is not waited for.

        Raises:
            AuthFailed, ProtocolError, ConnectionLost: none of the nsqds takes us, and none will.
            Closed: the consumer is stopped or closed.
        """
        wait = seconds(quiet, "quiet")
        control = self._control
        while True:
            await self.wait_until_connected()
            await control.wait_until_idle()
            received, phase = control.received, control.backoff.phase
            await anyio.sleep(wait)
            flowing = Phase.STOPPED not in (phase, control.backoff.phase)
            quiet_now = control.received == received and not control.open_count
            if quiet_now and flowing and control.subscribed:
                return

    def stop(self) -> None:
        """Take no more messages: give back those nobody took, end iterations and runs.

        Messages in hand can still be answered. May be called in a signal handler and from other
        threads.
        """
        self._control.stop_soon()

    @property
    def max_in_flight(self) -> int:
        """How many messages may be on their way or in hand. May be set; 0 takes none for now.

        Messages in hand stay there; lowering it takes effect as they are answered.
        """
        return self._control.distribution.max_in_flight

    @max_in_flight.setter
    def max_in_flight(self, count: int) -> None:
        whole(count, "max_in_flight")
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
            given_up=control.given_up,
            refused_answers=control.refused_answers,
        )

    def health(self) -> Health:
        """How it is: ``ok`` while an nsqd has confirmed the subscription and it is not stopped."""
        control = self._control
        errors = [*control.connection_errors.values(), *control.lookupd_errors.values()]
        if control.failure is not None:
            errors.insert(0, str(control.failure))
        elif control.stopping:
            errors.insert(0, "stopped")
        elif not control.subscribed:
            errors.insert(0, "no nsqd has confirmed the subscription")
        if control.backoff.level:
            errors.append(f"backing off after failures, level {control.backoff.level}")
        ok = bool(control.subscribed) and not control.stopping
        return Health(ok=ok, connected=sorted(control.subscribed), problems=errors)

    async def _take(self) -> Message | None:
        """The next message; None at the end."""
        message = await self._control.buffer.take()
        if message is None and self._control.failure is not None:
            raise self._control.failure
        return message

    def _fail(self, error: Exception) -> None:
        self._control.fail(error)

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
