"""The client for programs without an event loop.

```python
import nsqclient.sync

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

import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

import anyio

import nsqclient
from nsqclient.blocking.loop import Blocking, LoopThread
from nsqclient.blocking.messages import Batch, Message
from nsqclient.core.arguments import Duration, function, number_of_seconds, seconds, whole
from nsqclient.core.errors import Closed
from nsqclient.messages.message import State
from nsqcore.classes import Factory, define

__all__ = ["Batch", "Consumer", "Message", "Producer", "open_consumer", "open_producer"]

log = logging.getLogger("nsqclient")

# Messages fetched from the loop's thread in one go, at most: each trip there costs a tenth of a
# millisecond. A program that takes longer for each gets them one by one.
FETCH = 64
QUICK = 0.05

P = ParamSpec("P")
T = TypeVar("T")


@define(eq=False, repr=False)
class Producer:
    """Publishes to a set of nsqds. Made by `open_producer`."""

    _loop: LoopThread
    _producer: nsqclient.Producer

    def __repr__(self) -> str:
        return repr(self._producer)

    def publish(
        self,
        topic: str,
        body: Any,
        *,
        defer: Duration | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Publish one message; returns when nsqd has it. After a timeout it may or may not have."""
        limit = _limit(timeout)

        async def publish() -> None:
            with anyio.fail_after(limit):
                await self._producer.publish(topic, body, defer=defer, headers=headers)

        self._loop.call(publish)

    def publish_many(
        self,
        topic: str,
        bodies: Sequence[Any],
        *,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Publish all of ``bodies`` or none; returns when nsqd has them."""
        limit = _limit(timeout)

        async def publish() -> None:
            with anyio.fail_after(limit):
                await self._producer.publish_many(topic, bodies, headers=headers)

        self._loop.call(publish)

    def wait_until_connected(self, timeout: Duration | None = None) -> None:
        """Return when at least one nsqd is connected. Raises TimeoutError."""
        limit = _limit(timeout)

        async def wait() -> None:
            with anyio.fail_after(limit):
                await self._producer.wait_until_connected()

        self._loop.call(wait)

    def health(self) -> nsqclient.Health:
        """How it is, for probes and status pages."""
        return self._loop.do(self._producer.health)

    def _close(self) -> None:
        """Nothing is left to do when the block ends."""


@define(eq=False, repr=False)
class Consumer:
    """Messages of a channel: iterate over it, or `run` a handler. Made by `open_consumer`."""

    _loop: LoopThread
    _consumer: nsqclient.Consumer
    _fetched: deque[nsqclient.Message] = Factory(deque)
    _turn: threading.Lock = Factory(threading.Lock)
    _size: int = 1
    _fetched_at: float = 0.0
    _stopped: bool = False

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

    def get(self, timeout: Duration | None = None) -> Message | None:
        """The next message; None once the consumer is stopped. Raises TimeoutError."""
        return self._next(_limit(timeout))

    def run(
        self,
        handler: Callable[[Message], object],
        *,
        concurrency: int = 1,
        requeue_delay: Duration | None = None,
        auto_touch: bool = True,
    ) -> None:
        """Call ``handler`` with each message, in up to ``concurrency`` threads at a time.

        Finishes the message when the handler returns, requeues it when it raises. Returns when
        the consumer is stopped. Interrupted, it stops the consumer and does not wait for
        handlers; the end of the ``with`` does, for ``drain_timeout``.
        """
        function(handler, "handler")
        if inspect.iscoroutinefunction(handler):
            raise TypeError("handler is a plain function here, not an async one")
        whole(concurrency, "concurrency", lowest=1)
        delay = None if requeue_delay is None else seconds(requeue_delay, "requeue_delay")
        over = threading.Semaphore(0)
        fatal: list[BaseException] = []

        def work() -> None:
            try:
                while not fatal and (message := self._next(None)) is not None:
                    try:
                        with message.process(requeue_delay=delay, auto_touch=auto_touch):
                            handler(message)
                    except Exception:
                        log.exception("message(%s): handler failed, requeueing it", message.id)
            except BaseException as error:
                fatal.append(error)
                if not self._stopped:
                    self.stop()
            finally:
                over.release()

        for _ in range(concurrency):
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in range(concurrency):
                over.acquire()
        except BaseException:
            self.stop()
            raise
        if fatal:
            raise fatal[0]

    def batches(self, *, max_size: int = 100, max_wait: Duration = 1.0) -> Iterator[Batch]:
        """Batches of up to ``max_size`` messages (see `nsqclient.Consumer.batches`)."""
        batches = self._loop.do(
            lambda: self._consumer.batches(max_size=max_size, max_wait=max_wait)
        )
        return self._batches(batches.__anext__)

    def wait_until_connected(self, timeout: Duration | None = None) -> None:
        """Return when an nsqd has confirmed a subscription. Raises TimeoutError."""
        limit = _limit(timeout)

        async def wait() -> None:
            with anyio.fail_after(limit):
                await self._consumer.wait_until_connected()

        self._loop.call(wait)

    @property
    def max_in_flight(self) -> int:
        """How many messages may be on their way or in hand. May be set; 0 takes none for now."""
        return self._consumer.max_in_flight

    @max_in_flight.setter
    def max_in_flight(self, count: int) -> None:
        self._loop.do(partial(setattr, self._consumer, "max_in_flight", count))

    def stop(self) -> None:
        """Take no more messages; iterations and runs end. For signal handlers, too.

        What was fetched and not handed out is given back.
        """
        if self._loop.closed:
            raise Closed("its block has ended")
        self._stopped = True
        self._consumer.stop()
        self._loop.post(self._give_back)

    def stats(self) -> nsqclient.ConsumerStats:
        """What happened so far."""
        return self._loop.do(self._consumer.stats)

    def until_idle(self, *, quiet: Duration = 1.0, timeout: Duration | None = None) -> None:
        """Return when all messages are answered, and none has come for ``quiet`` seconds."""
        limit = _limit(timeout)

        async def wait() -> None:
            with anyio.fail_after(limit):
                await self._consumer.until_idle(quiet=quiet)

        self._loop.call(wait)

    def health(self) -> nsqclient.Health:
        """How it is, for probes and status pages."""
        return self._loop.do(self._consumer.health)

    def _batches(self, take: Callable[[], "object"]) -> Iterator[Batch]:
        async def next_batch() -> nsqclient.Batch | None:
            try:
                batch: nsqclient.Batch = await take()  # type: ignore[misc]
            except StopAsyncIteration:
                return None
            return batch

        while (batch := self._loop.call(next_batch)) is not None:
            messages = [Message(self._loop, message) for message in batch.messages]
            yield Batch(self._loop, batch, messages)

    def _next(self, timeout: float | None) -> Message | None:
        until = None if timeout is None else time.monotonic() + timeout
        # One thread fetches for all who want some; the others find its messages when it is done.
        if not self._turn.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            raise TimeoutError
        try:
            while True:
                while self._fetched and not self._stopped:
                    try:
                        message = self._fetched.popleft()
                    except IndexError:
                        break  # the consumer was stopped just now
                    if message.state is State.OPEN:
                        message.waiting = message.auto_touch = False
                        return Message(self._loop, message)
                if not self._fetch(None if until is None else until - time.monotonic()):
                    return None
        finally:
            self._turn.release()

    def _fetch(self, limit: float | None) -> bool:
        """Fetch messages; returns False if there will be none."""
        quick = time.monotonic() - self._fetched_at < QUICK
        self._size = min(FETCH, self._size * 2) if quick else max(1, self._size // 2)

        async def fetch() -> bool:
            with anyio.fail_after(limit):
                messages = await self._consumer.take_many(self._size)
                for message in messages:
                    message.waiting = message.auto_touch = True  # nobody has it yet
                # Put where it is found again, should this thread be interrupted.
                self._fetched.extend(messages)
            return bool(messages)

        found = self._loop.call(fetch)
        self._fetched_at = time.monotonic()
        return found

    def _close(self) -> None:
        """Give back what was fetched and not handed out."""
        self._stopped = True
        self._consumer.stop()
        self._loop.do(self._loop.run_posted)
        self._loop.do(self._give_back)

    def _give_back(self) -> None:
        while self._fetched:
            message = self._fetched.pop()
            message.auto_touch = False
            message.holder.give_back([message])


def _limit(timeout: Duration | None) -> float | None:
    return None if timeout is None else number_of_seconds(timeout, "timeout")


def _blocking(
    opener: Callable[P, AbstractAsyncContextManager[T]],
    facade: Callable[[LoopThread, T], "F"],
    kind: type,
) -> Callable[P, AbstractContextManager["F"]]:
    """``opener`` as a plain context manager, with the same arguments."""

    def open_blocking(*args: P.args, **kwargs: P.kwargs) -> AbstractContextManager["F"]:
        return Blocking(lambda: opener(*args, **kwargs), facade, _close)  # type: ignore[arg-type]

    open_blocking.__name__ = open_blocking.__qualname__ = getattr(opener, "__name__", "open")
    open_blocking.__doc__ = opener.__doc__
    signature = inspect.signature(opener)
    open_blocking.__signature__ = signature.replace(  # type: ignore[attr-defined]
        return_annotation=AbstractContextManager[kind]  # type: ignore[valid-type]
    )
    return open_blocking


F = TypeVar("F", Producer, Consumer)


def _close(facade: Producer | Consumer) -> None:
    facade._close()


open_producer = _blocking(nsqclient.open_producer, Producer, Producer)
open_consumer = _blocking(nsqclient.open_consumer, Consumer, Consumer)
