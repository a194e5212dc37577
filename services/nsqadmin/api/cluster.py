"""The JSON API of nsqadmin, as scripts of the original know it.

Reads ask the cluster at once, not the collector: a script that has just changed something sees its
change. A daemon that failed is named in ``message``; when all failed the answer is 502.
"""

import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from quart import Blueprint, Response, request

from nsqadmin.actions import perform as actions
from nsqadmin.actions.perform import Action, perform, upstream_error, warning
from nsqadmin.admin import Admin
from nsqadmin.errors import Refused
from nsqadmin.web.requests import check_query, json_object, origin_of, respond, text_field
from nsqcore.cluster.lookupd import lookupd_channels
from nsqcore.cluster.merge import merge_channel, merge_topic
from nsqcore.cluster.nsqd import nsqd_stats
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import AllFailed, Answer, ask_all

logger = logging.getLogger(__name__)

T = TypeVar("T")


def make_api(admin: Admin) -> Blueprint:
    """The routes below ``/api``."""
    api = Blueprint("api", __name__)
    _add_reads(api, admin)
    _add_actions(api, admin)
    return api


def _add_reads(api: Blueprint, admin: Admin) -> None:
    @api.get("/topics")
    async def topics() -> Response:
        check_query(request)
        found = await _reach(admin.cluster.topics())
        shown: dict[str, list[str] | None] | list[str] | None = found.value or None
        if request.args.get("inactive") == "true":
            shown = await inactive_topics(admin, found.value)
        return respond({"topics": shown, "message": warning(found.failures)})

    @api.get("/topics/<topic>")
    async def topic(topic: str) -> Response:
        stats = await _topic_stats(admin, topic)
        whole = merge_topic(topic, stats.value).to_json(admin.wall())
        return respond({**whole, "message": warning(stats.failures)})

    @api.get("/topics/<topic>/<channel>")
    async def channel(topic: str, channel: str) -> Response:
        stats = await _topic_stats(admin, topic, channel)
        parts = [
            part for found in stats.value for part in found.channels if part.channel_name == channel
        ]
        if not parts:
            raise Refused(404, "CHANNEL_NOT_FOUND")
        merged = merge_channel(parts)
        if merged.clients:
            merged.clients.sort(key=lambda client: client.locality)
        return respond({**merged.to_json(admin.wall()), "message": warning(stats.failures)})

    @api.get("/nodes")
    async def nodes() -> Response:
        found = await _reach(admin.cluster.nodes())
        shown = [producer.to_json() for producer in found.value] or None
        return respond({"nodes": shown, "message": warning(found.failures)})

    @api.get("/nodes/<node>")
    async def node(node: str) -> Response:
        found = await _reach(admin.cluster.nodes())
        producer = next((item for item in found.value if item.http_address == node), None)
        if producer is None:
            raise Refused(404, "NODE_NOT_FOUND")
        stats = await _reach(nsqd_stats(admin.upstream, [producer], clients=True))
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
        found = await _reach(admin.cluster.nodes())
        stats = await _reach(nsqd_stats(admin.upstream, found.value))
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


async def inactive_topics(admin: Admin, topics: Sequence[str]) -> dict[str, list[str] | None]:
    """Topics without a producer, with their channels; None stands for no channels."""
    cluster = admin.cluster
    if not cluster.lookupds:
        return {}

    async def ask(topic: str) -> list[str] | None:
        try:
            if (await cluster.producers(topic)).value:
                return None
            return (await lookupd_channels(admin.upstream, cluster.lookupds, topic)).value
        except AllFailed:
            return []

    answers = await ask_all("nsqlookupd", topics, ask, need_one=False)
    return {topic: found or None for topic, found in answers.value if found is not None}


async def _reach(question: Awaitable[Answer[T]]) -> Answer[T]:
    """The answer to a question to the cluster; 502 if nobody answers."""
    try:
        answer = await question
    except AllFailed as error:
        logger.error("api: %s", error)
        raise upstream_error(error) from error
    for failure in answer.failures:
        logger.warning("api: %s", failure)
    return answer


async def _topic_stats(admin: Admin, topic: str, channel: str = "") -> Answer[list[TopicStats]]:
    found = await _reach(admin.cluster.producers(topic))
    stats = await _reach(
        nsqd_stats(admin.upstream, found.value, topic=topic, channel=channel, clients=bool(channel))
    )
    return Answer(stats.value, (*found.failures, *stats.failures))


def _add_actions(api: Blueprint, admin: Admin) -> None:
    async def run(action: Action) -> Response:
        message = await perform(admin, action, origin_of(request))
        return respond({"message": message})

    @api.post("/topics")
    async def create() -> Response:
        actions.allow(origin_of(request).principal, "create")
        body = await json_object(request)
        topic, channel = text_field(body, "topic"), text_field(body, "channel")
        return await run(Action(verb="create", topic=topic, channel=channel))

    @api.post("/topics/<topic>")
    @api.post("/topics/<topic>/<channel>")
    async def act(topic: str, channel: str = "") -> Response:
        actions.allow(origin_of(request).principal, "pause")
        verb = text_field(await json_object(request), "action")
        if verb not in ("pause", "unpause", "empty"):
            raise Refused(400, "INVALID_ACTION")
        return await run(Action(verb=verb, topic=topic, channel=channel))

    @api.delete("/topics/<topic>")
    @api.delete("/topics/<topic>/<channel>")
    async def delete(topic: str, channel: str = "") -> Response:
        return await run(Action(verb="delete", topic=topic, channel=channel))

    @api.delete("/nodes/<node>")
    async def tombstone(node: str) -> Response:
        actions.allow(origin_of(request).principal, "tombstone")
        try:
            topic = text_field(await json_object(request), "topic")
        except Refused as error:
            raise Refused(400, "INVALID_BODY") from error
        return await run(Action(verb="tombstone", topic=topic, node=node))
