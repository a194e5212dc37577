"""``nsqctl topics|channels|nodes|lookup|stats``: what there is in a cluster."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.lookupd import lookupd_channels
from nsqcore.cluster.merge import group_topics, merge_topic
from nsqcore.cluster.nsqd import nsqd_stats
from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqcore.cluster.upstream import AllFailed, Answer
from nsqctl.shared.output import print_failures, print_json, printable, table, wide_console
from nsqctl.shared.target import is_unknown

TOPIC_COLUMNS = ("topic", "depth", "on disk", "messages", "channels", "nsqds", "paused")
CHANNEL_COLUMNS = (
    "topic", "channel", "depth", "on disk", "in flight", "deferred", "requeued", "timed out",
    "messages", "clients", "paused",
)  # fmt: skip


async def merged_topics(
    cluster: Cluster, *, topic: str = "", channel: str = "", clients: bool = False
) -> Answer[list[TopicStats]]:
    """Every topic over all nsqds, by name. Raises AllFailed."""
    nodes = await cluster.nodes()
    if not nodes.value:  # the nsqlookupds know none: nobody to ask, and nothing wrong with it
        return Answer([], nodes.failures)
    stats = await nsqd_stats(
        cluster.upstream, nodes.value, topic=topic, channel=channel, clients=clients
    )
    topics = [merge_topic(name, parts) for name, parts in sorted(group_topics(stats.value).items())]
    return Answer(topics, nodes.failures + stats.failures)


async def topics(cluster: Cluster, given: argparse.Namespace) -> int:
    """Every topic, also those that only nsqlookupd remembers."""
    answer = await merged_topics(cluster)
    known = await cluster.topics()
    found = {stats.topic_name for stats in answer.value}
    forgotten = [name for name in known.value if name not in found]
    if given.json:
        listed = [_topic_json(stats) for stats in answer.value]
        print_json(listed + [{"topic_name": name, "nodes": []} for name in forgotten])
    else:
        rows: list[Sequence[object]] = [_topic_row(stats) for stats in answer.value]
        rows += [(name, 0, 0, 0, 0, 0, False) for name in forgotten]
        columns: tuple[str, ...] = TOPIC_COLUMNS
        if any(map(_dead_count, answer.value)):
            columns += ("dead",)
            dead = [_dead_count(stats) for stats in answer.value] + [0] * len(forgotten)
            rows = [(*row, count) for row, count in zip(rows, dead, strict=True)]
        if any(stats.promise for stats in answer.value):
            columns += ("promise",)
            told = [stats.promise for stats in answer.value] + [""] * len(forgotten)
            rows = [(*row, promise) for row, promise in zip(rows, told, strict=True)]
        wide_console().print(table("", columns, rows))
    return print_failures(answer.failures + known.failures)


async def channels(cluster: Cluster, given: argparse.Namespace) -> int:
    """The channels of one topic, or of all."""
    answer = await merged_topics(cluster, topic=given.topic or "")
    found = [channel for stats in answer.value for channel in stats.channels]
    if given.json:
        print_json([channel.to_json(time.time_ns()) for channel in found])
    else:
        wide_console().print(_channels_table("", found))
    return print_failures(answer.failures)


async def nodes(cluster: Cluster, given: argparse.Namespace) -> int:
    """Every nsqd."""
    answer = await cluster.nodes()
    if given.json:
        print_json([node.to_json() for node in answer.value])
    else:
        columns = ("host", "broadcast", "version", "region", "zone", "TCP", "HTTP", "topics")
        rows = [
            (
                node.hostname,
                node.broadcast_address,
                node.version,
                node.topology_region,
                node.topology_zone,
                str(node.tcp_port),
                str(node.http_port),
                len(node.topics),
            )
            for node in answer.value
        ]
        wide_console().print(table("", columns, rows, texts=5))
    return print_failures(answer.failures)


async def lookup(cluster: Cluster, given: argparse.Namespace) -> int:
    """The nsqds of one topic, and the channels that nsqlookupd knows of it; 1 if there are none."""
    try:
        answer = await cluster.producers(given.topic)
    except AllFailed as error:
        if not is_unknown(error):
            raise
        print(f"nsqctl: no nsqlookupd knows the topic {given.topic}", file=sys.stderr)
        return 1
    if not cluster.lookupds and not answer.value and not answer.failures:
        print(f"nsqctl: no nsqd has the topic {given.topic}", file=sys.stderr)
        return 1
    failures = answer.failures
    names: list[str] = []
    if cluster.lookupds:
        known = await lookupd_channels(cluster.upstream, cluster.lookupds, given.topic)
        names, failures = known.value, failures + known.failures
    if given.json:
        print_json({"channels": names, "producers": [node.to_json() for node in answer.value]})
    else:
        rows = [(node.hostname, node.tcp_address, node.http_address) for node in answer.value]
        out = wide_console()
        out.print(table("", ("host", "TCP", "HTTP"), rows, texts=3))
        if names:
            out.print(Text(printable("channels: " + ", ".join(names))))
    return print_failures(failures)


async def stats(cluster: Cluster, given: argparse.Namespace) -> int:
    """A topic, its nsqds, channels and consumers in detail; 1 if no nsqd has it."""
    answer = await merged_topics(
        cluster, topic=given.topic, channel=given.channel or "", clients=True
    )
    status = print_failures(answer.failures)
    if not answer.value:
        print(f"nsqctl: no nsqd has the topic {given.topic}", file=sys.stderr)
        status = 1
    if given.json:
        print_json([topic.to_json(time.time_ns()) for topic in answer.value])
        return status
    out = wide_console()
    for topic in answer.value:
        per_node = [
            (part.hostname, part.node, part.depth, part.backend_depth, part.message_count)
            for part in topic.nodes or ()
        ]
        columns = ("nsqd", "HTTP", "depth", "on disk", "messages")
        title = f"topic {topic.topic_name}" + (f" ({topic.promise})" if topic.promise else "")
        out.print(table(title, columns, per_node, texts=2))
        shown = [c for c in topic.channels if given.channel in (None, c.channel_name)]
        out.print("", _channels_table("channels", shown))
        for channel in shown:
            if channel.clients:
                out.print("", _clients_table(channel))
    return status


def _clients_table(channel: ChannelStats) -> Any:
    rows = [
        (
            client.hostname,
            client.remote_address,
            client.user_agent,
            client.in_flight_count,
            client.ready_count,
            client.finish_count,
            client.requeue_count,
            client.message_count,
        )
        for client in channel.clients or ()
    ]
    columns = ("host", "address", "agent", "in flight", "ready", "finished", "requeued", "messages")
    return table(f"consumers of {channel.channel_name}", columns, rows, texts=3)


def _topic_row(stats: TopicStats) -> Sequence[object]:
    return (
        stats.topic_name,
        stats.depth,
        stats.backend_depth,
        stats.message_count,
        len(stats.channels),
        len(stats.nodes or ()),
        stats.paused,
    )


def _topic_json(stats: TopicStats) -> dict[str, Any]:
    shown = stats.to_json(time.time_ns())
    shown["channels"] = [channel.channel_name for channel in stats.channels]
    shown["nodes"] = [part.node for part in stats.nodes or ()]
    if dead := _dead_count(stats):
        shown["dead_count"] = dead
    return shown


def _dead_count(stats: TopicStats) -> int:
    return sum(channel.dead_count for channel in stats.channels)


def _channels_table(title: str, channels: Sequence[ChannelStats]) -> Any:
    """With a column of the dead where there are some."""
    columns: tuple[str, ...] = CHANNEL_COLUMNS
    rows = [_channel_row(channel) for channel in channels]
    if any(channel.dead_count for channel in channels):
        columns += ("dead",)
        rows = [(*row, each.dead_count) for row, each in zip(rows, channels, strict=True)]
    return table(title, columns, rows, texts=2)


def _channel_row(stats: ChannelStats) -> Sequence[object]:
    return (
        stats.topic_name,
        stats.channel_name,
        stats.depth,
        stats.backend_depth,
        stats.in_flight_count,
        stats.deferred_count,
        stats.requeue_count,
        stats.timeout_count,
        stats.message_count,
        stats.client_count,
        stats.paused,
    )
