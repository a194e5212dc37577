"""Questions to many nsqlookupd at once: topics, channels, producers.

Each asks all of them concurrently and unites the answers. Those that fail are named in the
`Answer`; if all fail, `AllFailed` is raised.
"""

from collections.abc import Sequence

from nsqcore.cluster.fields import objects, texts
from nsqcore.cluster.producer import Producer, merge_producers
from nsqcore.cluster.upstream import Answer, Upstream, ask_all

KIND = "nsqlookupd"


async def lookupd_topics(upstream: Upstream, lookupds: Sequence[str]) -> Answer[list[str]]:
    """Every topic that any nsqlookupd knows, sorted."""
    return await _names(upstream, lookupds, "/topics", "topics", {})


async def lookupd_channels(
    upstream: Upstream, lookupds: Sequence[str], topic: str
) -> Answer[list[str]]:
    """Every channel of ``topic`` that any nsqlookupd knows, sorted."""
    return await _names(upstream, lookupds, "/channels", "channels", {"topic": topic})


async def _names(
    upstream: Upstream, lookupds: Sequence[str], path: str, key: str, params: dict[str, str]
) -> Answer[list[str]]:
    async def ask(address: str) -> list[str]:
        raw = await upstream.get(address, path, params)
        return texts(raw, key) if isinstance(raw, dict) else []

    answer = await ask_all(KIND, lookupds, ask)
    names = {name for _, listed in answer.value for name in listed}
    return Answer(sorted(names), answer.failures)


async def lookupd_nodes(upstream: Upstream, lookupds: Sequence[str]) -> Answer[list[Producer]]:
    """Every nsqd that any nsqlookupd lists, by host name."""

    async def ask(address: str) -> list[Producer]:
        raw = await upstream.get(address, "/nodes")
        return _producers(raw)

    answer = await ask_all(KIND, lookupds, ask)
    return Answer(merge_producers(answer.value), answer.failures)


async def lookupd_topic_producers(
    upstream: Upstream, lookupds: Sequence[str], topic: str
) -> Answer[list[Producer]]:
    """The nsqd that produce ``topic``, each once."""

    async def ask(address: str) -> list[Producer]:
        return _producers(await upstream.get(address, "/lookup", {"topic": topic}))

    answer = await ask_all(KIND, lookupds, ask)
    found: dict[str, Producer] = {}
    for _, producers in answer.value:
        for producer in producers:
            found.setdefault(producer.http_address, producer)
    return Answer(list(found.values()), answer.failures)


def _producers(raw: object) -> list[Producer]:
    if not isinstance(raw, dict):
        return []
    return [Producer.from_json(item) for item in objects(raw, "producers")]
