"""The page of all channels, over all topics: first those that need a person."""

from collections.abc import Callable

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import channel_parts
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.pages.tables.listing import Table
from nsqadmin.pages.topics.needs import ChannelRow, channel_rows
from nsqcore.cluster.stats import ChannelStats

FILTERS: dict[str, tuple[str, Callable[[ChannelRow], bool]]] = {
    "": (N_("All"), lambda row: True),
    "needs": (N_("Need a look"), lambda row: bool(row.needs)),
    "backlog": (N_("With backlog"), lambda row: row.stats.depth > 0),
    "paused": (N_("Paused"), lambda row: row.stats.paused),
    "idle": (N_("No consumers"), lambda row: not row.stats.client_count),
}


def _by_name(channel: ChannelStats) -> tuple[object, object]:
    return natural(channel.topic_name), natural(channel.channel_name)


CHANNELS: Table[ChannelRow] = Table(
    columns={
        "needs": lambda row: row.weight,
        "name": lambda row: _by_name(row.stats),
        "channel": lambda row: _by_name(row.stats)[::-1],
        "depth": lambda row: row.stats.depth,
        "in_flight": lambda row: row.stats.in_flight_count,
        "deferred": lambda row: row.stats.deferred_count,
        "requeued": lambda row: row.stats.requeue_count,
        "timed_out": lambda row: row.stats.timeout_count,
        "messages": lambda row: row.stats.message_count,
        "rate": lambda row: row.stats.rate,
        "clients": lambda row: row.stats.client_count,
        "hosts": lambda row: len(channel_parts(row.stats)),
    },
    text=lambda row: f"{row.stats.topic_name} {row.stats.channel_name}",
    default="-needs",
)


def channels(view: View) -> Page:
    """Every channel of the cluster."""
    rows = channel_rows(view.snapshot, view.admin.history)
    rows.sort(key=lambda row: _by_name(row.stats))
    shown = view.arguments.get("show", "")
    fits = FILTERS.get(shown, FILTERS[""])[1]
    filters = [
        (key, label, sum(1 for row in rows if fit(row)), key == shown)
        for key, (label, fit) in FILTERS.items()
    ]
    found = CHANNELS.listing([row for row in rows if fits(row)], view.arguments)
    return Page("channels.html", _("Channels"), "channels", {"channels": found, "filters": filters})
