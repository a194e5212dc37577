"""The broker: all topics of one nsqd, and the two calls everything comes down to.

``publish`` queues messages; ``dispatch`` gives what is queued to the consumers. Sessions, HTTP and
timers do their part and leave the delivery to the next ``dispatch``, which the end of every tick
calls once.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from attrs import evolve

from nsqcore.classes import Factory, define, field, frozen
from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.wire.headers import split_tail
from nsqd.engine.channel import Channel
from nsqd.engine.dead_letters import DeadLetters
from nsqd.engine.delivery.deadlines import Deadlines
from nsqd.engine.errors import Exiting
from nsqd.engine.health import Health
from nsqd.engine.messages.ids import MessageIds
from nsqd.engine.messages.queue import Done, Loss, Storage
from nsqd.engine.publisher import Gathered, Publisher
from nsqd.engine.rules import RULE_FIELDS, Rules
from nsqd.engine.topic import Topic
from nsqd.policies.policies import Policies

# Publishes to one topic are gathered until they are this many messages or the tick ends: few
# messages are cheaper together, and many have nothing to gain.
GATHER = 64
# Messages that come due or time out and are queued again in one tick: some milliseconds' work.
EXPIRE_STEP = 5000
# Messages that are delivered in one tick, before others have their turn.
DELIVER_STEP = 50_000
# How soon a backlog that the disk would not take is tried again, in ns.
DRAIN_RETRY = 1_000_000_000

Kind = Literal["create", "delete", "pause"]

Listener = Callable[[Kind, Topic, Channel | None], None]  # no channel: the topic itself


@frozen(kw_only=True)
class EngineSettings:
    """What the engine needs to know of nsqd's options, apart from the disk's."""

    node_id: int = 0
    rules: Rules = Factory(Rules)


@define(eq=False, repr=False)
class Broker:
    """The topics, and the clockwork that moves messages through them.

    ``wall_offset`` (ns) is added to a monotonic ``now`` to get the wall clock. Ids are newer
    than ``ids_after`` (wall clock), though that clock may have been set back since. Topics are
    created shut while ``hold_new_topics`` is set; `open_topic` lets their messages
    through. ``make_latency`` makes what keeps a channel's latencies, where wanted.
    """

    settings: EngineSettings
    storage: Storage
    wall_offset: int = 0
    hold_new_topics: bool = False
    make_latency: Callable[[], LatencyWindow] | None = None

    ids_after: int = field(default=0, kw_only=True)
    policies: Policies = field(factory=Policies, kw_only=True)
    topics: dict[str, Topic] = Factory(dict)
    deadlines: Deadlines = Factory(Deadlines)
    health: Health = Factory(Health)
    draining: bool = False  # publishes are refused
    newcomers: int = 0  # topics that were made, or will be, since the last `dispatch`
    closing: bool = False
    publisher: Publisher = field(init=False)
    dead_letters: DeadLetters = field(init=False)
    _listeners: list[Listener] = Factory(list)
    _gathered: dict[str, Gathered] = Factory(dict)  # by topic
    _ready: dict[Channel, None] = Factory(dict)
    _backlogs: dict[Topic, None] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        ids = MessageIds(self.settings.node_id, self.ids_after)
        self.publisher = Publisher(
            ids,
            self.health,
            self.topics,
            self.create_topic,
            self._resume,
            self.storage.owed,
            self.storage.when_synced,
        )
        self.dead_letters = DeadLetters(self.publisher, self.storage.warn, self._make_as_safe)
        self.policies.on_change(self.apply_policies)

    @property
    def refusal(self) -> str:
        """Why nothing may be published now; empty where it may."""
        if self.closing:
            return "exiting"
        return "draining" if self.draining else self.health.low

    @property
    def refused_count(self) -> int:
        """Publishes, not messages, that were refused."""
        return self.publisher.refused_count

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` told of topics and channels that come, go, or are paused."""
        self._listeners.append(listener)

    def _changed(self, kind: Kind, topic: Topic, channel: Channel | None = None) -> None:
        for listener in self._listeners:
            listener(kind, topic, channel)

    # ------------------------------------------------------------ topics and channels

    def create_topic(self, name: str) -> Topic:
        """The topic called ``name``, made if need be. Raises Exiting, OSError."""
        topic = self.topics.get(name)
        if topic is not None:
            return topic
        if self.closing:
            raise Exiting("exiting")
        self.newcomers += 1
        rules = self.rules(name)
        queue = self.storage.topic_queue(name, rules.mem_queue_size)
        topic = Topic(name, queue, self._make_channel, self.mark_ready, rules)
        topic.log = self.storage.topic_log(name, rules.durability, topic.arrived)
        topic.is_open = not self.hold_new_topics
        self.topics[name] = topic
        self._changed("create", topic)
        return topic

    def create_topic_to_publish(self, name: str) -> Topic:
        """`create_topic` for a publish to come. Raises Exiting also where it would be refused."""
        if self.refusal:
            raise Exiting(self.refusal)
        return self.create_topic(name)

    def open_topic(self, topic: Topic) -> None:
        """Let the messages of a topic that was created shut go to its channels."""
        topic.open()
        self._resume(topic)

    def create_channel(self, topic: str, name: str) -> Channel:
        """The channel ``topic``/``name``, both made if need be. Raises Exiting, OSError."""
        owner = self.create_topic(topic)
        channel, made = owner.create_channel(name)
        if made:
            self._changed("create", owner, channel)
            owner.update_flow()
            self._resume(owner)
        return channel

    def _make_channel(self, topic: str, name: str) -> Channel:
        rules = self.rules(topic, name)
        channel = Channel(
            topic,
            name,
            self.storage.channel_queue(topic, name, rules.mem_queue_size),
            self.deadlines,
            rules,
            latency=self.make_latency() if self.make_latency else None,
            wall_offset=lambda: self.wall_offset,
        )
        channel.headed = self.topics[topic].log is not None
        channel.departures.tell = partial(self.dead_letters.add, channel)
        if rules.tidies:
            self.mark_ready(channel)
        return channel

    def rules(self, topic: str, channel: str = "") -> Rules:
        """The rules for ``topic``, or for a channel of it."""
        values = self.policies.effective(topic, channel or None).values
        own = {name: value.value for name, value in values.items() if name in RULE_FIELDS}
        rules = evolve(self.settings.rules, **own) if own else self.settings.rules
        if rules.max_depth:
            self.publisher.has_limits = True
        return rules

    def apply_policies(self) -> None:
        """Have all topics and channels follow the rules as they are now.

        A topic that can't be made durable just now stays as it is.
        """
        for topic in self.topics.values():
            topic.rules = self.rules(topic.name)
            try:
                topic.apply_durability(self.storage)
            except OSError as error:
                self.health.failed(error)
                self.storage.warn(f"TOPIC({topic.name}): failed to make it durable - {error}")
            topic.queue.memory_limit = topic.rules.mem_queue_size
            for channel in topic.channels.values():
                channel.rules = self.rules(topic.name, channel.name)
                channel.queue.memory_limit = channel.rules.mem_queue_size
                self.mark_ready(channel)

    def _make_as_safe(self, topic: Topic, durability: str) -> None:
        """Have a dead-letter topic promise what the topic does that its messages come from, unless
        a policy says otherwise. Raises OSError."""
        if self.policies.effective(topic.name).get("durability") is None:
            topic.inherited = durability
            topic.apply_durability(self.storage)

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
        self._ready.pop(channel, None)
        self.deadlines.disarm(channel)
        channel.delete()
        topic.update_flow()
        self._changed("delete", topic, channel)

    def consumer_left(self, channel: Channel) -> None:
        """Look after ``channel`` once a consumer is out of it: deliver what it gave back, or
        delete an ephemeral channel that was its last user's."""
        if channel.deleted or self.closing:
            return
        if channel.ephemeral and not channel.consumers:
            self.delete_channel(self.topics[channel.topic], channel)
        else:
            self.mark_ready(channel)

    def pause_topic(self, topic: Topic, *, paused: bool) -> None:
        """Hold back what is published to ``topic``, or let it through."""
        topic.paused = paused
        if topic.log is not None:
            topic.log.set_paused(paused)
            topic.update_flow()
        self._changed("pause", topic)
        self._resume(topic)

    def pause_channel(self, topic: Topic, channel: Channel, *, paused: bool) -> None:
        """Hold back what ``channel`` would deliver, or let it go on."""
        channel.paused = paused
        channel.queue.set_paused(paused)
        self._changed("pause", topic, channel)
        self.mark_ready(channel)

    def _resume(self, topic: Topic) -> None:
        if topic.backlog:
            self._backlogs[topic] = None

    # ------------------------------------------------------------ messages

    def publish(
        self, topic: str, bodies: list[bytes], now: int, done: Done, delay: int = 0
    ) -> None:
        """Queue ``bodies`` as new messages, to be delivered ``delay`` ns from now.

        ``done`` is told what has become of them: at the end of this tick at the latest.
        """
        if self.draining or self.closing or self.health.low:
            self.publisher.refused_count += 1
            done(self.refusal)
            return
        if delay > 0:
            self.publisher.defer(topic, bodies, delay, now, now + self.wall_offset, done)
            return
        count = len(bodies)
        gathered: Gathered | None = self._gathered.get(topic)
        if gathered is None:
            self.newcomers += topic not in self.topics
            if count >= GATHER:
                publish = Gathered(bodies, [done], [count])
                self.publisher.store(topic, publish, now + self.wall_offset)
            else:
                self._gathered[topic] = Gathered([*bodies], [done], [count])
            return
        gathered.bodies.extend(bodies)
        gathered.done.append(done)
        gathered.counts.append(count)
        if len(gathered.bodies) >= GATHER:
            del self._gathered[topic]
            self.publisher.store(topic, gathered, now + self.wall_offset)

    def publish_headed(
        self, topic: str, bodies: list[bytes], now: int, done: Done, *, delay: int = 0
    ) -> None:
        """As `publish`, of ``bodies`` with headers (`nsqcore.wire.headers.with_block`).

        A topic that is not durable keeps the bodies alone.
        """
        if self.refusal:
            self.publisher.refused_count += 1
            done(self.refusal)
            return
        self.flush(now)
        due = now + delay if delay > 0 else 0
        if not self.publisher.store_headed(topic, bodies, now + self.wall_offset, due, done):
            self.publish(topic, [split_tail(body)[0] for body in bodies], now, done, delay=delay)

    def flush(self, now: int) -> None:
        """Queue what was published since the last `dispatch`."""
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, {}
        wall = now + self.wall_offset
        for topic, publish in gathered.items():
            self.publisher.store(topic, publish, wall)

    def mark_ready(self, channel: Channel) -> None:
        """Have the next `dispatch` look at ``channel``."""
        self._ready[channel] = None

    def dispatch(self, now: int) -> bool:
        """Deliver what can be delivered; whether there is more to do right away."""
        if self._gathered:
            self.flush(now)
        self.newcomers = 0
        if self.dead_letters.waiting:
            self.dead_letters.bury(now, now + self.wall_offset)
        more = False
        if self._backlogs:
            for topic in list(self._backlogs):
                more |= self._drain(topic, now)
        if self._ready:
            left = DELIVER_STEP
            ready, self._ready = self._ready, {}
            channel: Channel
            for channel in ready:
                if left <= 0:
                    self._ready[channel] = None
                    more = True
                    continue
                if channel.rules.tidies:
                    channel.tidy(now)
                left -= channel.deliver(now, left)
                if left <= 0:
                    self._ready[channel] = None  # it may have more
                    more = True
                if channel.consumers and channel.depth:
                    self._await_drained(channel)
        return more or bool(self.dead_letters.waiting)

    def _await_drained(self, channel: Channel) -> None:
        """Go on with ``channel`` when consumers with too much unread output have read some."""
        for consumer in channel.consumers:
            if consumer.blocked:
                consumer.subscriber.when_drained(partial(self.mark_ready, channel))

    def _drain(self, topic: Topic, now: int) -> bool:
        """Move a step of the backlog of ``topic``; whether there is another to move right away."""
        try:
            moved = topic.backlog and topic.drain(now)
        except OSError as error:
            self.health.failed(error)
            self.storage.warn(
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
        """Act on the deadlines up to ``now``, in a bounded step; what is left is due again."""
        for due in self.deadlines.expire(now, EXPIRE_STEP):
            if isinstance(due, Channel):
                self.mark_ready(due)
            elif isinstance(due, Topic):
                self._resume(due)

    # ------------------------------------------------------------ the end

    def close(self) -> dict[str, Loss]:
        """Put everything on disk. Every queue is tried.

        Returns what could not be kept, by ``topic`` or ``topic:channel``.
        """
        self.closing = True
        losses: dict[str, Loss] = {}
        for topic in self.topics.values():
            if loss := topic.close():
                losses[topic.name] = loss
            for channel in topic.channels.values():
                if loss := channel.close():
                    losses[f"{topic.name}:{channel.name}"] = loss
        return losses
