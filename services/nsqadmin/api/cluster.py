"""The JSON API of nsqadmin, as scripts of the original know it.

Reads ask the cluster at once, not the collector: a script that has just changed something sees its
change. A daemon that failed is named in ``message``; when all failed the answer is 502.
"""

import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import attrs
from quart import Blueprint, Response, request

from nsqadmin.actions.perform import Action, allow, perform, upstream_error, warning
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

    async def allowed_fields(action: Action, right: str, *names: str) -> list[str]:
        """Fields of the body. Who may not act is told so first, whatever the body is."""
        fields, broken = [""] * len(names), None
        try:
            body = await json_object(request)
            fields = [text_field(body, name) for name in names]
        except Refused as error:
            broken = error
        known = dict(zip(names, fields, strict=True))
        told = attrs.evolve(
            action,
            verb=known.get("action") or action.verb,
            topic=known.get("topic") or action.topic,
            channel=known.get("channel") or action.channel,
        )
        allow(origin_of(request).principal, told, right=right)
        if broken is not None:
            raise broken
        return fields

    @api.post("/topics")
    async def create() -> Response:
        action = Action(verb="create", topic="")
        topic, channel = await allowed_fields(action, "create", "topic", "channel")
        return await run(attrs.evolve(action, topic=topic, channel=channel))

    @api.post("/topics/<topic>")
    @api.post("/topics/<topic>/<channel>")
    async def act(topic: str, channel: str = "") -> Response:
        action = Action(verb="act", topic=topic, channel=channel)
        (verb,) = await allowed_fields(action, "pause", "action")
        if verb not in ("pause", "unpause", "empty"):
            raise Refused(400, "INVALID_ACTION")
        return await run(attrs.evolve(action, verb=verb))

    @api.delete("/topics/<topic>")
    @api.delete("/topics/<topic>/<channel>")
    async def delete(topic: str, channel: str = "") -> Response:
        return await run(Action(verb="delete", topic=topic, channel=channel))

    @api.delete("/nodes/<node>")
    async def tombstone(node: str) -> Response:
        action = Action(verb="tombstone", topic="", node=node)
        try:
            (topic,) = await allowed_fields(action, "tombstone", "topic")
        except Refused as error:
            raise error if error.status == 403 else Refused(400, "INVALID_BODY") from error
        return await run(attrs.evolve(action, topic=topic))
