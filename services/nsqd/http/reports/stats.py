"""/stats: what is in the queues and who is connected, as JSON or as text for people.

``topic=`` and ``channel=`` narrow the answer, ``include_clients=false`` and ``include_mem=false``
leave things out. Both forms are made piece by piece, in slices if there is much to tell.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from json.encoder import encode_basestring_ascii as quoted

from nsqcore import forms
from nsqcore.access.roles import READ_TOPIC, Role
from nsqcore.app.config.values import duration_text
from nsqcore.app.process.version import VERSION, version_line
from nsqcore.classes import frozen
from nsqcore.http.request import Request
from nsqcore.http.responses import JSON, TEXT, Response
from nsqcore.http.router import Answer, Router
from nsqcore.metrics.quantile import LatencySummary
from nsqd.client.client import Client
from nsqd.client.subscriber import ClientSubscriber
from nsqd.engine.channel import Channel
from nsqd.engine.stats import ChannelStats, TopicStats, select_channels, select_topics
from nsqd.http.reports.clients import ClientStats
from nsqd.http.reports.counts import channel_json, topic_json
from nsqd.http.reports.durable import promise_text
from nsqd.http.shared.arguments import boolean
from nsqd.http.shared.context import NsqdApi
from nsqd.http.shared.slices import answer_in_slices

# Clients told of between two chances to step aside: below a millisecond.
CLIENT_STEP = 100


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add /stats to ``router``."""
    router.add("GET", "/stats", partial(stats, api), rule=READ_TOPIC)


@frozen
class StatsQuestion:
    """What a request wants to know. Empty names stand for all."""

    topic: str
    channel: str
    clients: bool
    memory: bool
    limited: bool = False  # to the topic: whoever asks may not know of others


def stats(api: NsqdApi, request: Request) -> Answer:
    """GET /stats."""
    grant = request.grant
    question = StatsQuestion(
        topic=request.arg("topic") or "",
        channel=request.arg("channel") or "",
        clients=boolean(request.arg("include_clients"), default=True),
        memory=boolean(request.arg("include_mem"), default=True),
        limited=grant is not None and bool(grant.missing(Role.READ, None, "")),
    )
    as_json = request.arg("format") == "json"
    pieces = json_pieces(api, question) if as_json else text_pieces(api, question)
    content_type = JSON if as_json else TEXT
    return answer_in_slices(pieces, partial(_response, content_type), api.at_once)


def _response(content_type: str, body: str) -> Response:
    return Response(200, body.encode("utf-8", "replace"), content_type)


def producers(api: NsqdApi, question: StatsQuestion) -> list[Client]:
    """The connected clients that have published something, as far as may be told."""
    found = [session.client for session in api.sessions if session.client.pub_counts]
    if question.limited:
        return [client for client in found if question.topic in client.pub_counts]
    return found


# ------------------------------------------------------------------ JSON


def json_pieces(api: NsqdApi, question: StatsQuestion) -> Iterator[str]:
    """The JSON form, in pieces."""
    yield (
        f'{{"version":"{VERSION}","health":{quoted(api.broker.health.text)}'
        f',"start_time":{api.started // 1_000_000_000},"topics":'
    )
    yield from _topics_json(api, question)
    if question.memory:
        memory = api.gc_watch.take().to_json()
        yield f',"memory":{json.dumps(memory, separators=(",", ":"))}'
    asked = producers(api, question) if question.clients else []
    publishing = [ClientStats.of(client, question.topic) for client in asked]
    clients = yield from _clients_json(publishing)
    yield f',"producers":{clients if publishing else "null"}}}'


def _topics_json(api: NsqdApi, question: StatsQuestion) -> Iterator[str]:
    topics, wall = select_topics(api.broker, question.topic), api.wall
    if topics is None:
        yield "null"
        return
    yield "["
    separator = ""
    for topic in topics:
        channels = select_channels(topic, question.channel)
        if channels is None:
            continue
        rendered = []
        for channel in channels:
            counted, consumers = _counted(channel, question, wall)
            clients = "null" if consumers is None else (yield from _clients_json(consumers))
            rendered.append(channel_json(counted, clients))
            yield ""
        counts = TopicStats.of(topic, wall)
        promise = counts.log and promise_text(counts.durability, api.durability_interval)
        yield separator + topic_json(counts, f"[{','.join(rendered)}]", promise or "")
        separator = ","
    yield "]"


def _counted(
    channel: Channel, question: StatsQuestion, wall: int
) -> tuple[ChannelStats, list[ClientStats] | None]:
    """A channel and, if they are asked for, its consumers, at one moment: it is told in slices."""
    counted = ChannelStats.of(channel, wall)
    if not question.clients:
        return counted, None
    return counted, [ClientStats.of(client, question.topic) for client in _consumers(channel)]


def _consumers(channel: Channel) -> list[Client]:
    subscribers = [consumer.subscriber for consumer in channel.consumers]
    return [each.client for each in subscribers if isinstance(each, ClientSubscriber)]


def _clients_json(clients: Sequence[ClientStats]) -> Generator[str, None, str]:
    """A list of clients; the generator's value, so that it may be stopped on the way."""
    rendered = []
    for number, client in enumerate(clients, 1):
        rendered.append(client.to_json())
        if not number % CLIENT_STEP:
            yield ""
    return f"[{','.join(rendered)}]"


# ------------------------------------------------------------------ text


def text_pieces(api: NsqdApi, question: StatsQuestion) -> Iterator[str]:
    """The form for people, in pieces."""
    started = datetime.fromtimestamp(api.started // 1_000_000_000).astimezone()
    yield (
        f"{version_line('nsqd', speedups=forms.is_compiled())}\n"
        f"start_time {started.isoformat().replace('+00:00', 'Z')}\n"
        f"uptime {duration_text(api.uptime)}\n"
        f"\nHealth: {api.broker.health.text}\n"
    )
    if question.memory:
        memory = api.gc_watch.take().to_json()
        yield "\nMemory:\n" + "".join(f"   {name:<25}\t{memory[name]}\n" for name in memory)
    yield from _topics_text(api, question)
    asked = producers(api, question) if question.clients else []
    publishing = [ClientStats.of(client, question.topic) for client in asked]
    yield "\nProducers:\n" if publishing else "\nProducers: None\n"
    yield from _clients_text(publishing, api.wall, indent=3)


def _topics_text(api: NsqdApi, question: StatsQuestion) -> Iterator[str]:
    wall = api.wall
    heading = "\nTopics:"
    for topic in select_topics(api.broker, question.topic) or []:
        channels = select_channels(topic, question.channel)
        if channels is None:
            continue
        counts = TopicStats.of(topic, wall)
        yield f"{heading}\n{_topic_line(counts)}{_log_line(counts, api.durability_interval)}"
        heading = ""
        for channel in channels:
            counted, consumers = _counted(channel, question, wall)
            yield _channel_line(counted)
            yield from _clients_text(consumers or (), wall, indent=8)
    if heading:
        yield "\nTopics: None\n"


def _topic_line(topic: TopicStats) -> str:
    return (
        f"{'*P ' if topic.paused else '   '}[{topic.topic_name:<15}]"
        f" depth: {topic.depth:<5} be-depth: {topic.backend_depth:<5}"
        f" msgs: {topic.message_count:<8} e2e%: {_latency_text(topic.latency)}\n"
    )


def _log_line(topic: TopicStats, interval: float) -> str:
    log = topic.log
    if log is None:
        return ""
    return (
        f"   durability: {topic.durability} ({promise_text(topic.durability, interval)})"
        f" log: {log.first}-{log.next} bytes: {log.bytes} segments: {log.segments}"
        f" lost: {log.lost} damaged: {log.damaged}\n"
    )


def _channel_line(channel: ChannelStats) -> str:
    return (
        f"{'   *P ' if channel.paused else '      '}[{channel.channel_name:<25}]"
        f" depth: {channel.depth:<5} be-depth: {channel.backend_depth:<5}"
        f" inflt: {channel.in_flight_count:<4} def: {channel.deferred_count:<4}"
        f" re-q: {channel.requeue_count:<5} timeout: {channel.timeout_count:<5}"
        f" msgs: {channel.message_count:<8} e2e%: {_latency_text(channel.latency)}\n"
    )


def _clients_text(clients: Iterable[ClientStats], wall: int, *, indent: int) -> Iterator[str]:
    for client in clients:
        yield f"{'':{indent}}{client.to_text(wall)}\n"


def _latency_text(latency: LatencySummary) -> str:
    return ", ".join(human_duration(value) for _, value in latency.percentiles or ())


def human_duration(nanoseconds: float) -> str:
    """A duration in the largest unit of which there is more than one: ``1.5ms``."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds > size:
            return f"{nanoseconds / size:.1f}{unit}"
    return f"{nanoseconds:.1f}ns"
