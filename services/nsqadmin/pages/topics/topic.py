"""The page of a topic."""

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import topic_parts
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import NoSuchPage, Page, View
from nsqadmin.pages.tables.columns import CHANNEL_COLUMNS, CHARTS, quantiles
from nsqadmin.pages.tables.listing import Table
from nsqadmin.pages.topics.topics import TopicRow
from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqcore.names import is_valid_name

TOPIC_HOSTS: Table[TopicStats] = Table(
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
TOPIC_CHANNELS: Table[ChannelStats] = Table(
    columns=CHANNEL_COLUMNS | {"name": lambda channel: natural(channel.channel_name)},
    text=lambda channel: channel.channel_name,
    prefix="c.",
)


def topic(view: View, *, topic: str) -> Page:
    """One topic: its nsqd and its channels."""
    found = view.snapshot.topics.get(topic)
    if found is None and not is_valid_name(topic):
        raise NoSuchPage(_("%(topic)r cannot be the name of a topic.", topic=topic))
    stats = found or TopicStats(node="*", topic_name=topic, nodes=[])
    hosts = TOPIC_HOSTS.listing(topic_parts(stats), view.arguments)
    channels = TOPIC_CHANNELS.listing(stats.channels, view.arguments)
    values = {
        "topic": stats,
        "name": topic,
        "known": found is not None,
        "hosts": hosts,
        "channels": channels,
        "row": TopicRow.of(stats),
        "percentiles": quantiles([stats.latency]),
        "channel_percentiles": quantiles([channel.latency for channel in stats.channels]),
        "cards": view.cards(("topic", topic), CHARTS, stats.latency) if topic_parts(stats) else [],
    }
    return Page("topic.html", topic, "topics", values)
