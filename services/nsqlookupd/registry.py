"""Who has which topics and channels: all that nsqlookupd knows.

Two indexes of the same facts: each topic has the producers that announced it and its channels, and
each producer the topics it announced. So a registration, a lookup and the end of a connection cost
what they concern, never a walk over everything. Producers are kept in lists: some 50 of them cost
0.5 KB where a dict takes 2, and looking through them takes a microsecond. A channel's producers are
always among its topic's.

Topics and channels outlive their producers, so that an nsqd that starts anew finds its channels.
Synchronous, without I/O; `now` is monotonic nanoseconds. Names are checked by whoever calls.
"""

from collections.abc import Iterator

from nsqcore.classes import define, field
from nsqcore.names import is_ephemeral
from nsqcore.wire.lookup import Peer


@define(eq=False, repr=False)
class Producer:
    """One nsqd that is connected and has said who it is; another connection is another producer."""

    id: str  # the remote address
    peer: Peer
    seen: int  # when it last pinged
    # kept by who answers lookups, for those inside and outside
    described: str = field(default="", init=False, repr=False)
    described_outside: str = field(default="", init=False, repr=False)
    topics: "dict[Topic, None]" = field(factory=dict, init=False, repr=False)

    @property
    def node(self) -> str:
        """What tombstones call it: address and HTTP port."""
        return f"{self.peer.broadcast_address}:{self.peer.http_port}"


@define(eq=False, repr=False)
class Topic:
    """One topic: its producers, and its channels, each with the producers that have it."""

    name: str
    producers: list[Producer] = field(factory=list)
    channels: dict[str, list[Producer]] = field(factory=dict)
    tombstones: dict[Producer, int] = field(factory=dict)  # with the time of each
    idle_since: int | None = None  # when it was first seen without producers


@define(eq=False, repr=False)
class Registry:
    """All producers, topics and channels of one nsqlookupd.

    ``inactive_after``, ``tombstone_lifetime`` and ``topic_lifetime`` (0: for ever) are nanoseconds.
    """

    inactive_after: int
    tombstone_lifetime: int
    topic_lifetime: int = 0
    producers: dict[Producer, None] = field(factory=dict, init=False)
    topics: dict[str, Topic] = field(factory=dict, init=False)

    def add(self, producer: Producer) -> None:
        """Take note of a producer that has said who it is."""
        self.producers[producer] = None

    def remove(self, producer: Producer) -> None:
        """Forget a producer and all it announced; the names of topics and channels stay."""
        self.producers.pop(producer, None)
        for topic in producer.topics:
            self._leave(topic, producer)
        producer.topics.clear()

    def create(self, name: str, channel: str = "") -> Topic:
        """The topic ``name``, known from now on, as its ``channel`` is if one is given."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name)
        if channel and channel not in topic.channels:
            topic.channels[channel] = []
        return topic

    def delete_topic(self, name: str) -> bool:
        """Whether there was such a topic; there is none now, until it is announced again."""
        topic = self.topics.pop(name, None)
        if topic is None:
            return False
        for producer in topic.producers:
            del producer.topics[topic]
        return True

    def delete_channel(self, name: str, channel: str) -> bool:
        """Whether there was such a channel; now there is none."""
        topic = self.topics.get(name)
        return topic is not None and topic.channels.pop(channel, None) is not None

    def register(self, producer: Producer, name: str, channel: str = "") -> bool:
        """Whether it is news that ``producer`` has this topic, or this channel of it.

        A tombstone is not lifted by it.
        """
        topic = self.create(name, channel)
        news = False
        if topic not in producer.topics:
            producer.topics[topic] = None
            topic.producers.append(producer)
            news = True
        if channel and producer not in topic.channels[channel]:
            topic.channels[channel].append(producer)
            news = True
        return news

    def unregister(self, producer: Producer, name: str, channel: str = "") -> bool:
        """Whether ``producer`` had this channel, or without one this topic; now it has not.

        An ephemeral name goes with its last producer.
        """
        topic = self.topics.get(name)
        if topic is None:
            return False
        if channel:
            return self._unregister_channel(topic, producer, channel)
        had = topic in producer.topics
        if had:
            del producer.topics[topic]
            self._leave(topic, producer)
        if is_ephemeral(name) and not topic.producers:
            del self.topics[name]
        return had

    def _unregister_channel(self, topic: Topic, producer: Producer, channel: str) -> bool:
        producers = topic.channels.get(channel)
        if producers is None:
            return False
        had = producer in producers
        if had:
            producers.remove(producer)
        if is_ephemeral(channel) and not producers:
            del topic.channels[channel]
        return had

    def _leave(self, topic: Topic, producer: Producer) -> None:
        topic.producers.remove(producer)
        topic.tombstones.pop(producer, None)
        for producers in topic.channels.values():
            if producer in producers:
                producers.remove(producer)

    def forget_idle_topics(self, *, now: int) -> list[str]:
        """Forget the topics that no producer has had for ``topic_lifetime``; their names.

        To be called now and then: a topic's time begins when it is first seen without producers.
        """
        idle = []
        for topic in self.topics.values():
            if topic.producers:
                topic.idle_since = None
            elif topic.idle_since is None:
                topic.idle_since = now
            elif now - topic.idle_since >= self.topic_lifetime:
                idle.append(topic.name)
        for name in idle:
            del self.topics[name]
        return idle

    def tombstone(self, name: str, node: str, *, now: int) -> int:
        """How often a producer is hidden from now on: those at ``node``, of what `find` finds."""
        found = [(t, p) for t in self.find(name) for p in t.producers if p.node == node]
        for topic, producer in found:
            topic.tombstones[producer] = now
        return len(found)

    def is_tombstoned(self, topic: Topic, producer: Producer, *, now: int) -> bool:
        """Whether the producer is hidden from those who look for this topic."""
        since = topic.tombstones.get(producer)
        return since is not None and now - since < self.tombstone_lifetime

    def is_active(self, producer: Producer, *, now: int) -> bool:
        """Whether the producer has pinged recently enough to be told of."""
        return now - producer.seen <= self.inactive_after

    def find(self, name: str) -> list[Topic]:
        """The topic ``name`` if it is known, all topics for ``*``."""
        if name == "*":
            return list(self.topics.values())
        topic = self.topics.get(name)
        return [] if topic is None else [topic]

    def active_producers(self, topic: Topic, *, now: int) -> Iterator[Producer]:
        """The producers that a consumer of the topic is told of."""
        earliest = now - self.inactive_after
        tombstones = topic.tombstones
        for producer in topic.producers:
            if producer.seen < earliest:
                continue
            if tombstones and self.is_tombstoned(topic, producer, now=now):
                continue
            yield producer
