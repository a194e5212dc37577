"""The page of an nsqd."""

from collections.abc import Sequence
from typing import Any

import attrs

from nsqadmin.collect.order import natural
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import NoSuchPage, Page, View
from nsqadmin.pages.tables.clients import CLIENTS
from nsqadmin.pages.tables.columns import quantiles
from nsqadmin.pages.tables.listing import Listing, Table
from nsqcore.classes import frozen
from nsqcore.cluster.stats import ClientStats, TopicStats

_CHARTS = ("rate", "depth", "in_flight", "clients")

NODE_TOPICS: Table[TopicStats] = Table(
    columns={
        "name": lambda topic: natural(topic.topic_name),
        "depth": lambda topic: topic.depth,
        "messages": lambda topic: topic.message_count,
        "rate": lambda topic: topic.rate,
    },
    text=lambda topic: " ".join(
        [topic.topic_name, *(channel.channel_name for channel in topic.channels)]
    ),
)


def node(view: View, *, node: str) -> Page:
    """One nsqd: its topics, their channels, and their clients."""
    state = view.snapshot.node(node)
    if state is None:
        raise NoSuchPage(_("No nsqd with the address %(node)s is known.", node=node))
    found = NODE_TOPICS.listing(state.topics, view.arguments)
    clients = [
        (topic, channel.channel_name, client)
        for topic in state.topics
        for channel in topic.channels
        for client in channel.clients or ()
    ]
    values = {
        "node": state,
        "name": node,
        "topics": found,
        "clients": _node_clients(view, clients),
        "tombstoned": {topic.topic for topic in state.producer.topics if topic.tombstoned},
        "percentiles": quantiles([topic.latency for topic in state.topics]),
        "cards": [] if state.error else view.cards(("node", node), _CHARTS),
    }
    return Page("node.html", node, "nodes", values)


@frozen(eq=False)
class NodeClient:
    """A client of an nsqd, with what it consumes."""

    topic: str
    channel: str
    client: ClientStats


def _node_clients(
    view: View, clients: Sequence[tuple[TopicStats, str, ClientStats]]
) -> Listing[NodeClient]:
    where = {id(client): (topic.topic_name, channel) for topic, channel, client in clients}
    found: Listing[Any] = CLIENTS.listing([client for _, _, client in clients], view.arguments)
    rows = [NodeClient(*where[id(client)], client) for client in found.rows]
    return attrs.evolve(found, rows=rows)
