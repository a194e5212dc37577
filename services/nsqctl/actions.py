"""``nsqctl create|delete|pause|unpause|empty|tombstone``: changes across a cluster.

What cannot be undone asks first; ``--yes`` answers for scripts.
"""

import argparse
import sys

from nsqcore.cluster.cluster import Cluster
from nsqcore.wire.names import is_valid_name
from nsqctl.output import print_failures

DESTRUCTIVE = ("delete", "empty", "tombstone")


async def act(cluster: Cluster, given: argparse.Namespace) -> int:
    """Do what ``given.action`` says; the exit status."""
    action, topic, channel = given.action, given.topic, getattr(given, "channel", None) or ""
    for name in filter(None, (topic, channel)):
        if not is_valid_name(name):
            print(f"nsqctl: {name!r} is not a valid name", file=sys.stderr)
            return 2
    what = f"channel {topic}/{channel}" if channel else f"topic {topic}"
    node: str = getattr(given, "node", None) or ""
    where = f" on {node}" if node else ""
    if action in DESTRUCTIVE and not given.yes and not _confirmed(f"{action} {what}{where}"):
        print("nsqctl: nothing was done", file=sys.stderr)
        return 1
    if action == "create":
        failures = await cluster.create(topic, channel)
    elif action == "delete":
        failures = await cluster.delete(topic, channel)
    elif action == "tombstone":
        failures = await cluster.tombstone(topic, node)
    else:
        failures = await cluster.act(action, topic, channel, node=node or None)
    status = print_failures(failures)
    print(f"{action} {what}{where}: {'done, but for the failures above' if status else 'done'}")
    return status


def _confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        print("nsqctl: not a terminal; --yes says that it is meant", file=sys.stderr)
        return False
    return input(f"{what}? [y/N] ").strip().lower() in ("y", "yes")
