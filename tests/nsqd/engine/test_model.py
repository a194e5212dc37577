"""The engine against a model that anyone can check by eye.

The model knows of every accepted message, for every channel, where it is: queued, in
flight (with whom, until when) or deferred (until when); finished and dropped ones it
forgets, by the rule that dropped them. Which of the queued messages goes to which
consumer is the engine's choice: the model watches what consumers are sent, and checks
that it could be sent. After every step the engine's own counts must be the model's.

The disk is full at times: then publishes may be refused, as a whole, and backlogs stay.
"""

import errno
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import random

import pytest
from attrs import Factory, define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.nsqd.broker import open_broker, publish

from nsqcore.wire.frames import parse_record
from nsqd.engine.channel import Channel
from nsqd.engine.delivery.consumer import MAX_UNREAD, Consumer
from nsqd.engine.errors import NotInFlight, NotOwner
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import SYSTEM, FileSystem

SECOND = 1_000_000_000
MEMORY = 2  # messages a queue keeps in memory: the disk has its share of the work


@define
class Held:
    """A message in flight."""

    attempts: int
    holder: "ModelConsumer"
    delivered: int
    deadline: int


@define
class ModelChannel:
    """Messages by body. Queued ones have their next attempt, deferred ones also their time."""

    ephemeral: bool
    paused: bool = False
    queued: dict[bytes, int] = Factory(dict)
    lost: int = 0  # of the queued ones: dropped for want of memory, or by sampling
    held: dict[bytes, Held] = Factory(dict)
    deferred: dict[bytes, tuple[int, int]] = Factory(dict)
    requeues: int = 0
    timeouts: int = 0

    @property
    def depth(self) -> int:
        return len(self.queued) - self.lost

    def put(self, bodies: list[bytes], lost: int, room: int) -> None:
        """New messages, ``lost`` of which are so already; ``room`` is what consumers would take."""
        if self.ephemeral:
            fitting = max(MEMORY + room - self.depth, 0)
            lost += max(len(bodies) - lost - fitting, 0)
        self.queued.update(dict.fromkeys(bodies, 1))
        self.lost += lost

    def clear(self) -> None:
        self.queued, self.held, self.deferred, self.lost = {}, {}, {}, 0


@define
class ModelTopic:
    """Messages that wait for a channel or for the end of a pause, by body; None or their delay."""

    paused: bool = False
    shut: bool = False
    waiting: dict[bytes, int | None] = Factory(dict)
    lost: int = 0
    stuck: bool = False  # could not be moved to the channels; tried again with the next message
    channels: dict[str, ModelChannel] = Factory(dict)

    @property
    def depth(self) -> int:
        return len(self.waiting) - self.lost

    @property
    def flows(self) -> bool:
        return not self.paused and not self.shut and bool(self.channels)


@define(eq=False)
class ModelConsumer:
    """A consumer of the engine, and what it was sent since the last look."""

    topic: str
    channel: str
    timeout: int
    longest: int
    sampling: int
    home: Channel = field(init=False)
    consumer: Consumer = field(init=False)
    gone: bool = False
    closing: bool = False
    unread_bytes: int = 0
    when_read: Callable[[], None] | None = None
    sent: list[bytes] = Factory(list)

    def unread(self) -> int:
        return self.unread_bytes

    def when_drained(self, call: Callable[[], None]) -> None:
        self.when_read = call

    def send(self, records: list[bytes]) -> None:
        self.sent += records

    def channel_deleted(self) -> None:
        self.gone = True


class FullDisk(FileSystem):
    """Takes half of every write while it is full, and says so."""

    full = False

    def pwrite(self, descriptor: int, data: bytes, position: int) -> int:  # type: ignore[override]
        if not self.full:
            return SYSTEM.pwrite(descriptor, data, position)
        SYSTEM.pwrite(descriptor, data[: len(data) // 2], position)
        raise OSError(errno.ENOSPC, "No space left on device")


# A durable channel of an ephemeral topic would outlive it, but only on disk: not for the model.
CHANNELS = {
    "t": ["a", "b", "c#ephemeral"],
    "u": ["a", "c#ephemeral"],
    "e#ephemeral": ["c#ephemeral", "d#ephemeral"],
}
topics = st.sampled_from(["t", *CHANNELS])
places = st.sampled_from([(topic, name) for topic, names in CHANNELS.items() for name in names])
picks = st.integers(0, 1_000_000)


class EngineMachine(RuleBasedStateMachine):
    """The rules are what clients, operators and the clock do."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="nsq-model-"))
        self.warnings: list[str] = []
        self.now = 0
        self.published = 0
        self.topics: dict[str, ModelTopic] = {}
        self.consumers: list[ModelConsumer] = []
        self.late: list[ModelConsumer] = []  # their channel was deleted, and they do not read
        self.ids: dict[bytes, bytes] = {}  # of every body that was ever delivered
        self.disk = FullDisk()
        self.was_full = False

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    @initialize(hold=st.booleans(), opening=st.lists(places, max_size=4))
    def start(self, hold: bool, opening: list[tuple[str, str]]) -> None:
        self.open_broker(hold)
        for place in opening:
            self.channel(*place)

    def open_broker(self, hold: bool) -> None:
        store = DiskStore(
            str(self.directory),
            max_bytes_per_file=400,
            sync_every=20,
            warn=self.warnings.append,
            fs=self.disk,
        )
        self.broker = open_broker(store, mem_queue_size=MEMORY)
        self.broker.hold_new_topics = hold

    # -------------------------------------------------------------- producers

    def new_bodies(self, count: int) -> list[bytes]:
        self.published += count
        return [b"%d" % n for n in range(self.published - count, self.published)]

    def topic(self, name: str) -> ModelTopic:
        if name not in self.topics:
            self.topics[name] = ModelTopic(shut=self.broker.hold_new_topics)
        return self.topics[name]

    @rule(name=topics, counts=st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def publish(self, name: str, counts: list[int]) -> None:
        for count in counts:
            self.publish_batch(name, self.new_bodies(count))

    def publish_batch(self, name: str, bodies: list[bytes]) -> None:
        topic = self.topic(name)
        try:
            publish(self.broker, name, bodies, self.now)
        except OSError:
            assert self.disk.full
            assert self.broker.health.text.startswith("NOK - ")
        else:
            self.accept(name, topic, bodies)
        self.commit()

    def accept(self, name: str, topic: ModelTopic, bodies: list[bytes]) -> None:
        if topic.flows and not topic.waiting:
            self.fan_out(name, bodies)
            return
        topic.stuck = False
        if name.endswith("#ephemeral"):
            queued = sum(delay is None for delay in topic.waiting.values()) - topic.lost
            topic.lost += max(len(bodies) - max(MEMORY - queued, 0), 0)
        topic.waiting.update(dict.fromkeys(bodies))

    @rule(name=topics, delay=st.integers(1, 90))
    def publish_deferred(self, name: str, delay: int) -> None:
        (body,) = self.new_bodies(1)
        topic = self.topic(name)
        try:
            publish(self.broker, name, [body], self.now, delay=delay * SECOND)
        except OSError:
            assert self.disk.full
            self.commit()
            return
        if topic.flows:
            for channel in topic.channels.values():
                channel.deferred[body] = (1, self.now + delay * SECOND)
        else:
            topic.waiting[body] = delay * SECOND
        self.commit()

    def fan_out(self, name: str, bodies: list[bytes], lost: int = 0) -> None:
        for channel_name, channel in self.topics[name].channels.items():
            room = sum(self.room(consumer) for consumer in self.members(name, channel_name))
            channel.put(bodies, lost, room)

    # -------------------------------------------------------------- consumers

    def members(self, topic: str, channel: str) -> list[ModelConsumer]:
        return [c for c in self.consumers if (c.topic, c.channel) == (topic, channel)]

    def held_by(self, consumer: ModelConsumer) -> dict[bytes, Held]:
        channel = self.topics[consumer.topic].channels[consumer.channel]
        return {body: held for body, held in channel.held.items() if held.holder is consumer}

    def room(self, consumer: ModelConsumer) -> int:
        if consumer.closing or consumer.unread_bytes:
            return 0
        return max(consumer.consumer.ready - len(self.held_by(consumer)), 0)

    @rule(
        place=places,
        ready=st.integers(0, 5),
        timeout=st.sampled_from([10, 60]),
        longest=st.sampled_from([5, 30, 900]),
        sampling=st.sampled_from([0, 0, 0, 30]),
    )
    def subscribe(
        self, place: tuple[str, str], ready: int, timeout: int, longest: int, sampling: int
    ) -> None:
        model = ModelConsumer(*place, timeout * SECOND, longest * SECOND, sampling)
        model.consumer = Consumer(
            model,
            msg_timeout=model.timeout,
            max_msg_timeout=model.longest,
            sampled=(lambda: random() * 100 <= sampling) if sampling else None,
        )
        model.consumer.ready = ready
        model.home = self.channel(*place)
        model.home.add(model.consumer)
        self.broker.mark_ready(model.home)
        self.consumers.append(model)
        self.commit()

    @rule(place=places)
    def create_channel(self, place: tuple[str, str]) -> None:
        self.channel(*place)
        self.commit()

    def channel(self, topic: str, name: str) -> Channel:
        model = self.topic(topic)
        if name not in model.channels:
            model.channels[name] = ModelChannel(name.endswith("#ephemeral"))
        return self.broker.create_channel(topic, name)

    @precondition(lambda self: self.consumers)
    @rule(pick=picks)
    def disconnect(self, pick: int) -> None:
        consumer = self.consumers[pick % len(self.consumers)]
        channel = self.topics[consumer.topic].channels[consumer.channel]
        self.give_back(channel, self.held_by(consumer))
        self.end_session(consumer)
        if channel.ephemeral and not self.members(consumer.topic, consumer.channel):
            self.forget_channel(consumer.topic, consumer.channel)
        self.commit()

    def give_back(self, channel: ModelChannel, bodies: dict[bytes, Held]) -> None:
        for body, held in bodies.items():
            del channel.held[body]
            channel.queued[body] = held.attempts + 1
            channel.requeues += 1

    def end_session(self, consumer: ModelConsumer) -> None:
        self.consumers.remove(consumer)
        consumer.home.remove(consumer.consumer)
        self.broker.consumer_left(consumer.home)

    @precondition(lambda self: self.consumers)
    @rule(pick=picks, ready=st.integers(0, 5))
    def change_ready(self, pick: int, ready: int) -> None:
        consumer = self.consumers[pick % len(self.consumers)]
        consumer.consumer.ready = ready
        self.broker.mark_ready(consumer.home)
        self.commit()

    @precondition(lambda self: self.consumers)
    @rule(pick=picks)
    def say_goodbye(self, pick: int) -> None:
        """CLS: it gets no more, and may still answer for what it has."""
        consumer = self.consumers[pick % len(self.consumers)]
        consumer.closing = consumer.consumer.closing = True

    @precondition(lambda self: self.consumers)
    @rule(pick=picks)
    def stop_reading(self, pick: int) -> None:
        self.consumers[pick % len(self.consumers)].unread_bytes = MAX_UNREAD

    @precondition(lambda self: any(consumer.unread_bytes for consumer in self.consumers))
    @rule()
    def read_again(self) -> None:
        for consumer in self.consumers:
            consumer.unread_bytes = 0
            call, consumer.when_read = consumer.when_read, None
            if call is not None:
                call()
        self.commit()

    def any_held(self) -> list[tuple[ModelConsumer, bytes, Held]]:
        return [(c, body, held) for c in self.consumers for body, held in self.held_by(c).items()]

    @precondition(lambda self: self.any_held())
    @rule(picked=st.lists(picks, min_size=1, max_size=4))
    def finish(self, picked: list[int]) -> None:
        consumer = self.any_held()[picked[0] % len(self.any_held())][0]
        mine = list(self.held_by(consumer))
        bodies = [mine[pick % len(mine)] for pick in picked]
        ids = [self.ids[body] for body in bodies]
        missing = consumer.home.finish(consumer.consumer, ids, wall=0)
        assert len(missing) == len(bodies) - len(set(bodies))
        for body in set(bodies):
            del self.topics[consumer.topic].channels[consumer.channel].held[body]
        self.broker.mark_ready(consumer.home)
        self.commit()

    @precondition(lambda self: self.any_held())
    @rule(pick=picks, delay=st.sampled_from([0, 0, 5, 40]))
    def requeue(self, pick: int, delay: int) -> None:
        consumer, body, held = self.any_held()[pick % len(self.any_held())]
        channel = self.topics[consumer.topic].channels[consumer.channel]
        consumer.home.requeue(consumer.consumer, [self.ids[body]], delay * SECOND, self.now)
        self.broker.mark_ready(consumer.home)
        self.give_back(channel, {body: held})
        if delay:
            channel.deferred[body] = (channel.queued.pop(body), self.now + delay * SECOND)
        self.commit()

    @precondition(lambda self: self.any_held())
    @rule(pick=picks)
    def touch(self, pick: int) -> None:
        consumer, body, held = self.any_held()[pick % len(self.any_held())]
        consumer.home.touch(consumer.consumer, self.ids[body], self.now)
        held.deadline = min(self.now + consumer.timeout, held.delivered + consumer.longest)

    @precondition(lambda self: self.any_held())
    @rule(pick=picks, answer=st.sampled_from(["finish", "requeue", "touch"]))
    def answer_for_what_another_holds(self, pick: int, answer: str) -> None:
        holder, body, _ = self.any_held()[pick % len(self.any_held())]
        others = [c for c in self.members(holder.topic, holder.channel) if c is not holder]
        id = self.ids[body]
        for other in others:
            home, consumer = other.home, other.consumer
            if answer == "finish":
                assert home.finish(consumer, [id], wall=0) == [id]
            elif answer == "requeue":
                assert home.requeue(consumer, [id], 0, self.now) == [id]
            else:
                with pytest.raises(NotOwner):
                    home.touch(consumer, id, self.now)

    # -------------------------------------------------------------- the disk's chores

    @rule(seconds=st.sampled_from([0, 0, 2]))
    def sync(self, seconds: int) -> None:
        """What is due for the thread."""
        self.time_passes(seconds)
        job = self.broker.storage.store.due(self.now)
        if job is not None:
            job()
            job.answer()

    # -------------------------------------------------------------- the clock

    @rule(seconds=st.sampled_from([1, 4, 5, 9, 30, 61]))
    def time_passes(self, seconds: int) -> None:
        """The engine is woken at the deadlines it asked for, and only then."""
        end = self.now + seconds * SECOND
        while (first := self.broker.deadlines.next) is not None and first <= end:
            self.now = max(first, self.now)
            self.broker.expire(self.now)
            assert self.broker.deadlines.next is None or self.broker.deadlines.next > self.now
            self.expire()
            self.commit()
        self.now = end
        self.expire()
        self.commit()

    def all_deadlines(self) -> list[int]:
        found = []
        for topic in self.topics.values():
            for channel in topic.channels.values():
                found += [held.deadline for held in channel.held.values()]
                found += [due for _, due in channel.deferred.values()]
        return found

    def expire(self) -> None:
        for topic in self.topics.values():
            for channel in topic.channels.values():
                for body, (attempts, due) in list(channel.deferred.items()):
                    if due <= self.now:
                        del channel.deferred[body]
                        channel.queued[body] = attempts
                for body, held in list(channel.held.items()):
                    if held.deadline <= self.now:
                        del channel.held[body]
                        channel.queued[body] = held.attempts + 1
                        channel.timeouts += 1

    # -------------------------------------------------------------- operators

    def any_channel(self) -> list[tuple[str, str]]:
        return [(topic, name) for topic in self.topics for name in self.topics[topic].channels]

    def target(self, pick: int) -> tuple[str, str | None]:
        """A topic, or a channel of one."""
        found = [(topic, None) for topic in self.topics] + self.any_channel()
        return found[pick % len(found)]

    @precondition(lambda self: self.topics)
    @rule(pick=picks, paused=st.booleans())
    def pause_or_go_on(self, pick: int, paused: bool) -> None:
        topic, channel = self.target(pick)
        engine = self.broker.topics[topic]
        if channel is None:
            self.broker.pause_topic(engine, paused=paused)
            self.topics[topic].paused = paused
        else:
            self.broker.pause_channel(engine, engine.channels[channel], paused=paused)
            self.topics[topic].channels[channel].paused = paused
        self.commit()

    @precondition(lambda self: any(topic.shut for topic in self.topics.values()))
    @rule()
    def open_topics(self) -> None:
        for name, topic in self.topics.items():
            self.broker.open_topic(self.broker.topics[name])
            topic.shut = False
        self.commit()

    @precondition(lambda self: self.topics)
    @rule(pick=picks)
    def empty(self, pick: int) -> None:
        topic, channel = self.target(pick)
        if channel is None:
            self.broker.topics[topic].empty()
            self.topics[topic].waiting, self.topics[topic].lost = {}, 0
        else:
            self.broker.topics[topic].channels[channel].empty()
            self.topics[topic].channels[channel].clear()
        self.commit()

    @precondition(lambda self: len(self.any_channel()) > 2)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        topic, channel = self.target(pick)
        engine = self.broker.topics[topic]
        if channel is None:
            self.broker.delete_topic(engine)
            for name in list(self.topics[topic].channels):
                self.forget_channel(topic, name)
            self.topics.pop(topic, None)
        else:
            self.broker.delete_channel(engine, engine.channels[channel])
            self.forget_channel(topic, channel)
        self.commit()

    @precondition(lambda self: self.late)
    @rule(pick=picks, answer=st.sampled_from(["finish", "requeue", "defer", "touch", "leave"]))
    def answer_late(self, pick: int, answer: str) -> None:
        """What comes from a consumer whose channel was deleted changes nothing."""
        late = self.late[pick % len(self.late)]
        id = list(self.ids.values())[pick % len(self.ids)] if self.ids else b"x" * 16
        if answer == "finish":
            assert late.home.finish(late.consumer, [id], 0) == [id]
        elif answer == "leave":
            self.late.remove(late)
            late.home.remove(late.consumer)
            self.broker.consumer_left(late.home)
        elif answer == "touch":
            with pytest.raises(NotInFlight):
                late.home.touch(late.consumer, id, self.now)
        else:
            delay = SECOND if answer == "defer" else 0
            assert late.home.requeue(late.consumer, [id], delay, self.now) == [id]
        self.broker.mark_ready(late.home)
        self.commit()

    def forget_channel(self, topic: str, name: str) -> None:
        """The channel was deleted: its clients are told. Some are stuck and end their sessions
        much later, when there may be a new channel of that name."""
        for consumer in self.members(topic, name):
            assert consumer.gone
            self.consumers.remove(consumer)
            self.late.append(consumer)
        del self.topics[topic].channels[name]
        if topic.endswith("#ephemeral") and not self.topics[topic].channels:
            del self.topics[topic]

    @rule(full=st.booleans())
    def disk_fills_or_empties(self, full: bool) -> None:
        self.disk.full = full
        self.was_full |= full

    @precondition(lambda self: not self.disk.full)
    @rule()
    def restart(self) -> None:
        """A clean stop; then topics and channels are made again, as the metadata has them."""
        self.broker.close()
        for consumer in list(self.consumers):
            self.end_session(consumer)
        if (job := self.broker.storage.store.finish()) is not None:
            job()
        self.late.clear()
        self.now += SECOND  # it takes its time, and new ids rely on it
        self.topics = {n: t for n, t in self.topics.items() if not n.endswith("#ephemeral")}
        self.open_broker(hold=False)
        for name, topic in self.topics.items():
            self.broker.pause_topic(self.broker.create_topic(name), paused=topic.paused)
            topic.shut = False
            topic.waiting = dict.fromkeys(topic.waiting)
            topic.channels = {n: c for n, c in topic.channels.items() if not c.ephemeral}
            for channel_name, channel in topic.channels.items():
                engine = self.broker.create_channel(name, channel_name)
                self.broker.pause_channel(self.broker.topics[name], engine, paused=channel.paused)
                self.give_back(channel, dict(channel.held))
                for body, (attempts, _) in channel.deferred.items():
                    channel.queued[body] = attempts
                channel.deferred, channel.requeues, channel.timeouts = {}, 0, 0
        self.commit()

    # -------------------------------------------------------------- what must be true

    def commit(self) -> None:
        """The end of a turn: the engine delivers what it can, and the model watches."""
        while self.broker.dispatch(self.now):
            pass
        for name, topic in self.topics.items():
            if topic.flows and topic.waiting:
                self.drain(name, topic)
        for consumer in self.consumers:
            self.watch(consumer)
        for topic_name, name in self.any_channel():
            self.look_at(topic_name, name)

    def drain(self, name: str, topic: ModelTopic) -> None:
        """What waited went to the channels; only a full disk keeps it back."""
        was_stuck, topic.stuck = topic.stuck, self.broker.topics[name].depth > 0
        assert not topic.stuck or self.disk.full or was_stuck
        waiting, topic.waiting = topic.waiting, {}
        for body, delay in waiting.items():
            if delay is not None:
                for channel in topic.channels.values():
                    channel.deferred[body] = (1, self.now + delay)
        bodies = [body for body, delay in waiting.items() if delay is None]
        if topic.stuck:
            topic.waiting = dict.fromkeys(bodies)
        else:
            lost, topic.lost = topic.lost, 0
            self.fan_out(name, bodies, lost)

    def watch(self, consumer: ModelConsumer) -> None:
        """What ``consumer`` was sent must have been queued, on the attempt it says."""
        channel = self.topics[consumer.topic].channels[consumer.channel]
        sent, consumer.sent = consumer.sent, []
        assert not (sent and channel.paused)
        for message in map(parse_record, sent):
            assert channel.queued.pop(message.body) == message.attempts
            assert self.ids.setdefault(message.body, message.id) == message.id
            channel.held[message.body] = Held(
                message.attempts, consumer, self.now, self.now + consumer.timeout
            )
        if sent:
            assert len(self.held_by(consumer)) <= consumer.consumer.ready

    def look_at(self, topic: str, name: str) -> None:
        """Nobody with room waits while there are messages; sampling explains what is missing."""
        channel = self.topics[topic].channels[name]
        engine = self.broker.topics[topic].channels[name]
        members = self.members(topic, name)
        if any(consumer.sampling for consumer in members):
            assert engine.depth <= channel.depth
            channel.lost += channel.depth - engine.depth
        if channel.depth == 0:
            channel.queued, channel.lost = {}, 0
        if not channel.paused and any(self.room(consumer) for consumer in members):
            assert channel.depth == 0

    @invariant()
    def every_message_is_where_the_model_has_it(self) -> None:
        assert set(self.broker.topics) == set(self.topics)
        for name, topic in self.topics.items():
            engine = self.broker.topics[name]
            assert set(engine.channels) == set(topic.channels)
            assert engine.depth == topic.depth
            for channel_name, channel in topic.channels.items():
                found = engine.channels[channel_name]
                assert found.depth == channel.depth
                assert found.in_flight_count == len(channel.held)
                assert found.deferred_count == len(channel.deferred)
                assert found.requeue_count == channel.requeues
                assert found.timeout_count == channel.timeouts

    @invariant()
    def nothing_is_due_before_the_engine_wakes_up(self) -> None:
        if deadlines := self.all_deadlines():
            assert self.broker.deadlines.next is not None
            assert self.broker.deadlines.next <= min(deadlines)

    @invariant()
    def the_disk_has_no_complaints(self) -> None:
        complaints = [line for line in self.warnings if "No space left" not in line]
        assert complaints == []
        assert self.was_full or self.broker.health.text == "OK"


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestEngine = pytest.mark.slow(TestEngine)
