"""The page of all channels, over all topics."""

from collections.abc import Callable

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import channel_parts
from nsqadmin.pages.listing import Table
from nsqadmin.pages.view import Page, View
from nsqcore.cluster.stats import ChannelStats

FILTERS: dict[str, tuple[str, Callable[[ChannelStats], bool]]] = {
    "": ("All", lambda channel: True),
    "backlog": ("With backlog", lambda channel: channel.depth > 0),
    "paused": ("Paused", lambda channel: channel.paused),
    "idle": ("No consumers", lambda channel: not channel.client_count),
}

CHANNELS: Table[ChannelStats] = Table(
    columns={
        "name": lambda channel: (natural(channel.topic_name), natural(channel.channel_name)),
        "channel": lambda channel: (natural(channel.channel_name), natural(channel.topic_name)),
        "depth": lambda channel: channel.depth,
        "in_flight": lambda channel: channel.in_flight_count,
        "deferred": lambda channel: channel.deferred_count,
        "requeued": lambda channel: channel.requeue_count,
        "timed_out": lambda channel: channel.timeout_count,
        "messages": lambda channel: channel.message_count,
        "rate": lambda channel: channel.rate,
        "clients": lambda channel: channel.client_count,
        "hosts": lambda channel: len(channel_parts(channel)),
    },
    text=lambda channel: f"{channel.topic_name} {channel.channel_name}",
)


def channels(view: View) -> Page:
    """Every channel of the cluster."""
    rows = [channel for topic in view.snapshot.topics.values() for channel in topic.channels]
    shown = view.arguments.get("show", "")
    fits = FILTERS.get(shown, FILTERS[""])[1]
    filters = [
        (key, label, sum(1 for row in rows if fit(row)), key == shown)
        for key, (label, fit) in FILTERS.items()
    ]
    found = CHANNELS.listing([row for row in rows if fits(row)], view.arguments)
    return Page("channels.html", "Channels", "channels", {"channels": found, "filters": filters})
