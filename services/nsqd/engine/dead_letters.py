"""Dead letters: what becomes of messages that are not to be delivered again.

A channel tells of them as they come; at the tick's end they go to their dead-letter topics, many at
a time. Where both topics are durable that is one step, which a crash makes or does not make. Else a
message is published first and let go of then, so that a crash may leave it in both.

What can't be moved goes back to where it was, and is tried again a little later.
"""

from collections.abc import Callable
from functools import partial

from attrs import Factory, define

from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.channel import Channel
from nsqd.engine.departures import Death, Parting
from nsqd.engine.epitaphs import Epitaph
from nsqd.engine.errors import Exiting
from nsqd.engine.messages.message import body, message_id, requeued
from nsqd.engine.publisher import Publisher
from nsqd.engine.topic import Topic
from nsqd.policies.keys import DISCARD, dead_letter_topic

# How soon what could not be moved is tried again, in ns.
RETRY = 1_000_000_000


@define(eq=False, repr=False)
class DeadLetters:
    """Moves what is dead, by way of ``publisher``. ``warn`` tells an operator."""

    publisher: Publisher
    warn: Callable[[str], None]
    #: Has a topic be as durable as is said; raises OSError.
    make_as_safe: Callable[[Topic, str], None]
    waiting: dict[Channel, None] = Factory(dict)

    def add(self, channel: Channel) -> None:
        """Something is to leave ``channel``."""
        self.waiting[channel] = None

    def bury(self, now: int, wall: int) -> None:
        """Move all that waits. ``wall`` is the wall clock in ns."""
        waiting, self.waiting = self.waiting, {}
        for channel in waiting:
            departures = channel.departures
            partings, departures.partings = departures.partings, []
            for parting in partings:
                self._bury(channel, parting, now, wall)

    def _bury(self, channel: Channel, parting: Parting, now: int, wall: int) -> None:
        name = dead_letter_topic(channel.topic, channel.policy.dead_letter_topic)
        if channel.deleted:
            return
        if name == DISCARD or _goes_round(channel, parting, name):
            channel.queue.finish([message_id(record) for record in parting.records])
            _gone(channel, parting, parting.records, moved=False)
            return
        if not name:
            self._stays(
                channel,
                parting,
                parting.records,
                now,
                f"{channel.topic}.dead is too long for a topic",
            )
            return
        try:
            self._move(channel, parting, self.publisher.topic(name), now, wall)
        except OSError as error:
            self.publisher.health.failed(error)
            self._stays(channel, parting, parting.records, now, str(error))
        except Exiting as error:
            self._stays(channel, parting, parting.records, now, str(error))

    def _move(self, channel: Channel, parting: Parting, owner: Topic, now: int, wall: int) -> None:
        """Move what ``parting`` is about to ``owner``. Raises OSError, Exiting."""
        source = self.publisher.topics[channel.topic]
        if source.log is not None and source.durable and not owner.durable:
            self.make_as_safe(owner, source.log.promise)
        if not owner.durable:
            bodies = [
                body(each) if channel.headed else each[HEADER_SIZE:] for each in parting.records
            ]
            self.publisher.put(owner, bodies, wall)
            channel.queue.finish([message_id(record) for record in parting.records])
            _gone(channel, parting, parting.records, moved=True)
            return
        epitaph = Epitaph(channel.topic, channel.name, parting, wall)
        letters = epitaph.letters(parting.records, headed=channel.headed)
        records = self.publisher.make_records(letters, wall, headed=True)
        moved = partial(self._moved, channel, parting, now)
        owner.move(channel.queue, parting.records, records, moved)

    def _moved(
        self, channel: Channel, parting: Parting, now: int, taken: list[bytes], failure: str | None
    ) -> None:
        if failure is None:
            _gone(channel, parting, taken, moved=True)
        else:
            self._stays(channel, parting, taken, now, failure)

    def _stays(
        self, channel: Channel, parting: Parting, taken: list[bytes], now: int, failure: str
    ) -> None:
        self.warn(
            f"CHANNEL({channel.topic}:{channel.name}): {len(taken)} dead messages"
            f" stay where they are for now - {failure}"
        )
        _back(channel, parting, taken, now + RETRY, failure)


def _goes_round(channel: Channel, parting: Parting, name: str) -> bool:
    """Whether the message would come back here, dead again without having been delivered."""
    return name == channel.topic and parting.death in (Death.EXPIRED, Death.OVERFLOW)


def _gone(channel: Channel, parting: Parting, taken: list[bytes], *, moved: bool) -> None:
    """The messages ``taken`` have left: they were ``moved``, or dropped."""
    gone = channel.departures.arrived(taken)
    channel.departures.deaths.count(parting.death, len(gone), moved=moved)
    parting.went(len(taken))


def _back(channel: Channel, parting: Parting, taken: list[bytes], due: int, failure: str) -> None:
    """The messages ``taken`` could not be moved: they are queued again at ``due``."""
    if back := channel.departures.arrived(taken):
        channel.queue.defer([requeued(record) for record in back], due)
        channel.deadlines.arm(channel, due)
    parting.failed(failure)
