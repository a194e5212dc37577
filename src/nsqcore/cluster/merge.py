"""Sums: the topics and channels of many nsqd as one.

Takes values of one nsqd each, returns new values with ``node`` ``*`` and the parts in ``nodes``;
never changes what it was given.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from nsqcore.cluster.latency import merge_latency
from nsqcore.cluster.stats import CHANNEL_SUMS, TOPIC_SUMS, ChannelStats, ClientStats, TopicStats

# What an OK may promise, the least first, and what it promises where nothing is durable.
DURABILITIES = ("", "os", "interval", "always")
IN_MEMORY = "in memory"


def merge_topic(name: str, parts: Sequence[TopicStats], *, clients: bool = True) -> TopicStats:
    """The topic over all ``parts``; its channels are sums as well.

    A channel that exists on one nsqd only is that nsqd's own value, as in the original.

    Args:
        clients: gather the clients of each channel; they are in its parts anyway.
    """
    nodes = sorted(parts, key=lambda part: part.hostname)
    by_channel: dict[str, list[ChannelStats]] = {}
    for part in nodes:
        for channel in part.channels:
            by_channel.setdefault(channel.channel_name, []).append(channel)
    sums: dict[str, Any] = {key: sum(getattr(part, key) for part in nodes) for key in TOPIC_SUMS}
    durable = any(part.durability for part in nodes)
    return TopicStats(
        node="*",
        topic_name=name,
        paused=any(part.paused for part in nodes),
        latency=merge_latency(part.latency for part in nodes),
        channels=[
            found[0] if len(found) == 1 else merge_channel(found, clients=clients)
            for _, found in sorted(by_channel.items())
        ],
        nodes=list(nodes),
        rate=sum(part.rate for part in nodes),
        durability=(_least(nodes).durability or "none") if durable else "",
        promise=_promises(nodes) if durable else "",
        **sums,
    )


def _least(parts: Iterable[TopicStats]) -> TopicStats:
    """The part that promises least."""
    return min(parts, key=_rank)


def _rank(part: TopicStats) -> int:
    return DURABILITIES.index(part.durability) if part.durability in DURABILITIES else 0


def _promises(parts: Iterable[TopicStats]) -> str:
    """What the parts promise, the least first: ``in memory or on disk``."""
    ordered = sorted(parts, key=_rank)
    return " or ".join(dict.fromkeys(part.promise or IN_MEMORY for part in ordered))


def merge_channel(parts: Sequence[ChannelStats], *, clients: bool = True) -> ChannelStats:
    """The channel over all ``parts`` (one at least), with every client, by host name.

    Args:
        clients: gather the clients; they are in the parts anyway.
    """
    nodes = sorted(parts, key=lambda part: part.hostname)
    gathered: list[ClientStats] = []
    if clients:
        for part in nodes:
            gathered += part.clients or ()
        gathered.sort(key=lambda client: client.hostname)
    sums: dict[str, Any] = {key: sum(getattr(part, key) for part in nodes) for key in CHANNEL_SUMS}
    return ChannelStats(
        node="*",
        topic_name=nodes[0].topic_name,
        channel_name=nodes[0].channel_name,
        client_count=sum(part.client_count for part in nodes),
        paused=any(part.paused for part in nodes),
        latency=merge_latency(part.latency for part in nodes),
        clients=gathered or None,
        dead_letter_topic=next((p.dead_letter_topic for p in nodes if p.dead_letter_topic), ""),
        nodes=list(nodes),
        rate=sum(part.rate for part in nodes),
        **sums,
    )


def group_topics(topics: Iterable[TopicStats]) -> dict[str, list[TopicStats]]:
    """The topics of all nsqd, by name."""
    groups: dict[str, list[TopicStats]] = {}
    for topic in topics:
        groups.setdefault(topic.topic_name, []).append(topic)
    return groups
