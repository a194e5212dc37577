"""What the tables of topics and channels have in common."""

from collections.abc import Sequence

from nsqadmin.collect.order import natural
from nsqadmin.pages.tables.listing import Column
from nsqcore.cluster.latency import Latency

CHARTS = ("rate", "depth", "in_flight", "clients", "latency")

CHANNEL_COLUMNS: dict[str, Column] = {
    "host": lambda part: (natural(part.hostname), natural(part.node)),
    "depth": lambda part: part.depth,
    "in_flight": lambda part: part.in_flight_count,
    "deferred": lambda part: part.deferred_count,
    "requeued": lambda part: part.requeue_count,
    "timed_out": lambda part: part.timeout_count,
    "messages": lambda part: part.message_count,
    "rate": lambda part: part.rate,
    "clients": lambda part: part.client_count,
}


def quantiles(latencies: Sequence[Latency]) -> list[float]:
    """Every quantile that any of ``latencies`` has, highest first."""
    found = {item.quantile for latency in latencies for item in latency.percentiles}
    return sorted(found, reverse=True)
