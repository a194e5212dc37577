"""``nsqctl redrive``: dead letters go back to where they come from, on every nsqd."""

import argparse
import json
import sys
from collections import Counter

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.each.messages import (
    AT_ONCE,
    Redriven,
    holders,
    redrive_messages,
    redrive_steps,
)
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqctl.commands.actions import confirmed
from nsqctl.shared.output import print_failures, printable


async def redrive(cluster: Cluster, given: argparse.Namespace) -> int:
    """Send dead letters back; the exit status. Raises AllFailed."""
    answer = await holders(cluster, given.topic)
    nodes = [producer.http_address for producer in answer.value]
    if not nodes and not answer.failures:
        print(f"nsqctl: no nsqd has the topic {printable(given.topic)}", file=sys.stderr)
        return 1
    if not given.yes:
        what = f"{len(given.ids):,} messages" if given.ids else "the messages"
        where = "all channels of their topics" if given.to == "topic" else "their channels"
        if not await confirmed(f"send {what} of {given.topic} back to {where}"):
            print("nsqctl: nothing was done", file=sys.stderr)
            return 1
    params = {"topic": given.topic, "to": given.to}
    if given.channel:
        params["channel"] = given.channel
    result, failures = await _send_back(cluster, nodes, given, params)
    if given.channel and not result.nodes and not failures:
        what = printable(f"{given.topic}/{given.channel}")
        print(f"nsqctl: no nsqd has the channel {what}", file=sys.stderr)
        return 1
    if given.json:
        told = {"moved": result.moved, "left": result.left, "kept": result.kept}
        print(json.dumps({**told, "missing": result.missing} if given.ids else told))
    else:
        print(f"{result.moved:,} sent back, {result.left:,} left")
        for why, number in result.kept.items():
            print(f"nsqctl: {number:,} stay: {printable(why)}", file=sys.stderr)
        for id in result.missing:
            print(f"nsqctl: {printable(id)} is not there", file=sys.stderr)
    unhappy = bool(result.kept or result.missing)
    return print_failures(answer.failures + failures) or int(unhappy)


async def _send_back(
    cluster: Cluster, nodes: list[str], given: argparse.Namespace, params: dict[str, str]
) -> tuple[Redriven, tuple[UpstreamError, ...]]:
    """What came of it on all ``nodes``, and who failed."""
    moved, left, asked, failures = 0, 0, 0, list[UpstreamError]()
    kept, missing = Counter[str](), list[str]()
    for start in range(0, len(given.ids), AT_ONCE):
        some = given.ids[start : start + AT_ONCE]
        answer = await redrive_messages(cluster.upstream, nodes, some, params)
        done, asked = answer.value, answer.value.nodes
        failures += answer.failures
        moved, left = moved + done.moved, done.left
        kept.update(done.kept)
        missing += done.missing
    for node in () if given.ids else nodes:
        there = 0
        try:
            async for done in redrive_steps(cluster.upstream, node, params, given.limit):
                moved, there = moved + done.moved, done.left
                kept.update(done.kept)
                asked += done.nodes
        except AllFailed as error:
            failures += error.failures
        left += there
    return Redriven(moved, left, dict(kept), tuple(missing), asked), tuple(failures)
