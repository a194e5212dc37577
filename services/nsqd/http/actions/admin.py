"""/topic/… and /channel/…: create, delete, empty, pause, unpause.

Which of them check a name and which only look it up is as in the original: clients tell a 400 from
a 404.
"""

import logging
from functools import partial

from nsqcore.access.roles import OPERATE_TOPIC
from nsqcore.http.later import Later
from nsqcore.http.request import Request
from nsqcore.http.responses import EMPTY, HttpError, Response
from nsqcore.http.router import Answer, Router
from nsqd.engine.channel import Channel
from nsqd.engine.errors import Exiting
from nsqd.engine.topic import Topic
from nsqd.http.shared.arguments import existing_topic, new_topic_name, topic_and_channel
from nsqd.http.shared.context import NsqdApi

logger = logging.getLogger(__name__)


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add the actions on topics and channels to ``router``."""
    router.add("POST", "/topic/create", partial(create_topic, api), rule=OPERATE_TOPIC)
    router.add("POST", "/topic/delete", partial(delete_topic, api), rule=OPERATE_TOPIC)
    router.add("POST", "/topic/empty", partial(empty_topic, api), rule=OPERATE_TOPIC)
    router.add("POST", "/topic/pause", partial(pause_topic, api, paused=True), rule=OPERATE_TOPIC)
    router.add(
        "POST", "/topic/unpause", partial(pause_topic, api, paused=False), rule=OPERATE_TOPIC
    )
    router.add("POST", "/topic/sync", partial(sync_topic, api), rule=OPERATE_TOPIC)
    router.add("POST", "/channel/create", partial(create_channel, api), rule=OPERATE_TOPIC)
    router.add("POST", "/channel/delete", partial(delete_channel, api), rule=OPERATE_TOPIC)
    router.add("POST", "/channel/empty", partial(empty_channel, api), rule=OPERATE_TOPIC)
    router.add(
        "POST", "/channel/pause", partial(pause_channel, api, paused=True), rule=OPERATE_TOPIC
    )
    router.add(
        "POST", "/channel/unpause", partial(pause_channel, api, paused=False), rule=OPERATE_TOPIC
    )


def create_topic(api: NsqdApi, request: Request) -> Answer:
    """POST /topic/create."""
    name = new_topic_name(api.broker, request.args())
    try:
        topic = api.broker.create_topic(name)
    except Exiting as error:
        raise HttpError(503, "EXITING") from error
    return _created(api, topic)


def _created(api: NsqdApi, topic: Topic) -> Answer:
    """The answer, which comes once a new topic has the channels that it has elsewhere."""
    return _done(api) if topic.is_open else _once_open(api, topic)


def _done(api: NsqdApi) -> Later:
    """The answer, which comes once what was done to a durable topic outlives a crash."""
    later = Later()
    api.when_kept(partial(later.answer, EMPTY))
    return later


async def _once_open(api: NsqdApi, topic: Topic) -> Response:
    await api.has_channels(topic)
    return EMPTY


def delete_topic(api: NsqdApi, request: Request) -> Answer:
    """POST /topic/delete."""
    topic = existing_topic(api.broker, request)
    try:
        api.broker.delete_topic(topic)
    except OSError as error:
        raise _failed(f"TOPIC({topic.name}): failed to delete", error) from error
    return _done(api)


def empty_topic(api: NsqdApi, request: Request) -> Answer:
    """POST /topic/empty: drops what waits in the topic itself."""
    topic = existing_topic(api.broker, request, checked=True)
    try:
        topic.empty()
    except OSError as error:
        raise _failed(f"TOPIC({topic.name}): failed to empty", error) from error
    return _done(api)


async def pause_topic(api: NsqdApi, request: Request, *, paused: bool) -> Response:
    """POST /topic/pause, /topic/unpause. Answered when it would outlive a crash."""
    api.broker.pause_topic(existing_topic(api.broker, request), paused=paused)
    await api.persist()
    return EMPTY


def sync_topic(api: NsqdApi, request: Request) -> Answer:
    """POST /topic/sync: answered when all that was accepted so far is on disk.

    For durable topics whose OK does not say that: 400 NOT_DURABLE for others. 500 if a disk fails.
    """
    topic = existing_topic(api.broker, request, checked=True)
    if topic.log is None:
        raise HttpError(400, "NOT_DURABLE")
    later = Later()
    api.broker.flush(api.now())
    api.when_synced(partial(_synced, later, topic.name))
    return later


def _synced(later: Later, topic: str, error: OSError | None) -> None:
    if error is None:
        later.answer(EMPTY)
    else:
        later.answer(_failed(f"TOPIC({topic}): failed to sync", error).response())


def create_channel(api: NsqdApi, request: Request) -> Answer:
    """POST /channel/create; its topic has to exist."""
    topic, name = topic_and_channel(api.broker, request)
    try:
        api.broker.create_channel(topic.name, name)
    except Exiting as error:
        raise HttpError(503, "EXITING") from error
    return _created(api, topic)


def delete_channel(api: NsqdApi, request: Request) -> Answer:
    """POST /channel/delete."""
    topic, channel = _channel(api, request)
    try:
        api.broker.delete_channel(topic, channel)
    except OSError as error:
        raise _failed(f"CHANNEL({channel.name}): failed to delete", error) from error
    return _done(api)


def empty_channel(api: NsqdApi, request: Request) -> Answer:
    """POST /channel/empty: drops what is queued, deferred and in flight."""
    _, channel = _channel(api, request)
    try:
        channel.empty()
    except OSError as error:
        raise _failed(f"CHANNEL({channel.name}): failed to empty", error) from error
    return _done(api)


async def pause_channel(api: NsqdApi, request: Request, *, paused: bool) -> Response:
    """POST /channel/pause, /channel/unpause. Answered when it would outlive a crash."""
    topic, channel = _channel(api, request)
    api.broker.pause_channel(topic, channel, paused=paused)
    await api.persist()
    return EMPTY


def _channel(api: NsqdApi, request: Request) -> tuple[Topic, Channel]:
    topic, name = topic_and_channel(api.broker, request)
    channel = topic.channels.get(name)
    if channel is None:
        raise HttpError(404, "CHANNEL_NOT_FOUND")
    return topic, channel


def _failed(what: str, error: OSError) -> HttpError:
    logger.error("%s - %s", what, error)
    return HttpError(500, "INTERNAL_ERROR")
