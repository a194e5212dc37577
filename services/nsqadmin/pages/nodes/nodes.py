"""The page of all nsqd."""

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import NodeState
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.pages.tables.listing import Table
from nsqcore.classes import frozen


@frozen(eq=False)
class NodeRow:
    """An nsqd in the list of nodes."""

    state: NodeState
    lookupds: int  # that know it


def _node_text(row: NodeRow) -> str:
    producer = row.state.producer
    topics = " ".join(topic.topic for topic in producer.topics)
    place = f"{producer.topology_region} {producer.topology_zone}"
    return f"{producer.hostname} {row.state.address} {producer.version} {place} {topics}"


NODES: Table[NodeRow] = Table(
    columns={
        "host": lambda row: (natural(row.state.producer.hostname), natural(row.state.address)),
        "version": lambda row: row.state.producer.version,
        "zone": lambda row: (
            row.state.producer.topology_region,
            row.state.producer.topology_zone,
        ),
        "topics": lambda row: len(row.state.producer.topics),
        "depth": lambda row: row.state.depth,
        "rate": lambda row: row.state.rate,
        "clients": lambda row: row.state.client_count,
        "lookupds": lambda row: row.lookupds,
    },
    text=_node_text,
    default="host",
)


def nodes(view: View) -> Page:
    """Every nsqd."""
    rows = [NodeRow(state, len(state.producer.remote_addresses)) for state in view.snapshot.nodes]
    values = {
        "nodes": NODES.listing(rows, view.arguments),
        "lookupds": view.snapshot.lookupds,
        "down": sum(1 for state in view.snapshot.nodes if state.error),
        "old": sum(1 for state in view.snapshot.nodes if state.producer.out_of_date),
    }
    return Page("nodes.html", _("Nodes (%(count)s)", count=len(rows)), "nodes", values)
