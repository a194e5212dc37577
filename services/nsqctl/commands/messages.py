"""``nsqctl messages`` and ``nsqctl message …``: what is in the queues of a cluster, and rescue."""

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.each.messages import (
    MessagePage,
    act_on_messages,
    describe_message,
    get_message,
    holders,
    list_everywhere,
    list_messages,
)
from nsqcore.cluster.upstream import UpstreamError
from nsqctl.commands.actions import confirmed
from nsqctl.shared.output import print_failures, printable, table, wide_console

# Ids in one request, as nsqd takes them.
AT_ONCE = 1000
# What cannot be undone asks first.
DESTRUCTIVE = ("finish", "dead")
# Characters of a body in a list.
SHOWN = 60


async def messages(cluster: Cluster, given: argparse.Namespace) -> int:
    """List messages of a topic or a channel; the exit status. Raises AllFailed."""
    nodes, failures = await _nodes(cluster, given.topic)
    if not nodes and not failures:
        return _nobody_has(given)
    params = _question(given)
    answer = await list_everywhere(cluster.upstream, nodes, params)
    failures += answer.failures
    if not answer.value and not failures:
        return _nobody_has(given)
    found: list[tuple[str, dict[str, Any]]] = []
    for first in answer.value:
        try:
            found += await _pages(cluster, first, params, given.limit - len(found))
        except UpstreamError as error:
            failures += (error,)
    if given.json:
        for node, message in found:
            print(json.dumps({"node": node, **message}))
    else:
        columns = ("id", "nsqd", "state", "published", "body", "attempts", "size")
        rows = [_row(node, message) for node, message in found]
        wide_console().print(table("", columns, rows, texts=5))
        total = sum(page.total for page in answer.value)
        print(f"{len(found):,} of {total:,} {given.state.replace('_', ' ')}")
    return print_failures(failures)


def _question(given: argparse.Namespace) -> dict[str, str]:
    params = _of(given) | {"state": given.state, "limit": str(min(given.limit, AT_ONCE))}
    if given.json:
        params |= {"body": given.body, "max_body": str(given.max_body)}
    else:
        params |= {"body": "text", "max_body": str(4 * SHOWN)}
    filters = ("contains", "id", "min_age", "max_age")
    return params | {name: value for name in filters if (value := getattr(given, name))}


def _of(given: argparse.Namespace) -> dict[str, str]:
    channel = {"channel": given.channel} if given.channel else {}
    return {"topic": given.topic, **channel}


async def _nodes(cluster: Cluster, topic: str) -> tuple[list[str], tuple[UpstreamError, ...]]:
    answer = await holders(cluster, topic)
    return [producer.http_address for producer in answer.value], answer.failures


def _nobody_has(given: argparse.Namespace) -> int:
    what = f"channel {given.topic}/{given.channel}" if given.channel else f"topic {given.topic}"
    print(f"nsqctl: no nsqd has the {printable(what)}", file=sys.stderr)
    return 1


async def _pages(
    cluster: Cluster, page: MessagePage, params: Mapping[str, str], limit: int
) -> list[tuple[str, dict[str, Any]]]:
    """Up to ``limit`` messages from ``page`` on. Raises UpstreamError."""
    found = page.messages
    while len(found) < limit and page.next:
        page = await list_messages(cluster.upstream, page.node, {**params, "next": page.next})
        found = found + page.messages
    return [(page.node, message) for message in found[:limit]]


def _row(node: str, message: Mapping[str, Any]) -> tuple[object, ...]:
    published = datetime.fromtimestamp(message.get("timestamp", 0) / 1e9).astimezone()
    body = str(message.get("body", ""))
    if message.get("encoding") == "base64":
        body = f"base64:{body}"
    return (
        message.get("id", ""),
        node,
        message.get("state", ""),
        published.isoformat(" ", "seconds"),
        body[:SHOWN],
        message.get("attempts", 0),
        message.get("size", 0),
    )


async def message(cluster: Cluster, given: argparse.Namespace) -> int:
    """Fetch, finish, requeue, dead-letter or copy messages; the exit status. Raises AllFailed."""
    nodes, failures = await _nodes(cluster, given.topic)
    if not nodes and not failures:
        return _nobody_has(given)
    if given.action == "get":
        return await _get(cluster, nodes, given, failures)
    many = f"{len(given.ids):,} message{'s' if len(given.ids) > 1 else ''}"
    if given.action in DESTRUCTIVE and not given.yes:
        where = f"{given.topic}/{given.channel}" if given.channel else given.topic
        if not await confirmed(f"{given.action} {many} of {where}"):
            print("nsqctl: nothing was done", file=sys.stderr)
            return 1
    params = _of(given) | ({"reason": given.reason} if given.reason else {})
    if given.action == "copy":
        params["to"] = given.to
    done = 0
    missing: list[str] = []
    failed: dict[str, str] = {}
    for start in range(0, len(given.ids), AT_ONCE):
        some = given.ids[start : start + AT_ONCE]
        acted = await act_on_messages(cluster.upstream, nodes, given.action, some, params)
        failures += acted.failures
        done += acted.value.done
        missing += acted.value.missing
        failed |= acted.value.failed
    if given.json:
        print(json.dumps({"done": done, "missing": missing, "failed": failed}))
    else:
        for id in missing:
            print(f"nsqctl: {printable(id)} is not there", file=sys.stderr)
        for id, why in failed.items():
            print(f"nsqctl: {printable(id)}: {printable(why)}", file=sys.stderr)
        print(f"{given.action}: {done:,} of {many}")
    return print_failures(failures) or int(bool(missing or failed))


async def _get(
    cluster: Cluster,
    nodes: list[str],
    given: argparse.Namespace,
    failures: tuple[UpstreamError, ...],
) -> int:
    """Write one message: its body, or all as JSON. The exit status. Raises AllFailed."""
    params = {**_of(given), "id": given.ids[0]}
    if given.json:
        described = await describe_message(cluster.upstream, nodes, {**params, "body": "text"})
        if described.value is not None:
            print(json.dumps(described.value))
            return 0
        failures += described.failures
    else:
        answer = await get_message(cluster.upstream, nodes, params)
        if answer.value is not None:
            sys.stdout.flush()
            sys.stdout.buffer.write(answer.value)
            sys.stdout.buffer.flush()
            return 0
        failures += answer.failures
    print("nsqctl: no nsqd has the message", file=sys.stderr)
    print_failures(failures)
    return 1
