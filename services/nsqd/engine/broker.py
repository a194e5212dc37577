"""The broker: all topics of one nsqd, and the two calls everything comes down to.

``publish`` (or ``publish_soon``, ``defer``) queues messages; ``pump`` gives what is queued to the
consumers. Sessions, HTTP and timers do their part and leave the delivery to the
next ``pump``, which the end of every tick calls once.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from attrs import Factory, define, field, frozen

from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.names import is_ephemeral
from nsqcore.wire.speedups import make_records
from nsqd.engine.channel import Channel
from nsqd.engine.deadlines import Deadlines
from nsqd.engine.errors import Exiting
from nsqd.engine.health import Health
from nsqd.engine.ids import MessageIds
from nsqd.engine.message import new_stamp
from nsqd.engine.topic import Topic
from nsqd.storage.store import DiskStore
from nsqd.storage.tiered import TieredQueue

# How soon a backlog that the disk would not take is tried again, in ns.
DRAIN_RETRY = 1_000_000_000

Kind = Literal["create", "delete", "pause"]

# kind, topic, channel (None: the topic itself)
Listener = Callable[[Kind, Topic, Channel | None], None]

# Told what has become of a publish: None, or why none of it was accepted.
Outcome = Callable[[str | None], None]


@frozen(kw_only=True)
class EngineSettings:
    """What the engine needs to know of nsqd's options, apart from the disk's (`DiskStore`)."""

    mem_queue_size: int = 10_000
    node_id: int = 0
    max_channel_consumers: int = 0
    topology_aware: bool = False


@define(eq=False)
class Broker:
    """The topics, and the clockwork that moves messages through them.

    ``wall_offset`` (ns) is added to a monotonic ``now`` to get the wall clock. Ids are newer
    than ``ids_after`` (wall clock), though that clock may have been set back since. Topics are
    created shut while ``hold_new_topics`` is set; `open_topic` lets their messages
    through. ``make_latency`` makes what keeps a channel's latencies, where wanted.
    """

    settings: EngineSettings
    store: DiskStore
    wall_offset: int = 0
    hold_new_topics: bool = False
    make_latency: Callable[[], LatencyWindow] | None = None

    ids_after: int = field(default=0, kw_only=True)
    topics: dict[str, Topic] = Factory(dict)
    deadlines: Deadlines = Factory(Deadlines)
    health: Health = Factory(Health)
    closing: bool = False
    _ids: MessageIds = field(init=False)
    _listeners: list[Listener] = Factory(list)
    _gathered: dict[str, tuple[list[bytes], list[Outcome]]] = Factory(dict)  # by topic
    _dirty: dict[Channel, None] = Factory(dict)
    _backlogs: dict[Topic, None] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self._ids = MessageIds(self.settings.node_id, self.ids_after)

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` told of topics and channels that come, go, or are paused."""
        self._listeners.append(listener)

    def _changed(self, kind: Kind, topic: Topic, channel: Channel | None = None) -> None:
        for listener in self._listeners:
            listener(kind, topic, channel)

    # ------------------------------------------------------------ topics and channels

    def topic(self, name: str) -> Topic:
        """The topic called ``name``, made if need be. Raises Exiting."""
        topic = self.topics.get(name)
        if topic is not None:
            return topic
        if self.closing:
            raise Exiting("exiting")
        queue = self._queue(name, name, forwarding=True)
        topic = Topic(name, queue, self._make_channel, self.mark)
        topic.is_open = not self.hold_new_topics
        self.topics[name] = topic
        self._changed("create", topic)
        return topic

    def open_topic(self, topic: Topic) -> None:
        """Let the messages of a topic that was created shut go to its channels."""
        topic.is_open = True
        self._resume(topic)

    def channel(self, topic: str, name: str) -> Channel:
        """The channel ``topic``/``name``, both made if need be. Raises Exiting."""
        owner = self.topic(topic)
        channel, made = owner.get_channel(name)
        if made:
            self._changed("create", owner, channel)
            self._resume(owner)
        return channel

    def _queue(self, name: str, owner: str, *, forwarding: bool = False) -> TieredQueue:
        store = None if is_ephemeral(owner) else self.store
        return TieredQueue(name, self.settings.mem_queue_size, store, forwarding=forwarding)

    def _make_channel(self, topic: str, name: str) -> Channel:
        return Channel(
            topic,
            name,
            self._queue(f"{topic}:{name}", name),
            self.deadlines,
            max_consumers=self.settings.max_channel_consumers,
            topology_aware=self.settings.topology_aware,
            latency=self.make_latency() if self.make_latency else None,
        )

    def delete_topic(self, topic: Topic) -> None:
        """Delete ``topic`` with its channels and their messages."""
        for channel in list(topic.channels.values()):
            self._drop_channel(topic, channel)
        del self.topics[topic.name]
        self._backlogs.pop(topic, None)
        self.deadlines.disarm(topic)
        topic.delete()
        self._changed("delete", topic)

    def delete_channel(self, topic: Topic, channel: Channel) -> None:
        """Delete ``channel``; an ephemeral topic goes with its last one."""
        self._drop_channel(topic, channel)
        if topic.ephemeral and not topic.channels:
            self.delete_topic(topic)

    def _drop_channel(self, topic: Topic, channel: Channel) -> None:
        del topic.channels[channel.name]
        self._dirty.pop(channel, None)
        self.deadlines.disarm(channel)
        channel.delete()
        self._changed("delete", topic, channel)

    def consumer_left(self, channel: Channel) -> None:
        """Look after ``channel`` once a consumer is out of it: deliver what it gave back, or
        delete an ephemeral channel that was its last user's."""
        if channel.deleted or self.closing:
            return
        if channel.ephemeral and not channel.consumers:
            self.delete_channel(self.topics[channel.topic], channel)
        else:
            self.mark(channel)

    def pause_topic(self, topic: Topic, *, paused: bool) -> None:
        """Hold back what is published to ``topic``, or let it through."""
        topic.paused = paused
        self._changed("pause", topic)
        self._resume(topic)

    def pause_channel(self, topic: Topic, channel: Channel, *, paused: bool) -> None:
        """Hold back what ``channel`` would deliver, or let it go on."""
        channel.paused = paused
        self._changed("pause", topic, channel)
        self.mark(channel)

    def _resume(self, topic: Topic) -> None:
        if topic.backlog:
            self._backlogs[topic] = None

    # ------------------------------------------------------------ messages

    def publish(self, topic: str, bodies: list[bytes], now: int) -> Topic:
        """Queue ``bodies`` as new messages. Raises OSError or Exiting, then none was accepted."""
        owner = self.topics.get(topic) or self.topic(topic)
        if self.closing:
            raise Exiting("exiting")
        wall = now + self.wall_offset
        records = make_records(bodies, new_stamp(wall), self._ids.take(len(bodies), wall))
        on_disk = owner.on_disk if self.health.error else None
        try:
            waits = owner.put(records, sum(map(len, bodies)))
        except OSError as error:
            self.health.failed(error)
            raise
        if on_disk is not None and owner.on_disk > on_disk:
            self.health.recovered()
        if waits:
            self._resume(owner)
        return owner

    def publish_soon(self, topic: str, bodies: list[bytes], outcome: Outcome) -> None:
        """`publish` at the next `pump`, in one go with what others publish to ``topic`` by then."""
        gathered = self._gathered.get(topic)
        if gathered is None:
            self._gathered[topic] = [*bodies], [outcome]
        else:
            gathered[0].extend(bodies)
            gathered[1].append(outcome)

    def publish_gathered(self, now: int) -> None:
        """Do what `publish_soon` was told, and tell the outcomes."""
        gathered, self._gathered = self._gathered, {}
        for topic, (bodies, outcomes) in gathered.items():
            failure = None
            try:
                self.publish(topic, bodies, now)
            except (OSError, Exiting) as error:
                failure = str(error)
            for outcome in outcomes:
                outcome(failure)

    def defer(self, topic: str, body: bytes, delay: int, now: int) -> Topic:
        """Queue ``body`` as a new message, to be delivered ``delay`` ns from now."""
        if delay <= 0:
            return self.publish(topic, [body], now)
        owner = self.topics.get(topic) or self.topic(topic)
        if self.closing:
            raise Exiting("exiting")
        wall = now + self.wall_offset
        (record,) = make_records([body], new_stamp(wall), self._ids.take(1, wall))
        owner.defer(record, len(body), delay, now)
        return owner

    def mark(self, channel: Channel) -> None:
        """Have the next `pump` look at ``channel``."""
        self._dirty[channel] = None

    def pump(self, now: int) -> bool:
        """Deliver what can be delivered; whether there is more to do right away."""
        if self._gathered:
            self.publish_gathered(now)
        more = False
        if self._backlogs:
            for topic in list(self._backlogs):
                more |= self._drain(topic, now)
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            for channel in dirty:
                channel.deliver(now)
                if channel.consumers and channel.depth:
                    self._await_drained(channel)
        return more

    def _await_drained(self, channel: Channel) -> None:
        """Go on with ``channel`` when consumers with too much unread output have read some."""
        for consumer in channel.consumers:
            if consumer.blocked:
                consumer.when_drained(partial(self.mark, channel))

    def _drain(self, topic: Topic, now: int) -> bool:
        """Move a step of the backlog of ``topic``; whether there is another to move right away."""
        try:
            moved = topic.backlog and topic.drain(now)
        except OSError as error:
            self.health.failed(error)
            self.store.warn(
                f"TOPIC({topic.name}): failed to move messages to its channels - {error}"
            )
            del self._backlogs[topic]
            self.deadlines.arm(topic, now + DRAIN_RETRY)
            return False
        if topic.backlog:
            return moved  # what cannot be read just now is tried again with the next tick
        del self._backlogs[topic]
        return False

    def expire(self, now: int) -> None:
        """Act on every deadline up to ``now``."""
        for due in self.deadlines.expire(now):
            if isinstance(due, Channel):
                self.mark(due)
            elif isinstance(due, Topic):
                self._resume(due)

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """Put everything on disk. Every queue is tried; raises the first OSError at the end."""
        self.closing = True
        failure = ""
        for topic in self.topics.values():
            for close in (topic.close, *(channel.close for channel in topic.channels.values())):
                try:
                    close()
                except OSError as error:
                    failure = failure or str(error)
        if failure:
            raise OSError(failure)
