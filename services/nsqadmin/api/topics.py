"""``/api/topics``: topics and channels, read from the cluster."""

from collections.abc import Sequence

from quart import Blueprint, Response, request

from nsqadmin.actions.perform import warning
from nsqadmin.api.reaching import reach
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.web.requests import check_query, respond
from nsqcore.cluster.lookupd import lookupd_channels
from nsqcore.cluster.merge import merge_channel, merge_topic
from nsqcore.cluster.nsqd import nsqd_stats
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import AllFailed, Answer, ask_all


def add_topics(api: Blueprint, admin: Admin) -> None:
    """Route the reads below ``/topics``."""

    @api.get("/topics")
    async def topics() -> Response:
        check_query(request)
        found = await reach(admin.cluster.topics())
        shown: dict[str, list[str] | None] | list[str] | None = found.value or None
        if request.args.get("inactive") == "true":
            shown = await inactive_topics(admin, found.value)
        return respond({"topics": shown, "message": warning(found.failures)})

    @api.get("/topics/<topic>")
    async def topic(topic: str) -> Response:
        stats = await topic_stats(admin, topic)
        whole = merge_topic(topic, stats.value).to_json(admin.wall())
        return respond({**whole, "message": warning(stats.failures)})

    @api.get("/topics/<topic>/<channel>")
    async def channel(topic: str, channel: str) -> Response:
        stats = await topic_stats(admin, topic, channel)
        parts = [
            part for found in stats.value for part in found.channels if part.channel_name == channel
        ]
        if not parts:
            raise Refused(404, "CHANNEL_NOT_FOUND")
        merged = merge_channel(parts)
        if merged.clients:
            merged.clients.sort(key=lambda client: client.locality)
        return respond({**merged.to_json(admin.wall()), "message": warning(stats.failures)})


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


async def topic_stats(admin: Admin, topic: str, channel: str = "") -> Answer[list[TopicStats]]:
    found = await reach(admin.cluster.producers(topic))
    stats = await reach(
        nsqd_stats(admin.upstream, found.value, topic=topic, channel=channel, clients=bool(channel))
    )
    return Answer(stats.value, (*found.failures, *stats.failures))
