"""The client for programs without an event loop.

```python
with nsqclient.sync.open_producer("127.0.0.1:4150") as producer:
    producer.publish("orders", b"one", timeout=5)

with nsqclient.sync.open_consumer("orders", "billing", lookupd="127.0.0.1:4161") as consumer:
    for message in consumer:
        with message.process():
            handle(message.body)
```

An event loop runs in a thread for as long as the ``with`` lasts: heartbeats are
answered and long-held messages are touched whatever the program does. The calls
are those of `nsqclient` and raise what those raise; since there are no cancel
scopes here, they take a ``timeout`` in seconds and raise TimeoutError; after the
``with`` they raise `nsqclient.Closed`. One producer or consumer may be used by
several threads, but not by a forked process, which has no event loop in it: open
another there.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import anyio
import anyio.to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import Factory, define, frozen

import nsqclient
from nsqclient.core.errors import Closed
from nsqclient.messages.message import State, conclude
from nsqclient.publishing.bodies import Body

# Messages fetched from the loop's thread in one go: each trip there costs a tenth of a millisecond.
FETCH = 64

P = ParamSpec("P")
T = TypeVar("T")


@define(eq=False)
class _Loop:
    """The event loop in its thread, for calls from others. ``closed`` once the block has ended."""

    _portal: BlockingPortal
    closed: bool = False
    _process: int = Factory(os.getpid)

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """What ``function`` returns there. An interrupt here cancels it."""
        future = self._start(function)
        try:
            return future.result()
        finally:
            if not future.done():
                future.cancel()

    def do(self, function: Callable[[], T]) -> T:
        """What ``function``, which does not wait, returns there."""

        async def done() -> T:
            return function()

        return self.call(done)

    def conclude(
        self, message: nsqclient.Message, error: BaseException | None, delay: float | None
    ) -> None:
        """Give ``message`` its answer, soon; at the end of the block it was given back."""

        async def answer() -> None:
            conclude(message, error, delay)

        if not self.closed:
            self._start(answer)

    def _start(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        if os.getpid() != self._process:
            raise RuntimeError("it was opened before the fork: open another in this process")
        if self.closed:
            raise Closed("its block has ended")
        return self._portal.start_task_soon(function)


@frozen(eq=False, repr=False)
class Message:
    """A message, open until it is finished or requeued (see `nsqclient.Message`)."""

    _loop: _Loop
    _message: nsqclient.Message

    def __repr__(self) -> str:
        return repr(self._message)

    @property
    def id(self) -> str:
        """Its id: 16 hex digits, the same at every delivery."""
        return self._message.id

    @property
    def body(self) -> bytes:
        """The bytes that were published."""
        return self._message.body

    @property
    def timestamp(self) -> int:
        """When it was published: nanoseconds since 1970, by nsqd's clock."""
        return self._message.timestamp

    @property
    def attempts(self) -> int:
        """How often it was delivered, this time included."""
        return self._message.attempts

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self._message.topic

    @property
    def nsqd(self) -> str:
        """The address of the nsqd it came from."""
        return self._message.nsqd

    def json(self) -> Any:
        """The body, decoded from JSON; raises ValueError if it is none."""
        return self._message.json()

    def finish(self) -> None:
        """Tell nsqd that the message is done."""
        self._loop.do(self._message.finish_nowait)

    def requeue(self, delay: float | None = None, *, backoff: bool = True) -> None:
        """Give the message back, to be delivered again after ``delay`` seconds."""
        self._loop.do(lambda: self._message.requeue_nowait(delay, backoff=backoff))

    def touch(self) -> None:
        """Start the timeout anew."""
        self._loop.call(self._message.touch)

    @contextmanager
    def process(
        self, *, requeue_delay: float | None = None, auto_touch: bool = True
    ) -> Iterator[Self]:
        """A context that answers: FIN if its block succeeds, REQ if it raises."""
        raised: BaseException | None = None
        self._message.auto_touch = auto_touch
        try:
            yield self
        except BaseException as error:
            raised = error
            raise
        finally:
            self._loop.conclude(self._message, raised, requeue_delay)


@define(eq=False, repr=False)
class Producer:
    """Publishes to a set of nsqds. Made by `open_producer`."""

    _loop: _Loop
    _producer: nsqclient.Producer

    def __repr__(self) -> str:
        return repr(self._producer)

    def publish(
        self, topic: str, body: Body, *, defer: float | None = None, timeout: float | None = None
    ) -> None:
        """Publish one message; returns when nsqd has it. After a timeout it may or may not have."""

        async def publish() -> None:
            with anyio.fail_after(timeout):
                await self._producer.publish(topic, body, defer=defer)

        self._loop.call(publish)

    def publish_many(
        self, topic: str, bodies: Sequence[Body], *, timeout: float | None = None
    ) -> None:
        """Publish all of ``bodies`` or none; returns when nsqd has them."""

        async def publish() -> None:
            with anyio.fail_after(timeout):
                await self._producer.publish_many(topic, bodies)

        self._loop.call(publish)

    def _close(self) -> None:
        """Nothing is left to do when the block ends."""


@define(eq=False, repr=False)
class Consumer:
    """Messages of a channel: iterate over it, or `run` a handler. Made by `open_consumer`."""

    _loop: _Loop
    _consumer: nsqclient.Consumer
    _fetched: deque[nsqclient.Message] = Factory(deque)
    _stopped: bool = False
    _turn: threading.Lock = Factory(threading.Lock)

    def __repr__(self) -> str:
        return repr(self._consumer)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """The next message; the iteration ends only when the consumer is stopped."""
        message = self._next(None)
        if message is None:
            raise StopIteration
        return message

    def get(self, timeout: float | None = None) -> Message | None:
        """The next message; None once the consumer is stopped. Raises TimeoutError."""
        return self._next(timeout)

    def run(
        self,
        handler: Callable[[Message], object],
        *,
        concurrency: int = 1,
        requeue_delay: float | None = None,
        auto_touch: bool = True,
    ) -> None:
        """Call ``handler`` with each message, in up to ``concurrency`` threads at a time.

        Finishes the message when the handler returns, requeues it when it
        raises. Returns when the consumer is stopped.
        """
        limiter: list[anyio.CapacityLimiter] = []

        async def handle(message: nsqclient.Message) -> None:
            received = Message(self._loop, message)
            await anyio.to_thread.run_sync(handler, received, limiter=limiter[0])

        async def run() -> None:
            limiter.append(anyio.CapacityLimiter(concurrency))
            await self._consumer.run(
                handle, concurrency=concurrency, requeue_delay=requeue_delay, auto_touch=auto_touch
            )

        self._loop.call(run)

    def stop(self) -> None:
        """Take no more messages; iterations and runs end. For signal handlers, too.

        What was fetched and not handed out is given back.
        """
        self._stopped = True
        self._consumer.stop()

    def stats(self) -> nsqclient.ConsumerStats:
        """What happened so far."""
        return self._loop.do(self._consumer.stats)

    def _next(self, timeout: float | None) -> Message | None:
        until = None if timeout is None else time.monotonic() + timeout
        # One thread fetches for all who want some; the others find its messages when it is done.
        if not self._turn.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            raise TimeoutError
        try:
            while True:
                while self._fetched and not self._stopped:
                    message = self._fetched.popleft()
                    if message.state is State.OPEN:
                        return Message(self._loop, message)
                if self._stopped:
                    self._give_back()
                    return None
                if not self._fetch(None if until is None else until - time.monotonic()):
                    return None
        finally:
            self._turn.release()

    def _fetch(self, limit: float | None) -> bool:
        """Fetch messages; returns False if there will be none."""

        async def fetch() -> bool:
            with anyio.fail_after(limit):
                messages = await self._consumer.take_many(FETCH)
                # Put where it is found again, should this thread be interrupted.
                self._fetched.extend(messages)
            return bool(messages)

        return self._loop.call(fetch)

    def _close(self) -> None:
        """Give back what was fetched and not handed out."""
        self._consumer.stop()
        self._give_back()

    def _give_back(self) -> None:
        def give_back() -> None:
            while self._fetched:
                message = self._fetched.pop()
                message.waiting = True  # nobody has tried it
                message.holder.give_back([message])

        self._loop.do(give_back)


class _Facade(Protocol):
    def _close(self) -> None: ...


F = TypeVar("F", bound=_Facade)


def _blocking(
    opener: Callable[P, AbstractAsyncContextManager[T]], facade: Callable[[_Loop, T], F]
) -> Callable[P, AbstractContextManager[F]]:
    """``opener`` as a plain context manager, with the same arguments."""

    @contextmanager
    def open_blocking(*args: P.args, **kwargs: P.kwargs) -> Iterator[F]:
        with start_blocking_portal("asyncio") as portal:
            loop = _Loop(portal)
            try:
                with portal.wrap_async_context_manager(opener(*args, **kwargs)) as opened:
                    blocking = facade(loop, opened)
                    try:
                        yield blocking
                    finally:
                        blocking._close()
            finally:
                loop.closed = True

    return open_blocking


open_producer = _blocking(nsqclient.open_producer, Producer)
"""A producer for as long as the ``with`` lasts; takes what `nsqclient.open_producer` takes."""

open_consumer = _blocking(nsqclient.open_consumer, Consumer)
"""A consumer for as long as the ``with`` lasts; takes what `nsqclient.open_consumer` takes."""
