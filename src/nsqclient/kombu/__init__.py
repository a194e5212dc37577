"""A transport of kombu: Celery, and all that speaks through kombu, on NSQ.

```python
import nsqclient.kombu  # makes the two kinds of addresses known
from celery import Celery

app = Celery(broker="nsq://127.0.0.1:4150")  # or nsq+lookupd://127.0.0.1:4161
```

A queue is a topic of the same name, and all workers share one channel of it (transport option
``channel``). What is to be run later (``countdown``, ``eta``, the waits of retries) is deferred by
nsqd: no worker holds it. A message is finished when kombu acknowledges it, and kept from expiring
until then; what a worker has in hand when it ends, or is killed, nsqd gives to another.

A fanout exchange is an ephemeral topic, and each queue bound to it an ephemeral channel of that:
remote control works so, ``celery inspect`` too. Who asks by it is answered by such a topic as well,
as a worker cannot know what others have bound. There are no priorities, and no events. Times are
seconds.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

from nsqclient.core.errors import ClientError
from nsqclient.core.options import ConnectionOptions
from nsqclient.kombu.link import Link
from nsqclient.kombu.settings import Broadcast, Settings, due_in, is_for_replies
from nsqclient.messages.message import Message

TRANSPORT_ALIASES["nsq"] = f"{__name__}:Transport"

# Messages in hand where kombu sets no limit; nsqd's own --max-rdy-count.
UNLIMITED = 2500

# How long `Channel.basic_get` waits for a message.
GET_TIMEOUT = 0.5


class QoS(virtual.QoS):  # type: ignore[misc]
    """The messages in hand; answers go to nsqd."""

    # The consumers give back what is in hand when they are closed.
    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        """Finish a message."""
        self.channel.answer(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or finish it."""
        self.channel.answer(delivery_tag, requeue=requeue)
        super().ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Give back all that is in hand."""
        self._flush()
        for tag in list(self._delivered):
            self.channel.answer(tag, requeue=True)
        self._delivered.clear()
        return []


class Channel(virtual.Channel):  # type: ignore[misc]
    """A channel of kombu; a queue of it is a topic."""

    QoS = QoS
    do_restore = False
    supports_fanout = True

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._link: Link = connection.link
        self._in_hand: dict[str, Message] = {}
        self._unacknowledged: set[str] = set()

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> None:
        """Consume from ``queue``; with ``no_ack`` what is delivered is finished."""
        super().basic_consume(queue, no_ack, *args, **kwargs)
        self.connection.consumed_by[queue] = self
        (self._unacknowledged.add if no_ack else self._unacknowledged.discard)(queue)
        self._subscribe(queue, self.qos.prefetch_count or UNLIMITED)

    def _subscribe(self, queue: str, limit: int) -> None:
        broadcast = self.connection.broadcasts.get(queue)
        if broadcast is None:
            self._link.subscribe(queue, limit)
        else:
            self._link.listen(queue, broadcast)

    def basic_cancel(self, consumer_tag: str) -> None:
        """End a consumer; what it has in hand can still be acknowledged."""
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue is not None:
            self.connection.consumed_by.pop(queue, None)
            # One that is bound to a broadcast goes on to hear it until it is deleted.
            if queue not in self.connection.broadcasts:
                self._link.unsubscribe(queue)

    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, *_: Any, **__: Any
    ) -> None:
        """Have so many messages in hand at most; 0 is no limit."""
        self.qos.prefetch_count = prefetch_count
        for queue in self._active_queues:
            if queue not in self.connection.broadcasts:
                self._link.limit(queue, prefetch_count or UNLIMITED)

    def basic_publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, **kwargs: Any
    ) -> None:
        """Publish to an exchange, or without one to the queue that ``routing_key`` names."""
        if is_for_replies(exchange):
            self._inplace_augment_message(message, exchange, routing_key)
            self._put_fanout(exchange, message, routing_key)
        else:
            super().basic_publish(message, exchange, routing_key, **kwargs)

    def after_reply_message_received(self, queue: str) -> None:
        """The queue of answers is kept for the next question."""

    def answer(self, tag: str, *, requeue: bool = False) -> None:
        """Finish the message of a delivery tag, or give it back."""
        message = self._in_hand.pop(tag, None)
        if message is not None:
            self._link.answer(message, requeue=requeue)
        with self._link.changed:
            self._link.changed.notify_all()

    def opened(self, message: Message, queue: str) -> dict[str, Any]:
        """What ``message`` holds, in hand from now on; each delivery has a tag of its own."""
        payload: dict[str, Any] = loads(message.body)
        tag = payload["properties"]["delivery_tag"] = uuid()
        if message.attempts > 1:
            payload["properties"].setdefault("delivery_info", {})["redelivered"] = True
        if queue in self._unacknowledged:
            self._link.answer(message)
        else:
            self._in_hand[tag] = message
        return payload

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        *args: Any,
        **more: Any,
    ) -> None:
        """Have ``queue`` get what ``exchange`` sends: from now on, where it sends to everybody."""
        super().queue_bind(queue, exchange, routing_key, *args, **more)
        # kombu knows the bindings of the whole process; each connection has to listen by itself.
        self._listen(exchange or "", routing_key, queue)

    def _queue_bind(self, *_: Any) -> None:
        """What kombu asks for once per process."""

    def _listen(self, exchange: str, key: str, queue: str) -> None:
        if self.typeof(exchange).type == "fanout":
            broadcast = Broadcast(exchange)
        elif is_for_replies(exchange):
            broadcast = Broadcast(exchange, key)
        else:
            return
        self.connection.broadcasts[queue] = broadcast
        self._link.listen(queue, broadcast)

    def _put_fanout(
        self, exchange: str, message: dict[str, Any], _routing_key: str, **_: Any
    ) -> None:
        self._link.broadcast(exchange, dumps(message).encode())

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if self.connection.broadcasts.pop(queue, None) is None:
            super()._delete(queue, *args, **kwargs)
        else:
            self._link.unsubscribe(queue)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self._link.publish(queue, dumps(message).encode(), due_in(message, datetime.now(UTC)))

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        self._subscribe(queue, 1)
        found = self.connection.wait_for(lambda name: name == queue, timeout or GET_TIMEOUT)
        if found is None:
            raise Empty
        return self.opened(found[1], queue)

    def _purge(self, queue: str) -> int:
        count = 0
        while True:
            try:
                payload = self._get(queue)
            except Empty:
                return count
            self.answer(payload["properties"]["delivery_tag"])
            count += 1


class Transport(virtual.Transport):  # type: ignore[misc]
    """NSQ as kombu sees it."""

    Channel = Channel
    can_parse_url = True
    implements = virtual.Transport.implements.extend(
        exchange_type=frozenset(("direct", "topic", "fanout"))
    )
    default_port = 4150
    driver_type = "nsq"
    driver_name = "nsqclient"
    connection_errors = (*virtual.Transport.connection_errors, ClientError, OSError)
    recoverable_connection_errors = (ClientError, OSError)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.link = Link(Settings.of(client))
        self.consumed_by: dict[str, Channel] = {}
        self.broadcasts: dict[str, Broadcast] = {}

    def driver_version(self) -> str:
        """Of the package."""
        return ConnectionOptions().user_agent.partition("/")[2]

    def establish_connection(self) -> "Transport":
        """Connect; raises ConnectionLost if nsqd cannot be reached."""
        self.link.open()
        connected: Transport = super().establish_connection()
        return connected

    def close_connection(self, connection: object) -> None:
        """Disconnect; what is in hand goes back to nsqd."""
        super().close_connection(connection)
        self.link.close()

    def verify_connection(self, connection: object) -> bool:
        """Whether it can be used: consumers and producers reconnect by themselves."""
        return True

    def drain_events(self, connection: object, timeout: float | None = None, **_: Any) -> None:
        """Hand one message to its consumer. Raises socket.timeout if none comes in time."""
        found = self.wait_for(self._is_wanted, timeout)
        if found is None:
            raise TimeoutError  # as kombu's own transports do
        queue, message = found
        channel = self.consumed_by.get(queue)
        if channel is None:  # it was cancelled this moment
            self.link.answer(message, requeue=True)
        else:
            self._deliver(channel.opened(message, queue), queue)

    def wait_for(
        self, wanted: Callable[[str], bool], timeout: float | None
    ) -> tuple[str, Message] | None:
        """The next message of a queue that is ``wanted``; None if none comes in time."""
        until = None if timeout is None else time.monotonic() + timeout
        with self.link.changed:
            while True:
                found = self.link.take(wanted)
                left = None if until is None else until - time.monotonic()
                if found is not None or (left is not None and left <= 0):
                    return found
                self.link.changed.wait(left)

    def _is_wanted(self, queue: str) -> bool:
        channel = self.consumed_by.get(queue)
        return channel is not None and channel.qos.can_consume()
