"""The page of all topics."""

from collections.abc import Callable

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import channels_sum, topic_parts, total_depth
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.pages.tables.listing import Table
from nsqcore.classes import frozen
from nsqcore.cluster.stats import TopicStats


@frozen(eq=False)
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
    unconsumed_channels: int  # without a client

    @property
    def idle(self) -> bool:
        """Whether messages of it go nowhere: it, or one of its channels, has no client."""
        return self.hosts > 0 and (self.clients == 0 or self.unconsumed_channels > 0)

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
            unconsumed_channels=sum(not channel.client_count for channel in topic.channels),
        )


FILTERS: dict[str, tuple[str, Callable[[TopicRow], bool]]] = {
    "": (N_("All"), lambda row: True),
    "backlog": (N_("With backlog"), lambda row: row.depth > 0),
    "paused": (N_("Paused"), lambda row: row.stats.paused or row.paused_channels > 0),
    "idle": (N_("No consumers"), lambda row: row.idle),
    "inactive": (N_("No producers"), lambda row: row.hosts == 0),
}

TOPICS: Table[TopicRow] = Table(
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
)


def topics(view: View) -> Page:
    """Every topic of the cluster."""
    rows = [TopicRow.of(topic) for topic in view.snapshot.topics.values()]
    shown = view.arguments.get("show", "")
    fits = FILTERS.get(shown, FILTERS[""])[1]
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
    found = TOPICS.listing([row for row in rows if fits(row)], view.arguments)
    values = {"topics": found, "filters": filters, "totals": totals}
    return Page("topics.html", _("Topics"), "topics", values)
