"""``/api/nodes`` and ``/api/counter``: nsqds and what they have counted."""

from collections.abc import Sequence
from typing import Any

from quart import Blueprint, Response

from nsqadmin.actions.perform import warning
from nsqadmin.api.reaching import reach
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.web.requests import respond
from nsqcore.cluster.nsqd import nsqd_stats
from nsqcore.cluster.stats import TopicStats


def add_nodes(api: Blueprint, admin: Admin) -> None:
    """Route the reads below ``/nodes``, and ``/counter``."""

    @api.get("/nodes")
    async def nodes() -> Response:
        found = await reach(admin.cluster.nodes())
        shown = [producer.to_json() for producer in found.value] or None
        return respond({"nodes": shown, "message": warning(found.failures)})

    @api.get("/nodes/<node>")
    async def node(node: str) -> Response:
        found = await reach(admin.cluster.nodes())
        producer = next((item for item in found.value if item.http_address == node), None)
        if producer is None:
            raise Refused(404, "NODE_NOT_FOUND")
        stats = await reach(nsqd_stats(admin.upstream, [producer], clients=True))
        clients = sum(len(c.clients or ()) for topic in stats.value for c in topic.channels)
        return respond(
            {
                "node": node,
                "topics": [topic.to_json(admin.wall()) for topic in stats.value] or None,
                "total_messages": sum(topic.message_count for topic in stats.value),
                "total_clients": clients,
                "message": warning(found.failures),
            }
        )

    @api.get("/counter")
    async def counter() -> Response:
        found = await reach(admin.cluster.nodes())
        stats = await reach(nsqd_stats(admin.upstream, found.value))
        message = warning((*found.failures, *stats.failures))
        return respond({"stats": count_messages(stats.value), "message": message})


def count_messages(topics: Sequence[TopicStats]) -> dict[str, dict[str, Any]]:
    """The messages of each channel on each nsqd, by ``topic:channel:node``."""
    counted: dict[str, dict[str, Any]] = {}
    for topic in topics:
        for channel in topic.channels:
            key = f"{topic.topic_name}:{channel.channel_name}:{channel.node}"
            counted[key] = {
                "node": channel.node,
                "topic_name": topic.topic_name,
                "channel_name": channel.channel_name,
                "message_count": channel.message_count,
            }
    return counted
