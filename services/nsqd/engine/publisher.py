"""What is published, on its way into the queue of its topic."""

from collections.abc import Callable, Iterator
from functools import partial

from attrs import define

from nsqcore.wire.speedups import make_records
from nsqd.engine.errors import TOPIC_FULL, Exiting
from nsqd.engine.health import Health
from nsqd.engine.ids import MessageIds
from nsqd.engine.message import new_header
from nsqd.engine.queue import Done
from nsqd.engine.topic import Topic


@define(eq=False)
class Gathered:
    """What clients publish to one topic within a tick; ``counts`` are the messages of each."""

    bodies: list[bytes]
    done: list[Done]
    counts: list[int]

    def apart(self) -> "Iterator[Gathered]":
        """What each of them publishes."""
        start = 0
        for done, count in zip(self.done, self.counts, strict=True):
            yield Gathered(self.bodies[start : start + count], [done], [count])
            start += count


@define(eq=False)
class Publisher:
    """Makes messages of bodies, with ``ids``, and puts them into the queues of their topics.

    ``create_topic`` adds a topic to ``topics``, and raises Exiting and OSError; ``resume`` is told
    of those whose messages are to go on to channels. While no rule limits a depth ``has_limits``
    is false, and topics are not asked whether they take more.
    """

    ids: MessageIds
    health: Health
    topics: dict[str, Topic]
    create_topic: Callable[[str], Topic]
    resume: Callable[[Topic], None]
    has_limits: bool = False
    refused_count: int = 0  # publishes, not messages

    def store(self, topic: str, publish: Gathered, wall: int) -> None:
        """Put what was gathered into the queue of ``topic``, and tell how it went.

        ``wall`` is the wall clock in ns.
        """
        failure = None
        try:
            owner = self.topics.get(topic) or self.create_topic(topic)
            if self.has_limits and not owner.takes(len(publish.bodies)):
                if len(publish.done) > 1:  # some of them may fit
                    for one in publish.apart():
                        self.store(topic, one, wall)
                    return
                failure = TOPIC_FULL
            elif owner.log is not None and owner.durable:
                self._keep(owner, publish.bodies, wall, 0, publish.done)
                return
            else:
                self._put(owner, publish.bodies, wall)
        except OSError as error:
            self.health.failed(error)
            failure = str(error)
        except Exiting as error:
            failure = str(error)
        if failure is not None:
            self.refused_count += len(publish.done)
        for done in publish.done:
            done(failure)

    def _tell(self, dones: list[Done], failure: str | None) -> None:
        if failure is not None:
            self.refused_count += len(dones)
        for done in dones:
            done(failure)

    def _keep(
        self, owner: Topic, bodies: list[bytes], wall: int, due: int, dones: list[Done]
    ) -> None:
        """Publish to a durable topic; the answer comes when what it promises is kept."""
        records, done = self._make_records(bodies, wall), partial(self._tell, dones)
        owner.publish(records, sum(map(len, bodies)), due, done)

    def _put(self, owner: Topic, bodies: list[bytes], wall: int) -> None:
        count = len(bodies)
        # as `_make_records`: once for every single message, so without the call
        records = make_records(bodies, new_header(wall), self.ids.take(count, wall))
        on_disk = owner.on_disk if self.health.error else None
        if owner.put(records, len(bodies[0]) if count == 1 else sum(map(len, bodies))):
            self.resume(owner)
        if on_disk is not None and owner.on_disk > on_disk:
            self.health.recovered()

    def defer(
        self, topic: str, bodies: list[bytes], delay: int, now: int, wall: int, done: Done
    ) -> None:
        """As `store`, of one publish, to be delivered ``delay`` ns from ``now``."""
        failure = None
        try:
            owner = self.topics.get(topic) or self.create_topic(topic)
            if self.has_limits and not owner.takes(len(bodies)):
                failure = TOPIC_FULL
            elif owner.durable:
                self._keep(owner, bodies, wall, now + delay, [done])
                return
            else:
                records = self._make_records(bodies, wall)
                owner.defer(records, sum(map(len, bodies)), delay, now)
        except OSError as error:
            self.health.failed(error)
            failure = str(error)
        except Exiting as error:
            failure = str(error)
        self._tell([done], failure)

    def _make_records(self, bodies: list[bytes], wall: int) -> list[bytes]:
        ids = self.ids.take(len(bodies), wall)
        records: list[bytes] = make_records(bodies, new_header(wall), ids)
        return records
