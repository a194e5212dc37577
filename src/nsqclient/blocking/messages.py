"""Messages and batches for programs without an event loop."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import nsqclient
from nsqclient.blocking.loop import LoopThread
from nsqclient.core.arguments import Duration, seconds
from nsqclient.messages.message import conclude
from nsqcore.classes import frozen


@frozen(eq=False, repr=False)
class Message:
    """A message, open until it is finished or requeued (see `nsqclient.Message`)."""

    _loop: LoopThread
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

    @property
    def value(self) -> Any:
        """What the consumer's ``decode`` makes of the body, anew each time; else the body."""
        return self._message.value

    def json(self) -> Any:
        """The body, decoded from JSON; raises ValueError if it is none."""
        return self._message.json()

    def finish(self) -> None:
        """Tell nsqd that the message is done."""
        self._loop.do(self._message.finish_nowait)

    def requeue(self, delay: Duration | None = None, *, backoff: bool = True) -> None:
        """Give the message back, to be delivered again after ``delay`` seconds."""
        self._loop.do(lambda: self._message.requeue_nowait(delay, backoff=backoff))

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers (see `nsqclient.Message`)."""
        return self._message.headers

    def terminate(self, reason: str = "") -> None:
        """Give the message up: nsqd moves it to its dead-letter topic."""
        self._loop.do(lambda: self._message.terminate_nowait(reason))

    def touch(self) -> None:
        """Start the timeout anew."""
        self._loop.call(self._message.touch)

    @contextmanager
    def process(
        self, *, requeue_delay: Duration | None = None, auto_touch: bool = True
    ) -> Iterator[Self]:
        """A context that answers: FIN if its block succeeds, REQ if it raises."""
        delay = None if requeue_delay is None else seconds(requeue_delay, "requeue_delay")
        with _answering(self._loop, [self._message], delay, auto_touch=auto_touch):
            yield self


@frozen(eq=False)
class Batch:
    """Some messages that are handled together; iterate over it, or use ``messages``."""

    _loop: LoopThread
    _batch: nsqclient.Batch
    messages: list[Message]

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def finish(self) -> None:
        """Finish every message that is still open; raises MessageExpired if some had expired."""
        self._loop.call(self._batch.finish)

    def requeue(self, delay: Duration | None = None, *, backoff: bool = True) -> None:
        """Give every message back that is still open."""
        self._loop.call(lambda: self._batch.requeue(delay, backoff=backoff))

    @contextmanager
    def process(
        self, *, requeue_delay: Duration | None = None, auto_touch: bool = True
    ) -> Iterator[Self]:
        """A context that answers for all: see `Message.process`."""
        delay = None if requeue_delay is None else seconds(requeue_delay, "requeue_delay")
        with _answering(self._loop, self._batch.messages, delay, auto_touch=auto_touch):
            yield self


@contextmanager
def _answering(
    loop: LoopThread, messages: list[nsqclient.Message], delay: float | None, *, auto_touch: bool
) -> Iterator[None]:
    raised: BaseException | None = None
    spans = []
    for message in messages:
        message.auto_touch = auto_touch
        spans.append(message.holder.handling(message))
    try:
        yield
    except BaseException as error:
        raised = error
        raise
    finally:
        for message in messages:
            loop.post(partial(conclude, message, raised, delay))
        for span in reversed(spans):
            span.end(raised)
