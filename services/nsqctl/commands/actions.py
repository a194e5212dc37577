"""``nsqctl create|delete|pause|unpause|empty|tombstone``: changes across a cluster.

What cannot be undone asks first; ``--yes`` answers for scripts.
"""

import argparse
import sys
from collections.abc import Sequence

import trio

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.lookupd import lookupd_channels
from nsqcore.cluster.nsqd import nsqd_stats
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqcore.names import is_valid_name
from nsqctl.shared.options import DESTRUCTIVE
from nsqctl.shared.output import print_failures
from nsqctl.shared.target import is_unknown


async def act(cluster: Cluster, given: argparse.Namespace) -> int:
    """Do what ``given.action`` says; the exit status. Raises AllFailed."""
    action, topic, channel = given.action, given.topic, getattr(given, "channel", None) or ""
    for name in (topic, channel) if channel else (topic,):
        if not is_valid_name(name):
            print(f"nsqctl: {name!r} is not a valid name", file=sys.stderr)
            return 2
    what = f"channel {topic}/{channel}" if channel else f"topic {topic}"
    node: str = getattr(given, "node", None) or ""
    where = f" on {node}" if node else ""
    if complaint := await _complaint(cluster, action, topic, channel, node):
        print(f"nsqctl: {complaint}", file=sys.stderr)
        return 1
    if action in DESTRUCTIVE and not given.yes and not await confirmed(f"{action} {what}{where}"):
        print("nsqctl: nothing was done", file=sys.stderr)
        return 1
    status = print_failures(await _perform(cluster, action, topic, channel, node))
    if action == "create" and channel and cluster.lookupds and not await _has_nsqd(cluster, topic):
        print(
            f"nsqctl: no nsqd has the topic {topic} yet: the nsqlookupds remember the channel, and"
            " an nsqd that gets the topic makes it",
            file=sys.stderr,
        )
    print(f"{action} {what}{where}: {'done, but for the failures above' if status else 'done'}")
    return status


async def _complaint(cluster: Cluster, action: str, topic: str, channel: str, node: str) -> str:
    """Why the action cannot be meant, as nobody would do anything; empty if somebody would."""
    if action == "create":
        return ""
    if action == "tombstone" and not cluster.lookupds:
        return "a tombstone is set at nsqlookupd: --lookupd-http-address names one"
    try:
        answer = await cluster.producers(topic)
    except AllFailed as error:
        if not is_unknown(error):
            raise
        return f"no nsqlookupd knows the topic {topic}"
    if answer.failures:
        return ""
    if answer.value:
        asked = [one for one in answer.value if node in ("", one.http_address)]
        if channel and await _lack_channel(cluster, asked, action, topic, channel):
            return f"{node or 'no nsqd'} has {'no' if node else 'the'} channel {topic}/{channel}"
        return ""
    if action == "delete" and cluster.lookupds:
        return ""  # nsqlookupds forget a topic also when no nsqd has it any more
    return f"no nsqd has the topic {topic}"


async def _lack_channel(
    cluster: Cluster, nsqds: Sequence[Producer], action: str, topic: str, channel: str
) -> bool:
    """Whether all of ``nsqds`` say that they do not have the channel, so that nothing can be done.

    Deleting it is something to do where nsqlookupds alone remember it.
    """
    if not nsqds:
        return False
    try:
        found = await nsqd_stats(cluster.upstream, nsqds, topic=topic, channel=channel)
        channels = [one.channel_name for part in found.value for one in part.channels]
        if found.failures or channel in channels:
            return False
        if action != "delete" or not cluster.lookupds:
            return True
        remembered = await lookupd_channels(cluster.upstream, cluster.lookupds, topic)
    except AllFailed:
        return False
    return not remembered.failures and channel not in remembered.value


async def _has_nsqd(cluster: Cluster, topic: str) -> bool:
    try:
        answer = await cluster.producers(topic)
    except AllFailed:
        return False
    return bool(answer.value or answer.failures)


async def _perform(
    cluster: Cluster, action: str, topic: str, channel: str, node: str
) -> tuple[UpstreamError, ...]:
    """Do it; who failed."""
    if action == "create":
        return await cluster.create(topic, channel)
    if action == "delete":
        return await cluster.delete(topic, channel)
    if action == "tombstone":
        return await cluster.tombstone(topic, node)
    return await cluster.act(action, topic, channel, node=node or None)


async def confirmed(what: str) -> bool:
    """Whether the user says that this is meant."""
    if not sys.stdin.isatty():
        print("nsqctl: not a terminal; --yes says that it is meant", file=sys.stderr)
        return False
    print(f"{what}? [y/N] ", end="", flush=True)
    # not input(): a Ctrl-C that comes just before it reads would wait for a line as well
    await trio.lowlevel.wait_readable(sys.stdin)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # Ctrl-D
        print()
    return answer.strip().lower() in ("y", "yes")
