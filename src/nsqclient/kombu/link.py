"""One kombu connection's event loop, in a thread of its own."""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
from kombu.utils.json import loads

from nsqclient.blocking.loop import LoopThread, loop_thread
from nsqclient.consuming.consumer import Consumer
from nsqclient.consuming.opening import open_consumer
from nsqclient.core.errors import AlreadyAnswered, ConnectionLost, MessageExpired
from nsqclient.kombu.settings import Broadcast, Settings, due_in, ephemeral, topic_of
from nsqclient.messages.message import Message
from nsqclient.publishing.opening import open_producer
from nsqclient.publishing.producer import Producer
from nsqcore.classes import Factory, define, field

log = logging.getLogger("nsqclient.kombu")

# A message that is due within this time is run now.
SOON = 0.001
# A broadcast is for those who listen. What nsqd kept as nobody did, for longer than clocks differ,
# is not heard by who comes later.
STALE = 5.0
# Broadcasts in hand, and how often nsqlookupd is asked for nsqds that are new, in seconds.
BROADCASTS, NEW_NSQDS = 100, 5.0


@define(eq=False, repr=False)
class _Subscription:
    """The consumer of one queue, and the task that takes its messages."""

    consumer: Consumer
    taking: Future[None] | None = None
    stopped: bool = False


@define(eq=False, repr=False)
class Link:
    """One kombu connection's event loop, in a thread of its own: producer, consumers, messages.

    Its methods are called by kombu's threads; those with a leading underscore run in the loop.
    """

    settings: Settings
    _stack: ExitStack = Factory(ExitStack)
    _loop: LoopThread = field(init=False)
    _producer: Producer = field(init=False)
    _subscriptions: dict[str, _Subscription] = Factory(dict)
    _inbox: deque[tuple[str, Message]] = Factory(deque)
    changed: threading.Condition = Factory(threading.Condition)

    def open(self) -> None:
        """Connect. Raises ConnectionLost if no nsqd can be reached in time."""
        settings = self.settings
        self._subscriptions.clear()
        self._inbox.clear()
        with ExitStack() as stack:
            self._loop = stack.enter_context(loop_thread())
            opening = open_producer(
                settings.nsqd, lookupd=settings.lookupd, options=settings.options
            )
            self._producer = stack.enter_context(self._loop.opened(opening))
            self._loop.call(self._connected)
            self._stack = stack.pop_all()
        # Programs of Celery end without closing their connections; the thread has to end before.
        atexit.register(self.close)

    async def _connected(self) -> None:
        with anyio.move_on_after(self.settings.connect_timeout):
            await self._producer.wait_until_connected()
            with anyio.move_on_after(self.settings.connect_timeout / 2):
                await self._producer.wait_until_settled()
            return
        raise ConnectionLost("; ".join(self._producer.health().problems) or "no nsqd was found")

    def close(self) -> None:
        """Give back what is in hand and disconnect. A forked process only forgets it."""
        atexit.unregister(self.close)
        if not self._loop.closed and os.getpid() == self._loop.process:
            self._loop.do(self._loop.run_posted)
            self._stack.close()

    def publish(self, queue: str, body: bytes, defer: float) -> None:
        """Publish to the topic of ``queue``. Raises what `Producer.publish` raises."""
        topic = topic_of(queue, self.settings.topic_prefix)
        delay = min(defer, self.settings.max_defer) or None
        self._loop.call(lambda: self._producer.publish(topic, body, defer=delay))

    def broadcast(self, exchange: str, body: bytes) -> None:
        """Publish to all queues of ``exchange``. Raises what `Producer.publish` raises."""
        topic = ephemeral(exchange, self.settings.topic_prefix)
        self._loop.call(lambda: self._producer.publish(topic, body))

    def listen(self, queue: str, broadcast: Broadcast) -> None:
        """Have what ``broadcast`` says come to `take` as messages of ``queue``, from now on.

        All nsqds are listened to, also those where nobody has sent anything yet: what is sent where
        nobody listens comes to one of those who find it later.
        """
        if self._is_subscribed(queue):
            return
        opening = open_consumer(
            ephemeral(broadcast.exchange, self.settings.topic_prefix),
            ephemeral(queue),
            nsqd=self._producer.known,
            lookupd=self.settings.lookupd,
            lookupd_poll_interval=NEW_NSQDS,
            max_in_flight=BROADCASTS,
            max_backoff=0,
            drain_timeout=0,
            options=self.settings.options,
        )
        consumer = self._stack.enter_context(self._loop.opened(opening))
        self._loop.call(lambda: self._heard(consumer))
        subscription = self._subscriptions[queue] = _Subscription(consumer)
        now = time.time_ns()
        subscription.taking = self._loop.start(
            partial(self._take_broadcasts, queue, consumer, broadcast, now)
        )

    async def _heard(self, consumer: Consumer) -> None:
        with anyio.move_on_after(self.settings.connect_timeout):
            await consumer.wait_until_connected(to=self._producer.connected)

    def _is_subscribed(self, queue: str) -> bool:
        found = self._subscriptions.get(queue)
        return found is not None and not found.stopped

    def subscribe(self, queue: str, limit: int) -> None:
        """Have the messages of ``queue`` come to `take`."""
        if self._is_subscribed(queue):
            return
        opening = open_consumer(
            topic_of(queue, self.settings.topic_prefix),
            self.settings.channel,
            nsqd=self.settings.nsqd,
            lookupd=self.settings.lookupd,
            max_in_flight=limit,
            max_backoff=0,  # a task that failed says nothing of the next one
            drain_timeout=0,
            options=self.settings.options,
        )
        consumer = self._stack.enter_context(self._loop.opened(opening))
        subscription = self._subscriptions[queue] = _Subscription(consumer)
        subscription.taking = self._loop.start(partial(self._take_all, queue, consumer))

    def limit(self, queue: str, limit: int) -> None:
        """Have so many messages of ``queue`` in hand at most."""
        found = self._subscriptions.get(queue)
        if found is not None and not found.stopped:
            self._loop.do(partial(setattr, found.consumer, "max_in_flight", limit))

    def unsubscribe(self, queue: str) -> None:
        """Take no more of ``queue``; what waits here goes back, what is in hand stays so."""
        found = self._subscriptions.get(queue)
        if found is None or found.stopped:
            return
        found.stopped = True
        self._loop.do(found.consumer.stop)
        with self.changed:
            waiting = [message for name, message in self._inbox if name == queue]
            rest = [(name, message) for name, message in self._inbox if name != queue]
            self._inbox.clear()
            self._inbox.extend(rest)
        for message in waiting:
            self.answer(message, requeue=True)

    def take(self, wanted: Callable[[str], bool]) -> tuple[str, Message] | None:
        """The oldest message of a queue that is ``wanted``; called with `changed` held."""
        for number, (queue, message) in enumerate(self._inbox):
            if wanted(queue):
                del self._inbox[number]
                return queue, message
        return None

    def answer(self, message: Message, *, requeue: bool = False) -> None:
        """Finish ``message``, or give it back at once."""
        self._loop.post(partial(self._answer, message, requeue))

    def _answer(self, message: Message, requeue: bool) -> None:
        message.auto_touch = False
        try:
            if requeue:
                message.requeue_nowait(0, backoff=False)
            else:
                message.finish_nowait()
        except MessageExpired:
            log.warning("message(%s): expired while in hand, it is delivered again", message.id)
        except AlreadyAnswered:
            log.debug("message(%s): was answered before", message.id)

    async def _take_all(self, queue: str, consumer: Consumer) -> None:
        async for message in consumer:
            try:
                later = due_in(loads(message.body), datetime.now(UTC))
            except Exception as error:  # somebody else publishes to the topic
                log.error("message(%s): is no message of kombu: %s", message.id, error)
                message.terminate_nowait("no message of kombu")
                continue
            if later > SOON:
                message.requeue_nowait(min(later, self.settings.max_defer), backoff=False)
                continue
            message.auto_touch = True
            self._came(queue, message)

    async def _take_broadcasts(
        self, queue: str, consumer: Consumer, broadcast: Broadcast, since: int
    ) -> None:
        async for message in consumer:
            is_late = message.timestamp < since - STALE * 1e9
            if is_late or not _is_meant(message.body, broadcast.key):
                message.finish_nowait()
            else:
                self._came(queue, message)

    def _came(self, queue: str, message: Message) -> None:
        with self.changed:
            self._inbox.append((queue, message))
            self.changed.notify_all()


def _is_meant(body: bytes, key: str | None) -> bool:
    """Whether a broadcast is one of kombu, and for ``key``."""
    try:
        payload: Any = loads(body)
        said = payload["properties"]["delivery_info"]["routing_key"]
    except Exception as error:  # somebody else publishes to the topic
        log.error("a broadcast is no message of kombu: %s", error)
        return False
    return key is None or said == key
