"""Questions to many nsqd at once: who they are, and their statistics.

Each asks all of them concurrently. Those that fail are named in the `Answer`; if all fail,
`AllFailed` is raised.
"""

from collections.abc import Sequence

import attrs

from nsqcore.addresses import AddressError, host_of, parse_host_port
from nsqcore.cluster.fields import objects, text
from nsqcore.cluster.producer import Producer, ProducerTopic
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import Answer, Upstream, UpstreamError, ask_all

KIND = "nsqd"


async def nsqd_info(upstream: Upstream, address: str) -> Producer:
    """What the nsqd at ``address`` says of itself; an address it does not tell is taken from
    ``address``.

    Raises:
        UpstreamError: it did not answer.
    """
    raw = await upstream.get(address, "/info")
    producer = Producer.from_json(raw if isinstance(raw, dict) else {})
    if not producer.broadcast_address:
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
        raw = await upstream.get(address, "/stats", params)
        names = [text(item, "topic_name") for item in objects(_stats(raw), "topics")]
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
        raw = await upstream.get(address, "/stats", params)
        return [text(item, "topic_name") for item in objects(_stats(raw), "topics")]

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
        return await one_nsqd_stats(
            upstream, by_address[address], topic=topic, channel=channel, clients=clients
        )

    answer = await ask_all(KIND, list(by_address), ask)
    topics = [found for _, listed in answer.value for found in listed]
    return Answer(sorted(topics, key=lambda found: found.hostname), answer.failures)


async def one_nsqd_stats(
    upstream: Upstream,
    producer: Producer,
    *,
    topic: str = "",
    channel: str = "",
    clients: bool = False,
) -> list[TopicStats]:
    """The topics of one nsqd.

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
    raw = await upstream.get(producer.http_address, "/stats", params)
    topics = [TopicStats.from_json(item, producer) for item in objects(_stats(raw), "topics")]
    return [found for found in topics if not topic or found.topic_name == topic]


def _stats(raw: object) -> dict[str, object]:
    """The statistics in an answer; nsqd before 1.0 wrapped them in ``data``."""
    if not isinstance(raw, dict):
        return {}
    data = raw.get("data")
    return data if isinstance(data, dict) else raw
