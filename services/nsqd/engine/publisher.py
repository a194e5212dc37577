"""What is published, on its way into the queue of its topic."""

from collections.abc import Callable, Container, Iterator
from functools import partial

from nsqcore.classes import define
from nsqcore.wire.headers import split_tail
from nsqcore.wire.hot import make_records
from nsqd.engine.errors import TOPIC_FULL, Exiting
from nsqd.engine.health import Health
from nsqd.engine.messages.ids import MessageIds
from nsqd.engine.messages.message import new_header
from nsqd.engine.messages.queue import Done
from nsqd.engine.topic import Topic


@define(eq=False, repr=False)
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


@define(eq=False, repr=False)
class Publisher:
    """Makes messages of bodies, with ``ids``, and puts them into the queues of their topics.

    ``create_topic`` adds a topic to ``topics``, and raises Exiting and OSError; ``resume`` is told
    of those whose messages are to go on to channels. While no rule limits a depth ``has_limits``
    is false, and topics are not asked whether they take more. ``owed`` and ``when_synced`` are the
    storage's.
    """

    ids: MessageIds
    health: Health
    topics: dict[str, Topic]
    create_topic: Callable[[str], Topic]
    resume: Callable[[Topic], None]
    owed: Container[str]
    when_synced: Callable[[str, Done], None]
    has_limits: bool = False
    refused_count: int = 0  # publishes, not messages

    def store(self, topic: str, publish: Gathered, wall: int) -> None:
        """Put what was gathered into the queue of ``topic``, and tell how it went.

        ``wall`` is the wall clock in ns.
        """
        failure = None
        try:
            owner: Topic = self.topics.get(topic) or self.create_topic(topic)
            if self.has_limits and not owner.takes(len(publish.bodies)):
                if len(publish.done) > 1:  # some of them may fit
                    for one in publish.apart():
                        self.store(topic, one, wall)
                    return
                owner.count_rejected(len(publish.bodies))
                failure = TOPIC_FULL
            elif owner.log is not None and owner.durable:
                self._keep(owner, publish.bodies, wall, 0, publish.done)
                return
            else:
                self.put(owner, publish.bodies, wall)
        except OSError as error:
            self.health.failed(error)
            failure = str(error)
        except Exiting as error:
            failure = str(error)
        if failure is None and topic in self.owed:
            self.when_synced(topic, partial(self._tell_once_open, owner, publish.done))
        elif failure is None and not owner.is_open:
            owner.when_open(partial(self._tell, publish.done, None))
        else:
            self._tell(publish.done, failure)

    def _tell_once_open(self, owner: Topic, dones: list[Done], failure: str | None) -> None:
        """Tell how it went, and of success not before the topic has the channels it has elsewhere.

        So a publisher that was answered may go on with them anywhere.
        """
        if failure is not None:
            self._tell(dones, failure)
        else:
            owner.when_open(partial(self._tell, dones, None))

    def store_headed(
        self, topic: str, bodies: list[bytes], wall: int, due: int, done: Done
    ) -> bool:
        """As `store`, of ``bodies`` with headers, to be delivered at ``due`` (0: at once); whether
        ``topic`` keeps headers. If it does not, nothing has happened."""
        try:
            owner = self.topic(topic)
            if not owner.durable:
                return False
            if self.has_limits and not owner.takes(len(bodies)):
                owner.count_rejected(len(bodies))
                self._tell([done], TOPIC_FULL)
                return True
            records = self.make_records(bodies, wall, headed=True)
            told = partial(self._tell_once_open, owner, [done])
            size = sum(len(split_tail(body)[0]) for body in bodies)
            owner.publish(records, size, due, told)
            self.health.published(sum(map(len, bodies)))
        except OSError as error:
            self.health.failed(error)
            self._tell([done], str(error))
        except Exiting as error:
            self._tell([done], str(error))
        return True

    def topic(self, name: str) -> Topic:
        """The topic called ``name``, made if need be. Raises Exiting, OSError."""
        return self.topics.get(name) or self.create_topic(name)

    def _tell(self, dones: list[Done], failure: str | None) -> None:
        if failure is not None:
            self.refused_count += len(dones)
        for done in dones:
            done(failure)

    def _keep(
        self, owner: Topic, bodies: list[bytes], wall: int, due: int, dones: list[Done]
    ) -> None:
        """Publish to a durable topic; the answer comes when what it promises is kept."""
        records = self.make_records(bodies, wall)
        done = partial(self._tell_once_open, owner, dones)
        size = sum(map(len, bodies))
        owner.publish(records, size, due, done)
        self.health.published(size)

    def put(self, owner: Topic, bodies: list[bytes], wall: int) -> list[bytes]:
        """Publish to a topic that is not durable; the new records. Raises OSError, Exiting."""
        count = len(bodies)
        # as `make_records`: once for every single message, so without the call
        records = make_records(bodies, new_header(wall), self.ids.take(count, wall))
        on_disk = owner.on_disk if self.health.queues else None
        size = len(bodies[0]) if count == 1 else sum(map(len, bodies))
        if owner.put(records, size):
            self.resume(owner)
        self.health.published(size)
        if on_disk is not None and owner.on_disk > on_disk:
            self.health.recovered()
        return records

    def defer(
        self, topic: str, bodies: list[bytes], delay: int, now: int, wall: int, done: Done
    ) -> None:
        """As `store`, of one publish, to be delivered ``delay`` ns from ``now``."""
        failure = None
        try:
            owner = self.topics.get(topic) or self.create_topic(topic)
            if self.has_limits and not owner.takes(len(bodies)):
                owner.count_rejected(len(bodies))
                failure = TOPIC_FULL
            elif owner.durable:
                self._keep(owner, bodies, wall, now + delay, [done])
                return
            else:
                records = self.make_records(bodies, wall)
                size = sum(map(len, bodies))
                owner.defer(records, size, delay, now)
                self.health.published(size)
                self._tell_once_open(owner, [done], None)
                return
        except OSError as error:
            self.health.failed(error)
            failure = str(error)
        except Exiting as error:
            failure = str(error)
        self._tell([done], failure)

    def make_records(self, bodies: list[bytes], wall: int, *, headed: bool = False) -> list[bytes]:
        """New records of ``bodies``, which have headers behind them if they are ``headed``."""
        ids = self.ids.take(len(bodies), wall)
        records: list[bytes] = make_records(bodies, new_header(wall, headed=headed), ids)
        return records
