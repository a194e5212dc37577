"""What can be counted of topics and channels, at one moment.

The snapshot classes are the one place of a statistic: what it is taken from, where it
stands in the JSON of /stats, what it is called and means at /metrics. /stats, statsd and
/metrics take snapshots one topic or channel at a time, so that thousands of them can be
taken in slices while messages go on moving.

JSON is written straight from the fields, in the order the original has: half the time
of dictionaries and `json.dumps`, and a thousand topics are asked for every few seconds.
Nothing here changes a queue, and no clock is read.
"""

import json
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Literal

from attrs import define, field, fields, frozen

from nsqcore.metrics.quantile import LatencySummary, summarize
from nsqd.engine.broker import Broker
from nsqd.engine.channel import Channel
from nsqd.engine.topic import Topic

FLAGS = ("false", "true")

_METRIC = "nsqd.engine.stats"
_UNTRACKED = LatencySummary()
_UNTRACKED_JSON = '{"count":0,"percentiles":null}'


@frozen
class Metric:
    """How a statistic appears at /metrics, and the snapshot's ``attribute`` it is."""

    attribute: str
    name: str
    kind: Literal["gauge", "counter"]
    help: str


def gauge(name: str, help: str) -> Any:
    """A field that goes up and down, called ``name`` at /metrics."""
    return field(metadata={_METRIC: (name, "gauge", help)})


def counter(name: str, help: str) -> Any:
    """A field that only grows, called ``name`` at /metrics."""
    return field(metadata={_METRIC: (name, "counter", help)})


def metrics(snapshot: type) -> list[Metric]:
    """The fields of a snapshot class that are metrics."""
    return [
        Metric(item.name, *item.metadata[_METRIC])
        for item in fields(snapshot)
        if _METRIC in item.metadata
    ]


@define(eq=False)
class ChannelStats:
    """A channel, counted."""

    channel_name: str
    latency: LatencySummary
    depth: int = gauge("nsqd_channel_depth", "Messages queued in the channel.")
    backend_depth: int = gauge("nsqd_channel_backend_depth", "Messages queued on disk.")
    in_flight_count: int = gauge("nsqd_channel_in_flight", "Messages that consumers hold.")
    deferred_count: int = gauge("nsqd_channel_deferred", "Messages that wait for their time.")
    message_count: int = counter("nsqd_channel_messages_total", "Messages that came in.")
    zone_local_msg_count: int = counter(
        "nsqd_channel_zone_local_messages_total", "Messages delivered within the zone."
    )
    region_local_msg_count: int = counter(
        "nsqd_channel_region_local_messages_total", "Messages delivered elsewhere in the region."
    )
    global_msg_count: int = counter(
        "nsqd_channel_global_messages_total", "Messages delivered outside of the region."
    )
    requeue_count: int = counter("nsqd_channel_requeues_total", "Messages given back.")
    timeout_count: int = counter("nsqd_channel_timeouts_total", "Messages not finished in time.")
    client_count: int = gauge("nsqd_channel_clients", "Consumers of the channel.")
    paused: bool = gauge("nsqd_channel_paused", "1 while the channel delivers nothing.")

    @classmethod
    def of(cls, channel: Channel, wall: int) -> "ChannelStats":
        """A snapshot of ``channel``; ``wall`` is the wall clock in ns."""
        window = channel.latency
        zone_local, region_local, anywhere = channel.local_counts
        return cls(
            channel.name,
            _UNTRACKED if window is None else window.summary(wall),
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
            len(channel.consumers),
            channel.paused,
        )

    def to_json(self, clients: str) -> str:
        """An entry of ``channels``; ``clients`` is the JSON of its consumers."""
        return (
            f'{{"channel_name":{quoted(self.channel_name)}'
            f',"depth":{self.depth}'
            f',"backend_depth":{self.backend_depth}'
            f',"in_flight_count":{self.in_flight_count}'
            f',"deferred_count":{self.deferred_count}'
            f',"message_count":{self.message_count}'
            f"{self._deliveries_json()}"
            f',"requeue_count":{self.requeue_count}'
            f',"timeout_count":{self.timeout_count}'
            f',"client_count":{self.client_count}'
            f',"clients":{clients}'
            f',"paused":{FLAGS[self.paused]}'
            f',"e2e_processing_latency":{latency_json(self.latency)}}}'
        )

    def _deliveries_json(self) -> str:
        # the original leaves these out while they are zero
        zone, region = self.zone_local_msg_count, self.region_local_msg_count
        anywhere = self.global_msg_count
        return (
            (f',"zone_local_msg_count":{zone}' if zone else "")
            + (f',"region_local_msg_count":{region}' if region else "")
            + (f',"global_msg_count":{anywhere}' if anywhere else "")
        )


@define(eq=False)
class TopicStats:
    """A topic, counted. ``latency`` is that of all its channels."""

    topic_name: str
    latency: LatencySummary
    depth: int = gauge("nsqd_topic_depth", "Messages that wait for a channel.")
    backend_depth: int = gauge("nsqd_topic_backend_depth", "Of these, the ones on disk.")
    message_count: int = counter("nsqd_topic_messages_total", "Messages published.")
    message_bytes: int = counter("nsqd_topic_message_bytes_total", "Bytes published.")
    paused: bool = gauge("nsqd_topic_paused", "1 while channels get nothing of the topic.")

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
        )

    def to_json(self, channels: str) -> str:
        """An entry of ``topics``; ``channels`` is the JSON of its channels."""
        return (
            f'{{"topic_name":{quoted(self.topic_name)}'
            f',"channels":{channels}'
            f',"depth":{self.depth}'
            f',"backend_depth":{self.backend_depth}'
            f',"message_count":{self.message_count}'
            f',"message_bytes":{self.message_bytes}'
            f',"paused":{FLAGS[self.paused]}'
            f',"e2e_processing_latency":{latency_json(self.latency)}}}'
        )


def topic_latency(topic: Topic, wall: int) -> LatencySummary:
    """The latency over all channels of ``topic``."""
    windows = [each.latency for each in topic.channels.values() if each.latency is not None]
    return summarize(windows, windows[0].quantiles, wall) if windows else _UNTRACKED


def latency_json(latency: LatencySummary) -> str:
    """The value of ``e2e_processing_latency``."""
    if latency.percentiles is None:
        return _UNTRACKED_JSON
    return json.dumps(latency.to_json(), separators=(",", ":"))


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
