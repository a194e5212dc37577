"""Questions to many nsqd at once: who they are, and their statistics.

Each asks all of them concurrently. Those that fail are named in the `Answer`; if all fail,
`AllFailed` is raised.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs

from nsqcore.addresses import AddressError, host_of, parse_host_port
from nsqcore.classes import frozen
from nsqcore.cluster.producer import Producer, ProducerTopic
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import Answer, Upstream, UpstreamError, ask_all
from nsqcore.readers import is_name, objects, text

KIND = "nsqd"


async def nsqd_info(upstream: Upstream, address: str) -> Producer:
    """What the nsqd at ``address`` says of itself; an address it does not tell is taken from
    ``address``.

    Raises:
        UpstreamError: it did not answer.
    """
    raw = await upstream.get(address, "/info")
    if not isinstance(raw, dict):
        raise UpstreamError(address, f"{address}: no answer of an nsqd")
    producer = Producer.from_json(raw)
    if not producer.broadcast_address or not producer.http_port:
        try:
            host, port = parse_host_port(address)
        except AddressError as error:
            raise UpstreamError(address, str(error)) from error
        producer = attrs.evolve(producer, broadcast_address=host, http_port=port)
    host = host_of(address)
    return producer if producer.hostname else attrs.evolve(producer, hostname=host)


async def nsqd_nodes(
    upstream: Upstream, addresses: Sequence[str], topic: str | None = None
) -> Answer[list[Producer]]:
    """The nsqd at ``addresses`` with the names of their topics.

    Args:
        topic: only those that have this topic.
    """

    async def ask(address: str) -> Producer | None:
        params = {"format": "json", "include_clients": "false"}
        if topic is not None:
            params["topic"] = topic
        names = await upstream.read(address, "/stats", params, partial(_topic_names, address))
        if topic is not None and topic not in names:
            return None
        producer = await nsqd_info(upstream, address)
        return attrs.evolve(producer, topics=tuple(ProducerTopic(name) for name in names))

    answer = await ask_all(KIND, addresses, ask)
    return Answer([found for _, found in answer.value if found is not None], answer.failures)


async def nsqd_topics(upstream: Upstream, addresses: Sequence[str]) -> Answer[list[str]]:
    """The names of the topics that any of these nsqd has, sorted."""

    async def ask(address: str) -> list[str]:
        params = {"format": "json", "include_clients": "false"}
        return await upstream.read(address, "/stats", params, partial(_topic_names, address))

    answer = await ask_all(KIND, addresses, ask)
    return Answer(sorted({name for _, names in answer.value for name in names}), answer.failures)


async def nsqd_stats(
    upstream: Upstream,
    producers: Sequence[Producer],
    *,
    topic: str = "",
    channel: str = "",
    clients: bool = False,
) -> Answer[list[TopicStats]]:
    """The topics of every one of ``producers``, by host name.

    Args:
        topic, channel: only these.
        clients: with the clients of each channel.
    """
    by_address = {producer.http_address: producer for producer in producers}

    async def ask(address: str) -> list[TopicStats]:
        producer = by_address[address]
        report = await one_nsqd_report(
            upstream, producer, topic=topic, channel=channel, clients=clients
        )
        return report.topics

    answer = await ask_all(KIND, list(by_address), ask)
    topics = [found for _, listed in answer.value for found in listed]
    return Answer(sorted(topics, key=lambda found: found.hostname), answer.failures)


@frozen
class NsqdReport:
    """The statistics of one nsqd; ``health`` is what it says of itself, ``OK`` if all is well."""

    topics: list[TopicStats]
    health: str = ""


async def one_nsqd_report(
    upstream: Upstream,
    producer: Producer,
    *,
    topic: str = "",
    channel: str = "",
    clients: bool = False,
) -> NsqdReport:
    """The topics of one nsqd, and its health.

    Raises:
        UpstreamError: it did not answer.
    """
    # Memory statistics stop some daemons for a moment, and nobody here looks at them.
    params = {"format": "json", "include_mem": "false"}
    if topic:
        params["topic"] = topic
    if topic and channel:
        params["channel"] = channel
    if not clients:
        params["include_clients"] = "false"
    address = producer.http_address

    def read(raw: object) -> NsqdReport:
        topics = [TopicStats.from_json(item, producer) for item in _topics(address, raw)]
        wanted = [found for found in topics if not topic or found.topic_name == topic]
        return NsqdReport(wanted, text(raw, "health") if isinstance(raw, dict) else "")

    return await upstream.read(address, "/stats", params, read)


def _topic_names(address: str, raw: object) -> list[str]:
    return [found["topic_name"] for found in _topics(address, raw)]


def _topics(address: str, raw: object) -> list[dict[str, Any]]:
    """The topics in an answer that have the name of one.

    nsqd before 1.0 wrapped its statistics in ``data``.

    Raises:
        UpstreamError: it is no answer of nsqd.
    """
    if isinstance(raw, dict):
        data = raw.get("data")
        found = data if isinstance(data, dict) else raw
        # Go writes null for a list that was never made.
        if "topics" in found and isinstance(found["topics"], list | None):
            return [item for item in objects(found, "topics") if is_name(item.get("topic_name"))]
    raise UpstreamError(address, f"{address}: no answer of an nsqd: no topics in it")
