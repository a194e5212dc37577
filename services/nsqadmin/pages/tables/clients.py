"""Tables of client connections."""

from collections import Counter
from collections.abc import Sequence

from nsqadmin.collect.order import natural
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.tables.listing import Table
from nsqcore.cluster.stats import ClientStats

# Where more than this many user agents connect to a channel, the rest are counted together.
_AGENTS_SHOWN = 6

CLIENTS: Table[ClientStats] = Table(
    columns={
        "near": lambda client: client.locality,
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
    prefix="k.",
)


def user_agents(clients: Sequence[ClientStats]) -> list[tuple[str, int]]:
    """User agents and how many clients have them, most first."""
    counted = Counter(client.user_agent or _("(none)") for client in clients).most_common()
    rest = sum(count for _, count in counted[_AGENTS_SHOWN:])
    return counted[:_AGENTS_SHOWN] + ([(_("others"), rest)] if rest else [])
