"""Redrive: dead letters go back to the channel that they come from, or to all of its topic.

Where a dead letter is from stands in its headers. A topic that is not durable keeps none: what is
in ``TOPIC.dead`` is then from ``TOPIC``, and from its channel if it has but one.

Between two durable topics a message is moved in one step, which a crash makes or does not make.
Else it is published first and let go of then.
"""

from collections.abc import Callable
from functools import partial

from nsqcore.classes import Factory, define, frozen
from nsqcore.wire.headers import split_record, with_block
from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.channel import Channel
from nsqd.engine.epitaphs import CHANNEL, TOPIC, headers_of
from nsqd.engine.errors import Exiting
from nsqd.engine.messages.message import message_id, undelivered
from nsqd.engine.publisher import Publisher
from nsqd.engine.topic import Topic

_DEAD = ".dead"


@frozen
class DeadLetterOrigin:
    """A channel, or all of a topic where ``channel`` is empty."""

    topic: str
    channel: str

    def __str__(self) -> str:
        return f"{self.topic}:{self.channel}" if self.channel else self.topic


@define(eq=False, repr=False)
class Redriven:
    """How a redrive goes: how many were ``moved``, and why others were ``kept``, with their
    number."""

    moved: int = 0
    kept: dict[str, int] = Factory(dict)
    waiting: int = 0  # messages that are on their way

    def keep(self, why: str, count: int) -> None:
        """``count`` messages stay."""
        self.kept[why] = self.kept.get(why, 0) + count


@define(eq=False, repr=False)
class Redrive:
    """Sends back what is in ``source``, a channel of a dead-letter topic, by way of
    ``publisher``."""

    publisher: Publisher
    source: Channel
    to_topic: bool = False
    result: Redriven = Factory(Redriven)
    changed: Callable[[], None] = lambda: None  # called when messages have arrived, or are back

    def send(self, records: list[bytes], wall: int) -> None:
        """Send ``records`` back, which were queued in the source, and which nobody holds now.

        They count their next delivery. What can't be sent is queued again. ``wall`` is the wall
        clock in ns.
        """
        groups: dict[DeadLetterOrigin | None, list[bytes]] = {}
        for record in records:
            groups.setdefault(self._origin(record), []).append(record)
        for origin, group in groups.items():
            if origin is None:
                self._keep(group, "it is not known where they come from")
            else:
                self._send(origin, group, wall)

    def _origin(self, record: bytes) -> DeadLetterOrigin | None:
        block = split_record(record)[1] if self.source.headed else b""
        headers = headers_of(block)
        if TOPIC in headers and CHANNEL in headers:
            channel = "" if self.to_topic else headers[CHANNEL]
            return DeadLetterOrigin(headers[TOPIC], channel)
        name = self.source.topic.replace(_DEAD, "", 1) if _DEAD in self.source.topic else ""
        topic = self.publisher.topics.get(name)
        if topic is None:
            return None
        if self.to_topic:
            return DeadLetterOrigin(name, "")
        return (
            DeadLetterOrigin(name, next(iter(topic.channels))) if len(topic.channels) == 1 else None
        )

    def _send(self, origin: DeadLetterOrigin, records: list[bytes], wall: int) -> None:
        topic = self.publisher.topics.get(origin.topic)
        if topic is None or (origin.channel and origin.channel not in topic.channels):
            self._keep(records, f"{origin} is not there any more")
            return
        source = self.source
        source.departures.leaving.update((message_id(record), record) for record in records)
        self.result.waiting += len(records)
        try:
            self._move(topic, origin.channel, records, wall)
        except OSError as error:
            self.publisher.health.failed(error)
            self._moved(records, records, str(error))
        except (Exiting, LookupError) as error:
            self._moved(records, records, str(error))

    def _move(self, topic: Topic, channel: str, records: list[bytes], wall: int) -> None:
        """Raises OSError, Exiting, LookupError."""
        publisher, source = self.publisher, self.source
        split = [
            split_record(each) if source.headed else (each[HEADER_SIZE:], b"") for each in records
        ]
        target = topic.channels.get(channel)
        if topic.durable and (target is None or target.queue.logged):
            bodies = [with_block(body, block) for body, block in split]
            new = publisher.make_records(bodies, wall, headed=True)
            # until it is kept, the source has it with the deliveries that were made
            taken = [undelivered(record) for record in records]
            topic.move(source.queue, taken, new, partial(self._moved, records), only=channel)
            return
        bodies = [body for body, _ in split]
        if target is None:
            publisher.put(topic, bodies, wall)
        else:
            target.put(publisher.make_records(bodies, wall))
            topic.mark_ready(target)
        source.queue.finish([message_id(record) for record in records])
        self._moved(records, records, None)

    def _moved(self, sent: list[bytes], taken: list[bytes], failure: str | None) -> None:
        ids = {message_id(record) for record in taken}
        arrived = self.source.departures.arrived([one for one in sent if message_id(one) in ids])
        self.result.waiting -= len(ids)
        if failure is None:
            self.result.moved += len(ids)
        elif arrived:
            self._keep(arrived, failure)
        self.changed()

    def _keep(self, records: list[bytes], why: str) -> None:
        self.source.queue.give_back(records)
        self.result.keep(why, len(records))
