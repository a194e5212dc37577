"""The page of a channel."""

from nsqadmin.collect.snapshot import channel_parts
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import NoSuchPage, Page, View
from nsqadmin.pages.tables.clients import CLIENTS, user_agents
from nsqadmin.pages.tables.columns import CHANNEL_COLUMNS, CHARTS, quantiles
from nsqadmin.pages.tables.listing import Table
from nsqadmin.pages.topics.needs import letters_of
from nsqcore.cluster.stats import ChannelStats
from nsqcore.names import is_valid_name

CHANNEL_HOSTS: Table[ChannelStats] = Table(
    columns=CHANNEL_COLUMNS,
    text=lambda part: f"{part.hostname} {part.node}",
    default="host",
    prefix="h.",
)


def channel(view: View, *, topic: str, channel: str) -> Page:
    """One channel: its nsqd and its consumers."""
    found = view.snapshot.channel(topic, channel)
    if found is None and not (is_valid_name(topic) and is_valid_name(channel)):
        text = N_("%(topic)r and %(channel)r cannot be the names of a topic and a channel.")
        raise NoSuchPage(_(text, topic=topic, channel=channel))
    stats = found or ChannelStats(node="*", topic_name=topic, channel_name=channel, nodes=[])
    parts = channel_parts(stats)
    hosts = CHANNEL_HOSTS.listing(parts, view.arguments)
    clients = [client for part in parts for client in part.clients or ()]
    values = {
        "channel": stats,
        "topic_name": topic,
        "name": channel,
        "known": found is not None,
        "letters": letters_of(view.snapshot, stats),
        "hosts": hosts,
        "clients": CLIENTS.listing(clients, view.arguments),
        "agents": user_agents(clients),
        "clients_missing": stats.client_count - len(clients),
        "percentiles": quantiles([stats.latency]),
        "delivery": stats.delivery_msg_count > 0,
        "cards": view.cards(("channel", topic, channel), CHARTS, stats.latency) if parts else [],
    }
    return Page("channel.html", f"{topic} / {channel}", "topics", values)
