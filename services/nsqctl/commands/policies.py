"""``nsqctl policy list|set|delete|export|import|diff``: the policies of every nsqd."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.each.policies import (
    NodePolicies,
    all_policies,
    delete_policy,
    differing,
    named,
    set_policy,
)
from nsqcore.cluster.upstream import UpstreamError
from nsqcore.json import JsonError, decode
from nsqctl.commands.actions import confirmed
from nsqctl.shared.output import print_failures, print_json, printable, table, wide_console

Definitions = dict[str, dict[str, Any]]


class BadFile(OSError):
    """A file of policies cannot be read, or is none."""


async def run_policy_command(cluster: Cluster, given: argparse.Namespace) -> int:
    """Do what ``given.action`` says; the exit status. Raises AllFailed, BadFile."""
    actions: dict[str, Callable[[Cluster, argparse.Namespace], Awaitable[int]]] = {
        "list": _list,
        "set": _set,
        "delete": _delete,
        "export": _export,
        "import": _import,
        "diff": _diff,
    }
    return await actions[given.action](cluster, given)


async def _nodes(cluster: Cluster) -> tuple[list[str], tuple[UpstreamError, ...]]:
    answer = await cluster.nodes()
    return [producer.http_address for producer in answer.value], answer.failures


async def _found(cluster: Cluster) -> tuple[list[NodePolicies], tuple[UpstreamError, ...]]:
    nodes, failures = await _nodes(cluster)
    answer = await all_policies(cluster.upstream, nodes)
    return answer.value, failures + answer.failures


async def _list(cluster: Cluster, given: argparse.Namespace) -> int:
    found, failures = await _found(cluster)
    if given.json:
        print_json({node.node: _listed(node.policies) for node in found})
    else:
        wide_console().print(table("", ("policy", "pattern", "kind", "sets", "priority", "nsqds"),
                            _rows(found), texts=4))  # fmt: skip
        _tell_differences(found)
    return print_failures(failures)


def _rows(found: Sequence[NodePolicies]) -> list[tuple[object, ...]]:
    """A row for each form that a policy has anywhere."""
    forms: dict[str, list[Mapping[str, Any]]] = {}
    for node in found:
        for name, raw in node.policies.items():
            seen = forms.setdefault(name, [])
            if raw not in seen:
                seen.append(raw)
    rows: list[tuple[object, ...]] = []
    for name in sorted(forms):
        for raw in forms[name]:
            having = sum(node.policies.get(name) == raw for node in found)
            definition = raw.get("definition")
            sets = definition.items() if isinstance(definition, dict) else ()
            told = ", ".join(f"{key}={value}" for key, value in sets)
            rows.append(
                (
                    name,
                    str(raw.get("pattern", "")),
                    str(raw.get("kind", "")),
                    told,
                    str(raw.get("priority", 0)),
                    f"{having}/{len(found)}",
                )
            )
    return rows


def _tell_differences(found: Sequence[NodePolicies]) -> None:
    for name in differing(found):
        lacking = [node.node for node in found if name not in node.policies]
        where = f"; {', '.join(lacking)} lack it" if lacking else ""
        print(printable(f"nsqctl: nsqds differ in the policy {name}{where}"), file=sys.stderr)


async def _set(cluster: Cluster, given: argparse.Namespace) -> int:
    definition: dict[str, Any] = {}
    for text in given.values:
        key, equals, value = text.partition("=")
        if not equals:
            print(f"nsqctl: {printable(text)!r} is not KEY=VALUE", file=sys.stderr)
            return 2
        definition[key] = _value(value)
    raw = {
        "pattern": given.pattern,
        "priority": given.priority,
        "kind": "limit" if given.limit else "policy",
        "definition": definition,
    }
    nodes, failures = await _nodes(cluster)
    failures += await set_policy(cluster.upstream, nodes, given.name, raw)
    return _done(f"set policy {given.name}", failures)


def _value(text: str) -> Any:
    try:
        return decode(text)
    except JsonError:
        return text


async def _delete(cluster: Cluster, given: argparse.Namespace) -> int:
    if not given.yes and not await confirmed(f"delete the policy {given.name}"):
        print("nsqctl: nothing was done", file=sys.stderr)
        return 1
    nodes, failures = await _nodes(cluster)
    failures += await delete_policy(cluster.upstream, nodes, given.name)
    return _done(f"delete policy {given.name}", failures)


async def _export(cluster: Cluster, given: argparse.Namespace) -> int:
    found, failures = await _found(cluster)
    if differing(found):
        _tell_differences(found)
        return 1
    print_json({"policies": _listed(found[0].policies) if found else []})
    return print_failures(failures)


async def _import(cluster: Cluster, given: argparse.Namespace) -> int:
    wanted = _read(given.file)
    nodes, failures = await _nodes(cluster)
    for name, raw in wanted.items():
        failures += await set_policy(cluster.upstream, nodes, name, raw)
    return _done(f"import {len(wanted)} policies", failures)


async def _diff(cluster: Cluster, given: argparse.Namespace) -> int:
    wanted = _read(given.file)
    found, failures = await _found(cluster)
    lines = [
        f"{node.node}: {name}: {_difference(node.policies.get(name), wanted.get(name))}"
        for node in found
        for name in sorted({*node.policies, *wanted})
        if node.policies.get(name) != wanted.get(name)
    ]
    print("\n".join(map(printable, lines)) or "no differences")
    return 1 if print_failures(failures) or lines else 0


def _difference(there: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> str:
    if there is None:
        return "only in the file"
    if wanted is None:
        return "only there"
    keys = sorted(key for key in {*there, *wanted} if there.get(key) != wanted.get(key))
    return "; ".join(
        f"{key} is {there.get(key)!r:.200}, in the file {wanted.get(key)!r:.200}" for key in keys
    )


def _done(what: str, failures: tuple[UpstreamError, ...]) -> int:
    status = print_failures(failures)
    print(f"{what}: {'done, but for the failures above' if status else 'done'}")
    return status


def _listed(policies: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, **policies[name]} for name in sorted(policies)]


def _read(path: Path) -> Definitions:
    """The policies of a file, with what it may leave out. Raises BadFile."""
    try:
        content = decode(path.read_bytes())
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    except JsonError as error:
        raise BadFile(f"{path}: not JSON: {error}") from None
    listed = content.get("policies") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise BadFile(f'{path}: expected {{"policies": [...]}}')
    found: Definitions = {}
    for item in listed:
        name, raw = named(item) if isinstance(item, dict) else ("", {})
        if not name:
            raise BadFile(f"{path}: expected objects with a name")
        found[name] = {"priority": 0, "kind": "policy", **raw}
    return found
