"""What /stats and /metrics tell of topics and channels: the names of the engine's numbers.

JSON is written straight from the fields, in the order the original has: half the time
of dictionaries and `json.dumps`, and a thousand topics are asked for every few seconds.
"""

import json
from json.encoder import encode_basestring_ascii as quoted
from typing import Literal

from nsqcore.classes import frozen
from nsqcore.metrics.quantile import LatencySummary
from nsqd.engine.stats import ChannelStats, TopicStats

FLAGS = ("false", "true")

_UNTRACKED_JSON = '{"count":0,"percentiles":null}'


@frozen
class Metric:
    """How the number ``attribute`` of a snapshot appears at /metrics."""

    attribute: str
    name: str
    kind: Literal["gauge", "counter"]
    help: str


TOPIC_METRICS = (
    Metric("depth", "nsqd_topic_depth", "gauge", "Messages that wait for a channel."),
    Metric("backend_depth", "nsqd_topic_backend_depth", "gauge", "Of these, the ones on disk."),
    Metric("message_count", "nsqd_topic_messages_total", "counter", "Messages published."),
    Metric("message_bytes", "nsqd_topic_message_bytes_total", "counter", "Bytes published."),
    Metric("paused", "nsqd_topic_paused", "gauge", "1 while channels get nothing of the topic."),
)
CHANNEL_METRICS = (
    Metric("depth", "nsqd_channel_depth", "gauge", "Messages queued in the channel."),
    Metric("backend_depth", "nsqd_channel_backend_depth", "gauge", "Messages queued on disk."),
    Metric("in_flight_count", "nsqd_channel_in_flight", "gauge", "Messages that consumers hold."),
    Metric(
        "deferred_count",
        "nsqd_channel_deferred",
        "gauge",
        "Messages that wait for their time.",
    ),
    Metric("message_count", "nsqd_channel_messages_total", "counter", "Messages that came in."),
    Metric(
        "zone_local_msg_count",
        "nsqd_channel_zone_local_messages_total",
        "counter",
        "Messages delivered within the zone.",
    ),
    Metric(
        "region_local_msg_count",
        "nsqd_channel_region_local_messages_total",
        "counter",
        "Messages delivered elsewhere in the region.",
    ),
    Metric(
        "global_msg_count",
        "nsqd_channel_global_messages_total",
        "counter",
        "Messages delivered outside of the region.",
    ),
    Metric("requeue_count", "nsqd_channel_requeues_total", "counter", "Messages given back."),
    Metric(
        "timeout_count",
        "nsqd_channel_timeouts_total",
        "counter",
        "Messages not finished in time.",
    ),
    Metric("finish_count", "nsqd_channel_finished_total", "counter", "Messages finished."),
    Metric(
        "dead_count",
        "nsqd_channel_dead_letters_total",
        "counter",
        "Messages moved to the dead-letter topic.",
    ),
    Metric("expired_count", "nsqd_channel_expired_total", "counter", "Messages that were too old."),
    Metric(
        "dropped_count",
        "nsqd_channel_dropped_total",
        "counter",
        "Messages dropped by a policy.",
    ),
    Metric(
        "rejected_count",
        "nsqd_channel_rejected_total",
        "counter",
        "Messages refused as the channel was full.",
    ),
    Metric("client_count", "nsqd_channel_clients", "gauge", "Consumers of the channel."),
    Metric("paused", "nsqd_channel_paused", "gauge", "1 while the channel delivers nothing."),
)


def channel_json(stats: ChannelStats, clients: str) -> str:
    """An entry of ``channels``; ``clients`` is the JSON of its consumers."""
    return (
        f'{{"channel_name":{quoted(stats.channel_name)}'
        f',"depth":{stats.depth}'
        f',"backend_depth":{stats.backend_depth}'
        f',"in_flight_count":{stats.in_flight_count}'
        f',"deferred_count":{stats.deferred_count}'
        f',"message_count":{stats.message_count}'
        f"{_deliveries_json(stats)}"
        f',"requeue_count":{stats.requeue_count}'
        f',"timeout_count":{stats.timeout_count}'
        f',"client_count":{stats.client_count}'
        f',"clients":{clients}'
        f',"paused":{FLAGS[stats.paused]}'
        f',"e2e_processing_latency":{latency_json(stats.latency)}'
        f"{_deaths_json(stats)}}}"
    )


def _deaths_json(stats: ChannelStats) -> str:
    """Only where a policy speaks of such things, or they have happened."""
    if not stats.ruled:
        return ""
    return (
        f',"dead_count":{stats.dead_count}'
        f',"expired_count":{stats.expired_count}'
        f',"dropped_count":{stats.dropped_count}'
        f',"rejected_count":{stats.rejected_count}'
        f',"oldest_age_ms":{stats.oldest_age_ms or 0}'
        + (f',"dead_letter_topic":{quoted(name)}' if (name := stats.dead_letter_topic) else "")
    )


def _deliveries_json(stats: ChannelStats) -> str:
    # the original leaves these out while they are zero
    zone, region = stats.zone_local_msg_count, stats.region_local_msg_count
    anywhere = stats.global_msg_count
    return (
        (f',"zone_local_msg_count":{zone}' if zone else "")
        + (f',"region_local_msg_count":{region}' if region else "")
        + (f',"global_msg_count":{anywhere}' if anywhere else "")
    )


def topic_json(stats: TopicStats, channels: str, promise: str = "") -> str:
    """An entry of ``topics``; ``channels`` is the JSON of its channels.

    ``promise`` says what its ``durability`` means; only durable topics have both.
    """
    return (
        f'{{"topic_name":{quoted(stats.topic_name)}'
        f',"channels":{channels}'
        f',"depth":{stats.depth}'
        f',"backend_depth":{stats.backend_depth}'
        f',"message_count":{stats.message_count}'
        f',"message_bytes":{stats.message_bytes}'
        f',"paused":{FLAGS[stats.paused]}'
        f',"e2e_processing_latency":{latency_json(stats.latency)}'
        f"{_durable_json(stats, promise)}}}"
    )


def _durable_json(stats: TopicStats, promise: str) -> str:
    log = stats.log
    if log is None:
        return ""
    return (
        f',"durability":{quoted(stats.durability)}'
        f',"promise":{quoted(promise)}'
        f',"log":{{"first":{log.first},"next":{log.next},"bytes":{log.bytes}'
        f',"segments":{log.segments}}}'
        f',"lost_count":{log.lost}'
        f',"damaged_count":{log.damaged}'
    )


def latency_json(latency: LatencySummary) -> str:
    """The value of ``e2e_processing_latency``."""
    if latency.percentiles is None:
        return _UNTRACKED_JSON
    return json.dumps(latency.to_json(), separators=(",", ":"))
