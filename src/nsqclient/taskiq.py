"""A broker of taskiq on NSQ.

```python
from nsqclient.taskiq import NsqBroker

broker = NsqBroker("127.0.0.1:4150")  # or NsqBroker(lookupd="http://127.0.0.1:4161")


@broker.task
async def resize(picture: str) -> None: ...
```

Tasks are messages of one topic, and all workers share one channel of it. A task is finished when
taskiq acknowledges it (by default when it was executed), and kept from expiring until then; what a
worker has in hand when it ends, or is killed, nsqd gives to another. The label ``delay``, in
seconds, has nsqd defer the task; the longest is its ``--max-req-timeout``.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from taskiq import AckableMessage, AsyncBroker, BrokerMessage

from nsqclient.consuming.opening import open_consumer
from nsqclient.core.arguments import addresses
from nsqclient.core.errors import AlreadyAnswered, MessageExpired
from nsqclient.core.options import ConnectionOptions
from nsqclient.messages.message import Message
from nsqclient.publishing.opening import open_producer
from nsqclient.publishing.producer import Producer

log = logging.getLogger("nsqclient.taskiq")


class NsqBroker(AsyncBroker):  # type: ignore[misc]
    """Sends tasks to nsqd, and receives them in workers.

    Args:
        nsqd: TCP addresses of nsqds.
        lookupd: HTTP addresses of nsqlookupds; both kinds may be given.
        topic: where the tasks are published.
        channel: what the workers share.
        max_in_flight: how many tasks a worker process has in hand at most.
        options: of every connection.
        arguments: those of `taskiq.AsyncBroker`.
    """

    def __init__(
        self,
        nsqd: str | Sequence[str] = (),
        *,
        lookupd: str | Sequence[str] = (),
        topic: str = "taskiq",
        channel: str = "taskiq",
        max_in_flight: int = 100,
        options: ConnectionOptions | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.nsqd, self.lookupd = addresses(nsqd, "nsqd"), addresses(lookupd, "lookupd")
        self.topic, self.channel = topic, channel
        self.max_in_flight, self.options = max_in_flight, options
        self._producer: Producer | None = None

    async def startup(self) -> None:
        """Open the producer; it connects in the background."""
        await super().startup()
        if self._producer is None:
            opening = open_producer(self.nsqd, lookupd=self.lookupd, options=self.options)
            self._producer = await opening.start()

    async def shutdown(self) -> None:
        """Close the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.aclose()
        await super().shutdown()

    async def kick(self, message: BrokerMessage) -> None:
        """Publish a task. Raises what `Producer.publish` raises.

        Raises:
            RuntimeError: `startup` was not called.
        """
        if self._producer is None:
            raise RuntimeError("the broker is not started: await broker.startup()")
        delay = message.labels.get("delay")
        defer = None if delay is None else float(delay)
        await self._producer.publish(self.topic, message.message, defer=defer)

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """The tasks that come, for a worker."""
        async with open_consumer(
            self.topic,
            self.channel,
            nsqd=self.nsqd,
            lookupd=self.lookupd,
            max_in_flight=self.max_in_flight,
            max_backoff=0,  # a task that failed says nothing of the next one
            drain_timeout=0,  # taskiq has waited for those that run
            options=self.options,
        ) as consumer:
            async for message in consumer:
                message.auto_touch = True
                yield AckableMessage(data=message.body, ack=_Ack(message))


class _Ack:
    """Finishes a message when called."""

    def __init__(self, message: Message) -> None:
        self._message = message

    async def __call__(self) -> None:
        self._message.auto_touch = False
        try:
            await self._message.finish()
        except (MessageExpired, AlreadyAnswered) as error:
            log.warning("%s", error)
