"""Questions to many nsqlookupd at once: topics, channels, producers.

Each asks all of them concurrently and unites the answers. Those that fail are named in the
`Answer`; if all fail, `AllFailed` is raised.
"""

from collections.abc import Sequence
from functools import partial

from nsqcore.cluster.producer import Producer, merge_producers
from nsqcore.cluster.upstream import Answer, Upstream, UpstreamError, ask_all
from nsqcore.readers import names, objects

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
        return await upstream.read(
            address, path, params, lambda raw: names(_listing(address, raw, key), key)
        )

    answer = await ask_all(KIND, lookupds, ask)
    found = {name for _, listed in answer.value for name in listed}
    return Answer(sorted(found), answer.failures)


async def lookupd_nodes(upstream: Upstream, lookupds: Sequence[str]) -> Answer[list[Producer]]:
    """Every nsqd that any nsqlookupd lists, by host name."""

    async def ask(address: str) -> list[Producer]:
        return await upstream.read(address, "/nodes", None, partial(_producers, address))

    answer = await ask_all(KIND, lookupds, ask)
    return Answer(merge_producers(answer.value), answer.failures)


async def lookupd_topic_producers(
    upstream: Upstream, lookupds: Sequence[str], topic: str
) -> Answer[list[Producer]]:
    """The nsqd that produce ``topic``, each once."""

    async def ask(address: str) -> list[Producer]:
        read = partial(_producers, address)
        return await upstream.read(address, "/lookup", {"topic": topic}, read)

    answer = await ask_all(KIND, lookupds, ask)
    found: dict[str, Producer] = {}
    for _, producers in answer.value:
        for producer in producers:
            found.setdefault(producer.http_address, producer)
    return Answer(list(found.values()), answer.failures)


def _producers(address: str, raw: object) -> list[Producer]:
    """The nsqds in an answer; one that nobody could reach is left out."""
    entries = objects(_listing(address, raw, "producers"), "producers")
    producers = [Producer.from_json(item) for item in entries]
    return [found for found in producers if found.broadcast_address and found.http_port]


def _listing(address: str, raw: object, key: str) -> dict[str, object]:
    """``raw`` if it has a list under ``key``; what old servers wrapped into ``data`` is taken out.

    Raises:
        UpstreamError: it is no answer of nsqlookupd.
    """
    if isinstance(raw, dict):
        data = raw.get("data")
        found = data if isinstance(data, dict) and key not in raw else raw
        # Go writes null for a list that was never made.
        if key in found and isinstance(found[key], list | None):
            return found
    raise UpstreamError(address, f"{address}: no answer of an nsqlookupd: no {key} in it")
