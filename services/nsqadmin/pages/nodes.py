"""The pages of nsqd, of nsqlookupd, and the counter."""

from collections.abc import Sequence
from typing import Any

import attrs

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import LookupdState, NodeState
from nsqadmin.pages.listing import Listing, listing
from nsqadmin.pages.topics import client_listing, quantiles
from nsqadmin.pages.view import NoSuchPage, Page, View
from nsqcore.cluster.stats import ClientStats, TopicStats

_CHARTS = ("rate", "depth", "in_flight", "clients")


@attrs.frozen(eq=False)
class NodeRow:
    """An nsqd in the list of nodes."""

    state: NodeState
    lookupds: int  # that know it


def nodes(view: View) -> Page:
    """Every nsqd."""
    rows = [NodeRow(state, len(state.producer.remote_addresses)) for state in view.snapshot.nodes]
    found = listing(
        rows,
        view.arguments,
        columns={
            "host": lambda row: (natural(row.state.producer.hostname), natural(row.state.address)),
            "version": lambda row: row.state.producer.version,
            "zone": lambda row: (
                row.state.producer.topology_region, row.state.producer.topology_zone,
            ),
            "topics": lambda row: len(row.state.producer.topics),
            "depth": lambda row: row.state.depth,
            "rate": lambda row: row.state.rate,
            "clients": lambda row: row.state.client_count,
            "lookupds": lambda row: row.lookupds,
        },
        text=_node_text,
        default="host",
    )  # fmt: skip
    values = {
        "nodes": found,
        "lookupds": view.snapshot.lookupds,
        "down": sum(1 for state in view.snapshot.nodes if state.error),
        "old": sum(1 for state in view.snapshot.nodes if state.producer.out_of_date),
    }
    return Page("nodes.html", f"Nodes ({len(rows)})", "nodes", values)


def _node_text(row: NodeRow) -> str:
    producer = row.state.producer
    topics = " ".join(topic.topic for topic in producer.topics)
    place = f"{producer.topology_region} {producer.topology_zone}"
    return f"{producer.hostname} {row.state.address} {producer.version} {place} {topics}"


def node(view: View, *, node: str) -> Page:
    """One nsqd: its topics, their channels, and their clients."""
    state = view.snapshot.node(node)
    if state is None:
        raise NoSuchPage(f"No nsqd with the address {node} is known.")
    found = listing(
        state.topics,
        view.arguments,
        columns={
            "name": lambda topic: natural(topic.topic_name),
            "depth": lambda topic: topic.depth,
            "messages": lambda topic: topic.message_count,
            "rate": lambda topic: topic.rate,
        },
        text=lambda topic: " ".join(
            [topic.topic_name, *(channel.channel_name for channel in topic.channels)]
        ),
        default="name",
    )
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


@attrs.frozen(eq=False)
class NodeClient:
    """A client of an nsqd, with what it consumes."""

    topic: str
    channel: str
    client: ClientStats


def _node_clients(
    view: View, clients: Sequence[tuple[TopicStats, str, ClientStats]]
) -> Listing[NodeClient]:
    where = {id(client): (topic.topic_name, channel) for topic, channel, client in clients}
    found: Listing[Any] = client_listing(view, [client for _, _, client in clients])
    rows = [NodeClient(*where[id(client)], client) for client in found.rows]
    return attrs.evolve(found, rows=rows)


def counter(view: View) -> Page:
    """How many messages all channels have been given."""
    topics = view.snapshot.topics.values()
    channels = [channel for topic in topics for channel in topic.channels]
    values = {
        "messages": sum(channel.message_count for channel in channels),
        "rate": sum(channel.rate for channel in channels),
        "cards": view.cards(("cluster",), ("rate", "depth", "in_flight")),
    }
    return Page("counter.html", "Counter", "counter", values)


@attrs.frozen(eq=False)
class InactiveTopic:
    """A topic that nsqlookupd remembers though nobody produces it."""

    name: str
    channels: tuple[str, ...]


def lookup(view: View) -> Page:
    """The nsqlookupds, and what they remember that nobody produces."""
    inactive = [InactiveTopic(name, found) for name, found in view.snapshot.inactive.items()]
    rows = listing(
        inactive,
        view.arguments,
        columns={"name": lambda row: natural(row.name), "channels": lambda row: len(row.channels)},
        text=lambda row: " ".join([row.name, *row.channels]),
        default="name",
    )
    lookupds: tuple[LookupdState, ...] = view.snapshot.lookupds
    values = {"lookupds": lookupds, "inactive": rows, "nodes": len(view.snapshot.nodes)}
    return Page("lookup.html", "Lookup", "lookup", values)
