"""Policies of many nsqd at once: read, defined and removed everywhere.

Every nsqd keeps its own; what is meant for a cluster is defined at each. Where they differ, one of
them missed a change: `differing` tells.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from nsqcore.classes import frozen
from nsqcore.cluster.upstream import Answer, Upstream, UpstreamError, ask_all
from nsqcore.readers import clean_text, objects

_FIELDS = ("pattern", "priority", "kind", "definition")


@frozen
class NodePolicies:
    """The policies of one nsqd, by name, in the form in which they are defined."""

    node: str
    policies: Mapping[str, Mapping[str, Any]]


async def all_policies(upstream: Upstream, nodes: Sequence[str]) -> Answer[list[NodePolicies]]:
    """The policies of each of ``nodes``, which are HTTP addresses."""

    async def ask(address: str) -> dict[str, dict[str, Any]]:
        return await upstream.read(address, "/policy/list", None, partial(_read, address))

    answer = await ask_all("nsqd", nodes, ask)
    return Answer([NodePolicies(node, found) for node, found in answer.value], answer.failures)


def _read(address: str, raw: object) -> dict[str, dict[str, Any]]:
    if not isinstance(raw, dict) or not isinstance(raw.get("policies"), list):
        raise UpstreamError(address, f"{address}: no answer of an nsqd: no policies in it")
    return {name: raw for name, raw in map(named, objects(raw, "policies")) if name}


def named(raw: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and definition of a policy as it is listed; an empty name where it is none."""
    name = raw.get("name")
    text = clean_text(name, longest=64) if isinstance(name, str) else ""
    return text, {key: raw[key] for key in _FIELDS if key in raw}


async def set_policy(
    upstream: Upstream, nodes: Sequence[str], name: str, raw: Mapping[str, Any]
) -> tuple[UpstreamError, ...]:
    """Define a policy at each of ``nodes``; who failed, or refused it."""
    body = json.dumps(raw).encode()

    async def ask(address: str) -> None:
        await upstream.put(address, "/policy/set", {"name": name}, body)

    return (await ask_all("nsqd", nodes, ask, need_one=False)).failures


async def delete_policy(
    upstream: Upstream, nodes: Sequence[str], name: str
) -> tuple[UpstreamError, ...]:
    """Remove a policy from each of ``nodes``; who failed."""

    async def ask(address: str) -> None:
        await upstream.post(address, "/policy/delete", {"name": name})

    return (await ask_all("nsqd", nodes, ask, need_one=False)).failures


def differing(found: Sequence[NodePolicies]) -> list[str]:
    """The names of the policies that not all of these nsqd have in the same form."""
    names = {name for node in found for name in node.policies}
    return sorted(
        name
        for name in names
        if any(node.policies.get(name) != found[0].policies.get(name) for node in found)
    )


@frozen
class EffectiveValue:
    """What a key comes to, as it was given, and the policy that says so."""

    value: Any
    policy: str
    kind: str


@frozen
class NodeValues:
    """What the policies of one nsqd come to for a topic or channel, by key."""

    node: str
    values: Mapping[str, EffectiveValue]


async def effective_values(
    upstream: Upstream, nodes: Sequence[str], topic: str, channel: str = ""
) -> Answer[list[NodeValues]]:
    """What the policies of each of ``nodes`` come to. Neither topic nor channel need exist."""
    about = {"topic": topic} | ({"channel": channel} if channel else {})

    async def ask(address: str) -> dict[str, EffectiveValue]:
        return await upstream.read(address, "/policy/effective", about, partial(_values, address))

    answer = await ask_all("nsqd", nodes, ask)
    return Answer([NodeValues(node, found) for node, found in answer.value], answer.failures)


def _values(address: str, raw: object) -> dict[str, EffectiveValue]:
    values = raw.get("values") if isinstance(raw, dict) else None
    if not isinstance(values, dict):
        raise UpstreamError(address, f"{address}: no answer of an nsqd: no values in it")
    return {
        clean_text(key, longest=64): EffectiveValue(
            each.get("value"),
            clean_text(str(each.get("policy", "")), longest=64),
            clean_text(str(each.get("kind", "")), longest=64),
        )
        for key, each in values.items()
        if isinstance(each, dict)
    }
