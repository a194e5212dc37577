"""What of a snapshot goes into the history.

The names used here (`depth`, `rate`, ...) are those that charts ask for. Latency is that of the
highest percentile that nsqd computes, in milliseconds.
"""

from collections.abc import Callable, Mapping

from nsqadmin.collect.history import Entity, History
from nsqadmin.collect.snapshot import NodeState, Snapshot, channels_sum, total_depth
from nsqcore.cluster.latency import Latency


def record_history(history: History, snapshot: Snapshot) -> None:
    """Put the numbers of everything in ``snapshot`` into ``history``."""
    now = snapshot.taken / 1e9
    # The first look knows no rates, and a chart that begins at 0 tells of a rise that was none.
    rates = snapshot.version > 1

    def record(entity: Entity, values: Mapping[str, float]) -> None:
        if not rates:
            values = {name: value for name, value in values.items() if name != "rate"}
        history.record(now, entity, values)

    totals = dict.fromkeys(("depth", "in_flight", "rate", "clients"), 0.0)
    for name, topic in snapshot.topics.items():
        if not topic.nodes:
            continue
        values = {
            "depth": float(total_depth(topic)),
            "in_flight": float(channels_sum(topic, "in_flight_count")),
            "rate": topic.rate,
            "clients": float(channels_sum(topic, "client_count")),
        }
        for key, value in values.items():
            totals[key] += value
        record(("topic", name), values | _latency(topic.latency))
        for channel in topic.channels:
            numbers = {
                "depth": float(channel.depth),
                "in_flight": float(channel.in_flight_count),
                "rate": channel.rate,
                "clients": float(channel.client_count),
            }
            entity = ("channel", name, channel.channel_name)
            record(entity, numbers | _latency(channel.latency))
            if failures := channel.requeue_count + channel.timeout_count:
                history.record_brief(now, entity, "failures", float(failures))
    for node in snapshot.nodes:
        if not node.error:
            numbers = {
                "depth": float(node.depth),
                "in_flight": float(node.in_flight),
                "rate": node.rate,
                "clients": float(node.client_count),
            }
            record(("node", node.address), numbers)
            _record_rows(history, now, node, rates=rates)
    record(("cluster",), totals)
    if snapshot.version % 60 == 0:  # every minute at most
        history.prune(now, is_deleted=deletions(snapshot))


def deletions(snapshot: Snapshot) -> Callable[[Entity], bool]:
    """Whether a topic or channel is on no nsqd and known to no nsqlookupd.

    While a daemon does not answer nobody can tell, and nothing is.
    """
    if snapshot.failures:
        return lambda entity: False
    known: set[Entity] = set()
    for name, topic in snapshot.topics.items():
        known.add(("topic", name))
        known |= {("channel", name, channel.channel_name) for channel in topic.channels}
    for name, channels in snapshot.inactive.items():
        known |= {("channel", name, channel) for channel in channels}
    return lambda entity: entity[0] in ("topic", "channel") and entity not in known


def _record_rows(history: History, now: float, node: NodeState, *, rates: bool) -> None:
    for topic in node.topics:
        entity: Entity = ("topic", topic.topic_name, node.address)
        if rates:
            history.record_brief(now, entity, "rate", topic.rate)
        for channel in topic.channels:
            entity = ("channel", topic.topic_name, channel.channel_name, node.address)
            history.record_brief(now, entity, "depth", float(channel.depth))


def _latency(latency: Latency) -> dict[str, float]:
    if not latency.percentiles:
        return {}
    highest = max(latency.percentiles, key=lambda item: item.quantile)
    return {"latency": highest.average / 1e6}
