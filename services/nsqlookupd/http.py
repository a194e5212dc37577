"""The HTTP API of nsqlookupd: questions about the registry, and a few changes to it.

What consumers ask again and again (/lookup) is put together from texts made once per producer. The
two answers that tell everything (/nodes, /debug) are made a piece at a time, so that others are
served meanwhile.
"""

import json as _json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import trio

from nsqcore.access.roles import ADMIN, OPEN, OPERATE_TOPIC, READ, READ_ALL, READ_TOPIC
from nsqcore.app.process.version import VERSION
from nsqcore.http.guard import Guard
from nsqcore.http.request import Request
from nsqcore.http.responses import EMPTY, JSON, HttpError, Response, json, text
from nsqcore.http.router import Router
from nsqcore.names import is_valid_name
from nsqcore.operations import probes
from nsqlookupd import operations
from nsqlookupd.context import Lookupd
from nsqlookupd.registry import Producer, Topic

logger = logging.getLogger(__name__)

Describe = Callable[[Producer], str]

_PONG = text("OK", versioned=False)
_INFO = json({"version": VERSION})

# /debug repeats a producer for each of its topics and channels; 200 000 lines are 50 MB.
_MAX_DEBUG_LINES = 200_000

# What Go prints for a time that was never set, as nanoseconds; the original shows it where there is
# no tombstone.
_NEVER = -6795364578871345152


def build_router(lookupd: Lookupd, guard: Guard | None = None) -> Router:
    """Every endpoint of ``lookupd``, behind ``guard``."""
    router = Router(guard=guard)
    _add_questions(router, lookupd, _described)
    router.add("GET", "/debug", partial(debug, lookupd), rule=ADMIN)
    router.add("POST", "/topic/create", partial(create_topic, lookupd), rule=OPERATE_TOPIC)
    router.add("POST", "/topic/delete", partial(delete_topic, lookupd), rule=OPERATE_TOPIC)
    router.add("POST", "/topic/tombstone", partial(tombstone, lookupd), rule=OPERATE_TOPIC)
    router.add("POST", "/channel/create", partial(create_channel, lookupd), rule=OPERATE_TOPIC)
    router.add("POST", "/channel/delete", partial(delete_channel, lookupd), rule=OPERATE_TOPIC)
    operations.add_routes(router, lookupd)
    return router


def build_outside_router(lookupd: Lookupd, guard: Guard | None = None) -> Router:
    """What is answered to those outside the network of the nsqds: questions alone.

    They are told of each nsqd's external address, where it has one.
    """
    router = Router(guard=guard)
    _add_questions(router, lookupd, _outside)
    probes.add_routes(router, lookupd.checks)
    return router


def _add_questions(router: Router, lookupd: Lookupd, describe: Describe) -> None:
    router.add("GET", "/ping", ping, rule=OPEN)
    router.add("GET", "/info", info, rule=READ)
    router.add("GET", "/topics", partial(topics, lookupd), rule=READ_ALL)
    router.add("GET", "/channels", partial(channels, lookupd), rule=READ_TOPIC)
    asked = partial(lookup, lookupd, describe=describe)
    router.add("GET", "/lookup", asked, rule=READ_TOPIC)
    router.add("GET", "/nodes", partial(nodes, lookupd, describe=describe), rule=READ_ALL)


def _needed(request: Request, name: str) -> str:
    value = request.arg(name)
    if value is None:
        raise HttpError(400, f"MISSING_ARG_{name.upper()}")
    return value


def _valid(request: Request, name: str) -> str:
    value = _needed(request, name)
    if not is_valid_name(value):
        raise HttpError(400, f"INVALID_ARG_{name.upper()}")
    return value


def _listed(names: Iterable[str]) -> str:
    # Names in the registry hold nothing that JSON would escape: they are checked when they come in.
    inside = '","'.join(names)
    return f'["{inside}"]' if inside else "[]"


def _raw(body: str) -> Response:
    return Response(200, body.encode("utf-8", "replace"), JSON)


def _described(producer: Producer) -> str:
    """The fields that consumers are told of, as JSON without its closing brace."""
    if not producer.described:
        producer.described = _opened(producer, producer.peer.to_fields())
    return producer.described


def _outside(producer: Producer) -> str:
    """As `_described`, for those outside."""
    if not producer.described_outside:
        producer.described_outside = _opened(producer, producer.peer.outside_fields())
    return producer.described_outside


def _opened(producer: Producer, fields: Mapping[str, object]) -> str:
    # in the order of the original, for those who look at the text
    told = {"remote_address": producer.id, "hostname": producer.peer.hostname, **fields}
    return _json.dumps(told, separators=(",", ":"))[:-1]


def ping(_request: Request) -> Response:
    """OK."""
    return _PONG


def info(_request: Request) -> Response:
    """The version."""
    return _INFO


def topics(lookupd: Lookupd, request: Request) -> Response:
    """The names of all topics."""
    return _raw(f'{{"topics":{_listed(lookupd.registry.topics)}}}')


def channels(lookupd: Lookupd, request: Request) -> Response:
    """The names of a topic's channels; none for an unknown topic, for ``*`` those of all topics."""
    found = lookupd.registry.find(_needed(request, "topic"))
    return _raw(f'{{"channels":{_listed(_channels(found))}}}')


def _channels(topics: Iterable[Topic]) -> Iterator[str]:
    return (channel for topic in topics for channel in topic.channels)


def lookup(lookupd: Lookupd, request: Request, describe: Describe) -> Response:
    """A topic's channels, and the producers that consumers are to connect to; ``*`` for all."""
    found = lookupd.registry.find(_needed(request, "topic"))
    if not found:
        raise HttpError(404, "TOPIC_NOT_FOUND")
    now, active = lookupd.now(), lookupd.registry.active_producers
    producers = dict.fromkeys(producer for topic in found for producer in active(topic, now=now))
    described = "},".join([describe(producer) for producer in producers])
    end = "}" if described else ""
    return _raw(f'{{"channels":{_listed(_channels(found))},"producers":[{described}{end}]}}')


async def nodes(lookupd: Lookupd, request: Request, describe: Describe) -> Response:
    """Every producer with its topics, tombstoned ones marked."""
    registry = lookupd.registry
    described = []
    for producer in list(registry.producers):
        now = lookupd.now()
        if not registry.is_active(producer, now=now):
            continue
        names = _listed(topic.name for topic in producer.topics)
        marks = ",".join(
            "true" if t.tombstones and registry.is_tombstoned(t, producer, now=now) else "false"
            for t in producer.topics
        )
        described.append(f'{describe(producer)},"tombstones":[{marks}],"topics":{names}}}')
        await trio.lowlevel.checkpoint()
    return _raw(f'{{"producers":[{",".join(described)}]}}')


async def debug(lookupd: Lookupd, request: Request) -> Response:
    """Every registration: ``client``, ``topic`` or ``channel``, with its producers."""
    registry = lookupd.registry
    sections: dict[str, list[str]] = {}
    lines = 0
    if registry.producers:
        sections["client::"] = [
            _debugged(lookupd, producer, None) for producer in registry.producers
        ]
    for topic in list(registry.topics.values()):
        groups = {f"topic:{topic.name}:": topic.producers}
        groups |= {f"channel:{topic.name}:{name}": found for name, found in topic.channels.items()}
        for key, producers in groups.items():
            lines += len(producers)
            if lines > _MAX_DEBUG_LINES:
                raise HttpError(503, "TOO_MANY_REGISTRATIONS")
            if producers:
                shown = topic if key.startswith("topic:") else None
                sections[key] = [_debugged(lookupd, producer, shown) for producer in producers]
        await trio.lowlevel.checkpoint()
    body = ",".join(f'"{key}":[{",".join(found)}]' for key, found in sections.items())
    return _raw(f"{{{body}}}")


def _debugged(lookupd: Lookupd, producer: Producer, topic: Topic | None) -> str:
    since = topic.tombstones.get(producer) if topic else None
    offset = lookupd.wall() - lookupd.now()
    fields = {
        "id": producer.id,
        **producer.peer.to_fields(),
        "last_update": producer.seen + offset,
        "tombstoned": since is not None,
        "tombstoned_at": _NEVER if since is None else since + offset,
    }
    return _json.dumps(fields, separators=(",", ":"))


def create_topic(lookupd: Lookupd, request: Request) -> Response:
    """Make a topic known, without producers."""
    topic = _valid(request, "topic")
    logger.info("DB: adding topic(%s)", topic)
    lookupd.registry.create(topic)
    return EMPTY


async def delete_topic(lookupd: Lookupd, request: Request) -> Response:
    """Forget a topic and its channels until somebody registers it again; ``*`` for all."""
    registry = lookupd.registry
    for number, topic in enumerate(registry.find(_needed(request, "topic"))):
        if number:
            await trio.lowlevel.checkpoint()
            if registry.topics.get(topic.name) is not topic:
                continue  # deleted meanwhile, and perhaps made anew
        for channel in topic.channels:
            logger.info("DB: removing channel(%s) from topic(%s)", channel, topic.name)
        logger.info("DB: removing topic(%s)", topic.name)
        registry.delete_topic(topic.name)
    return EMPTY


def tombstone(lookupd: Lookupd, request: Request) -> Response:
    """Hide a producer, by broadcast address and HTTP port, from a topic's consumers for a while.

    The topic ``*`` stands for all.
    """
    topic, node = _needed(request, "topic"), _needed(request, "node")
    logger.info("DB: setting tombstone for producer@%s of topic(%s)", node, topic)
    lookupd.registry.tombstone(topic, node, now=lookupd.now())
    return EMPTY


def create_channel(lookupd: Lookupd, request: Request) -> Response:
    """Make a channel known, and its topic."""
    topic, channel = _valid(request, "topic"), _valid(request, "channel")
    logger.info("DB: adding channel(%s) in topic(%s)", channel, topic)
    logger.info("DB: adding topic(%s)", topic)
    lookupd.registry.create(topic, channel)
    return EMPTY


def delete_channel(lookupd: Lookupd, request: Request) -> Response:
    """Forget a channel until somebody registers it again."""
    topic, channel = _valid(request, "topic"), _valid(request, "channel")
    if not lookupd.registry.delete_channel(topic, channel):
        raise HttpError(404, "CHANNEL_NOT_FOUND")
    logger.info("DB: removing channel(%s) from topic(%s)", channel, topic)
    return EMPTY
