"""The pages of topics and channels."""

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import channel_parts, channels_sum, topic_parts, total_depth
from nsqadmin.pages.listing import Column, Listing, listing
from nsqadmin.pages.view import NoSuchPage, Page, View
from nsqcore.cluster.latency import Latency
from nsqcore.cluster.stats import ChannelStats, ClientStats, TopicStats
from nsqcore.names import is_valid_name

CHARTS = ("rate", "depth", "in_flight", "clients", "latency")
# Where more than this many user agents connect to a channel, the rest are counted together.
_AGENTS_SHOWN = 6


@attrs.frozen(eq=False)
class TopicRow:
    """A topic in the list of topics."""

    name: str
    stats: TopicStats
    depth: int
    in_flight: int
    deferred: int
    clients: int
    hosts: int
    paused_channels: int

    @property
    def idle(self) -> bool:
        """Whether nobody consumes it: no client on any channel."""
        return self.hosts > 0 and self.clients == 0

    @classmethod
    def of(cls, topic: TopicStats) -> "TopicRow":
        """The row of a topic, summed over its nsqd."""
        return cls(
            name=topic.topic_name,
            stats=topic,
            depth=total_depth(topic),
            in_flight=channels_sum(topic, "in_flight_count"),
            deferred=channels_sum(topic, "deferred_count"),
            clients=channels_sum(topic, "client_count"),
            hosts=len(topic_parts(topic)),
            paused_channels=sum(channel.paused for channel in topic.channels),
        )


FILTERS: dict[str, tuple[str, Callable[[TopicRow], bool]]] = {
    "": ("All", lambda row: True),
    "backlog": ("With backlog", lambda row: row.depth > 0),
    "paused": ("Paused", lambda row: row.stats.paused or row.paused_channels > 0),
    "idle": ("No consumers", lambda row: row.idle),
    "inactive": ("No producers", lambda row: row.hosts == 0),
}


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


def topics(view: View) -> Page:
    """Every topic of the cluster."""
    rows = [TopicRow.of(topic) for topic in view.snapshot.topics.values()]
    shown = view.arguments.get("show", "")
    fits = FILTERS.get(shown, FILTERS[""])[1]
    found = listing(
        [row for row in rows if fits(row)],
        view.arguments,
        columns={
            "name": lambda row: natural(row.name),
            "depth": lambda row: row.depth,
            "in_flight": lambda row: row.in_flight,
            "deferred": lambda row: row.deferred,
            "rate": lambda row: row.stats.rate,
            "messages": lambda row: row.stats.message_count,
            "clients": lambda row: row.clients,
            "channels": lambda row: len(row.stats.channels),
            "hosts": lambda row: row.hosts,
        },
        text=lambda row: row.name,
        default="name",
    )
    filters = [
        (key, label, sum(1 for row in rows if fit(row)), key == shown)
        for key, (label, fit) in FILTERS.items()
    ]
    totals = {
        "depth": sum(row.depth for row in rows),
        "in_flight": sum(row.in_flight for row in rows),
        "rate": sum(row.stats.rate for row in rows),
        "clients": sum(row.clients for row in rows),
    }
    values = {"topics": found, "filters": filters, "totals": totals}
    return Page("topics.html", "Topics", "topics", values)


def topic(view: View, *, topic: str) -> Page:
    """One topic: its nsqd and its channels."""
    found = view.snapshot.topics.get(topic)
    if found is None and not is_valid_name(topic):
        raise NoSuchPage(f"{topic!r} cannot be the name of a topic.")
    stats = found or TopicStats(node="*", topic_name=topic, nodes=[])
    arguments = view.arguments
    hosts = listing(
        topic_parts(stats),
        arguments,
        columns={
            "host": lambda part: (natural(part.hostname), natural(part.node)),
            "depth": lambda part: part.depth,
            "messages": lambda part: part.message_count,
            "rate": lambda part: part.rate,
        },
        text=lambda part: f"{part.hostname} {part.node}",
        default="host",
        prefix="h.",
    )
    channels = listing(
        stats.channels,
        arguments,
        columns=CHANNEL_COLUMNS | {"name": lambda channel: natural(channel.channel_name)},
        text=lambda channel: channel.channel_name,
        default="name",
        prefix="c.",
    )
    values = {
        "topic": stats,
        "name": topic,
        "known": found is not None,
        "hosts": hosts,
        "channels": channels,
        "row": TopicRow.of(stats),
        "percentiles": quantiles([stats.latency]),
        "channel_percentiles": quantiles([channel.latency for channel in stats.channels]),
        "cards": view.cards(("topic", topic), CHARTS) if topic_parts(stats) else [],
    }
    return Page("topic.html", topic, "topics", values)


def channel(view: View, *, topic: str, channel: str) -> Page:
    """One channel: its nsqd and its consumers."""
    found = view.snapshot.channel(topic, channel)
    if found is None and not (is_valid_name(topic) and is_valid_name(channel)):
        raise NoSuchPage(f"{topic!r} and {channel!r} cannot be the names of a topic and a channel.")
    stats = found or ChannelStats(node="*", topic_name=topic, channel_name=channel, nodes=[])
    parts = channel_parts(stats)
    hosts = listing(
        parts,
        view.arguments,
        columns=CHANNEL_COLUMNS,
        text=lambda part: f"{part.hostname} {part.node}",
        default="host",
        prefix="h.",
    )
    clients = sorted(
        (client for part in parts for client in part.clients or ()),
        key=lambda client: client.locality,
    )
    values = {
        "channel": stats,
        "topic_name": topic,
        "name": channel,
        "known": found is not None,
        "hosts": hosts,
        "clients": client_listing(view, clients),
        "agents": user_agents(clients),
        "clients_missing": stats.client_count - len(clients),
        "percentiles": quantiles([stats.latency]),
        "delivery": stats.delivery_msg_count > 0,
        "cards": view.cards(("channel", topic, channel), CHARTS) if parts else [],
    }
    return Page("channel.html", f"{topic} / {channel}", "topics", values)


def client_listing(
    view: View, clients: Sequence[ClientStats], prefix: str = "k."
) -> Listing[ClientStats]:
    """The clients of a channel, searchable by anything that names them."""
    order = {id(client): index for index, client in enumerate(clients)}
    return listing(
        clients,
        view.arguments,
        columns={
            "near": lambda client: order[id(client)],
            "name": lambda client: natural(client.hostname),
            "agent": lambda client: client.user_agent,
            "host": lambda client: natural(client.node),
            "in_flight": lambda client: client.in_flight_count,
            "ready": lambda client: client.ready_count,
            "finished": lambda client: client.finish_count,
            "requeued": lambda client: client.requeue_count,
            "messages": lambda client: client.message_count,
            "connected": lambda client: -client.connect_ts,
        },
        text=lambda client: (
            f"{client.hostname} {client.client_id} {client.remote_address} {client.user_agent}"
            f" {client.node} {client.auth_identity} {client.topology_zone} {client.topology_region}"
        ),
        default="near",
        prefix=prefix,
    )


def user_agents(clients: Sequence[ClientStats]) -> list[tuple[str, int]]:
    """User agents and how many clients have them, most first."""
    counted = Counter(client.user_agent or "(none)" for client in clients).most_common()
    rest = sum(count for _, count in counted[_AGENTS_SHOWN:])
    return counted[:_AGENTS_SHOWN] + ([("others", rest)] if rest else [])


def quantiles(latencies: Sequence[Latency]) -> list[float]:
    """Every quantile that any of ``latencies`` has, highest first."""
    found = {item.quantile for latency in latencies for item in latency.percentiles}
    return sorted(found, reverse=True)
