"""What can be counted of topics and channels, at one moment: numbers.

What they are called in /stats, at /metrics and for statsd stands in `nsqd.http` and `nsqd.statsd`.
Snapshots are taken one topic or channel at a time, so that thousands of them can be taken in slices
while messages go on moving. Nothing here changes a queue, and no clock is read.
"""

from nsqcore.classes import define
from nsqcore.metrics.quantile import LatencySummary, summarize
from nsqcore.units import MS
from nsqd.engine.broker import Broker
from nsqd.engine.channel import Channel
from nsqd.engine.messages.queue import LogStats
from nsqd.engine.topic import Topic

UNTRACKED = LatencySummary()


@define(eq=False, repr=False)
class ChannelStats:
    """A channel, counted."""

    channel_name: str
    latency: LatencySummary
    depth: int
    backend_depth: int
    in_flight_count: int
    deferred_count: int
    message_count: int
    zone_local_msg_count: int
    region_local_msg_count: int
    global_msg_count: int
    requeue_count: int
    timeout_count: int
    finish_count: int
    client_count: int
    paused: bool
    dead_count: int
    expired_count: int
    dropped_count: int
    rejected_count: int
    #: How long ago what comes first in the queue was published; None if nothing is queued, or no
    #: policy speaks of the channel: it may have to be read from the disk.
    oldest_age_ms: int | None
    #: Whether a policy speaks of the lives of its messages, or some have died.
    ruled: bool
    #: Where a policy says its dead messages go; empty where none says it.
    dead_letter_topic: str

    @classmethod
    def of(cls, channel: Channel, wall: int) -> "ChannelStats":
        """A snapshot of ``channel``; ``wall`` is the wall clock in ns."""
        window = channel.latency
        zone_local, region_local, anywhere = channel.local_counts
        deaths = channel.departures.deaths
        ruled = channel.rules.speaks or bool(deaths)
        oldest = channel.queue.oldest() if ruled else None
        return cls(
            channel.name,
            UNTRACKED if window is None else window.summary(wall),
            channel.depth,
            channel.backend_depth,
            channel.in_flight_count,
            channel.deferred_count,
            channel.message_count,
            zone_local,
            region_local,
            anywhere,
            channel.requeue_count,
            channel.timeout_count,
            channel.finish_count,
            len(channel.consumers),
            channel.paused,
            deaths.dead,
            deaths.expired,
            deaths.dropped,
            deaths.rejected,
            None if oldest is None else max(0, wall - oldest) // MS,
            ruled,
            channel.rules.dead_letter_topic,
        )


@define(eq=False, repr=False)
class TopicStats:
    """A topic, counted. ``latency`` is that of all its channels.

    ``durability`` and ``log`` are those of a topic that is durable, or was; else "" and None.
    """

    topic_name: str
    latency: LatencySummary
    depth: int
    backend_depth: int
    message_count: int
    message_bytes: int
    paused: bool
    durability: str = ""
    log: LogStats | None = None

    @classmethod
    def of(cls, topic: Topic, wall: int) -> "TopicStats":
        """A snapshot of ``topic``; ``wall`` is the wall clock in ns."""
        return cls(
            topic.name,
            topic_latency(topic, wall),
            topic.depth,
            topic.backend_depth,
            topic.message_count,
            topic.message_bytes,
            topic.paused,
            "" if topic.log is None else topic.log.promise,
            None if topic.log is None else topic.log.stats(),
        )


def topic_latency(topic: Topic, wall: int) -> LatencySummary:
    """The latency over all channels of ``topic``."""
    windows = [each.latency for each in topic.channels.values() if each.latency is not None]
    return summarize(windows, windows[0].quantiles, wall) if windows else UNTRACKED


def select_topics(broker: Broker, topic: str) -> list[Topic] | None:
    """The topics by name: all, or the one called ``topic``; None if there is no such topic."""
    if not topic:
        return [each for _, each in sorted(broker.topics.items())]
    found = broker.topics.get(topic)
    return None if found is None else [found]


def select_channels(topic: Topic, channel: str) -> list[Channel] | None:
    """The channels by name: all, or the one called ``channel``; None if there is no such one."""
    if not channel:
        return [each for _, each in sorted(topic.channels.items())]
    found = topic.channels.get(channel)
    return None if found is None else [found]
