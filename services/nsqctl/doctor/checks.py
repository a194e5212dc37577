"""``nsqctl doctor``: what is wrong with a cluster, and what to do about it.

Each check is a function from what was found out (`nsqctl.doctor.examine`) to findings.
"""

import argparse
import socket
from collections.abc import Callable, Iterator

from attrs import asdict, frozen
from rich.padding import Padding
from rich.text import Text

from nsqcore.cluster.cluster import Cluster
from nsqctl.doctor.examine import Examined, examine
from nsqctl.output import console, print_json, printable

# Clocks further apart make timestamps and latencies misleading; seconds.
MAX_SKEW = 2.0

# Below this share of free disk an nsqd may soon refuse messages.
MIN_FREE = 0.10

# A sync that takes longer is that of a disk which is slow, shared or far away; ms.
SLOW_SYNC = 50.0

# More journal files than these wait for a checkpoint only where checkpoints fail.
MANY_FULL = 4


@frozen
class Finding:
    """Something to look at: how bad, what about, what was seen, what to do."""

    level: str  # "error" or "warning"
    subject: str
    problem: str
    advice: str


def check_lookupds(found: Examined) -> Iterator[Finding]:
    """nsqlookupds that do not answer."""
    for lookupd, error in found.dead_lookupds.items():
        yield Finding(
            "error",
            f"nsqlookupd {lookupd}",
            f"does not answer: {error}",
            "start it, or take its address out of the nsqds, nsqadmin and the consumers",
        )


def check_nsqds(found: Examined) -> Iterator[Finding]:
    """Is there any nsqd at all?"""
    if not found.nsqds and len(found.dead_lookupds) < len(found.lookupds):
        yield Finding(
            "error",
            "cluster",
            "no nsqd is registered",
            "start one with --lookupd-tcp-address=<the TCP address of an nsqlookupd>",
        )


def check_addresses(found: Examined) -> Iterator[Finding]:
    """Broadcast addresses that consumers cannot use."""
    for state in found.nsqds.values():
        name = f"nsqd {state.name}"
        if state.unresolvable:
            yield Finding(
                "error",
                name,
                f"its broadcast address does not resolve: {state.unresolvable}",
                "start it with --broadcast-address=<a name or address that consumers can reach>"
                " (nsq-trio's nsqd: auto)",
            )
        elif state.tcp_error:
            yield Finding(
                "error",
                name,
                f"consumers cannot connect to {state.producer.tcp_address}: {state.tcp_error}",
                "check that it runs, that the broadcast address is reachable from here, and that"
                " the port is published",
            )
        if state.http_error:
            yield Finding(
                "error",
                name,
                f"its HTTP API does not answer: {state.http_error}",
                "check --http-address, --broadcast-http-port and firewalls",
            )


def check_registration(found: Examined) -> Iterator[Finding]:
    """nsqds that only some nsqlookupds know."""
    alive = set(found.lookupds) - set(found.dead_lookupds)
    for state in found.nsqds.values():
        missing = sorted(alive - state.registered_at)
        if state.registered_at and missing:
            yield Finding(
                "warning",
                f"nsqd {state.name}",
                f"not registered at {', '.join(missing)}",
                "consumers that ask there do not find it: add --lookupd-tcp-address for each",
            )


def check_versions(found: Examined) -> Iterator[Finding]:
    """More than one version at work."""
    versions: dict[str, list[str]] = {}
    for state in found.nsqds.values():
        versions.setdefault(state.producer.version or "unknown", []).append(state.name)
    if len(versions) > 1:
        listed = "; ".join(f"{version}: {', '.join(names)}" for version, names in versions.items())
        yield Finding(
            "warning", "cluster", f"different versions: {listed}", "upgrade the older ones"
        )


def check_hosts(found: Examined) -> Iterator[Finding]:
    """Disks, clocks, and what the daemons say of themselves."""
    for state in found.nsqds.values():
        name = f"nsqd {state.name}"
        if state.health and state.health != "OK":
            yield Finding(
                "error", name, f"unhealthy: {state.health}", "see its log; check its disk"
            )
        if state.disk_free is not None and state.disk_free < MIN_FREE:
            yield Finding(
                "error" if state.disk_free < MIN_FREE / 5 else "warning",
                name,
                f"its disk has {state.disk_free:.0%} left",
                "make room, or let consumers catch up: publishing fails on a full disk",
            )
        if state.skew is not None and abs(state.skew) > MAX_SKEW:
            yield Finding(
                "warning",
                name,
                f"its clock is {abs(state.skew):.1f} s {'ahead of' if state.skew > 0 else 'behind'}"
                f" the one of {socket.gethostname()}",
                "synchronize the clocks (NTP): timestamps and latencies mislead",
            )


def check_journals(found: Examined) -> Iterator[Finding]:
    """Journals of durable topics that are slow, full or damaged."""
    for state in found.nsqds.values():
        name = f"nsqd {state.name}"
        if state.failed_files:
            yield Finding(
                "error",
                name,
                f"writes to {state.failed_files} files of its journal failed",
                "see its log (DURABLE); check its disk",
            )
        if state.full_files > MANY_FULL:
            yield Finding(
                "warning",
                name,
                f"{state.full_files} files of its journal wait for a checkpoint",
                "see its log (DURABLE) for why checkpoints fail: the journal grows meanwhile",
            )
        if state.sync_ms is not None and state.sync_ms > SLOW_SYNC:
            yield Finding(
                "warning",
                name,
                f"its last sync took {state.sync_ms:.0f} ms",
                "publishers of durable topics wait for it: use a faster disk, or one of its own",
            )
        if state.damaged:
            yield Finding(
                "error",
                name,
                f"{state.damaged:,} messages of durable topics are damaged",
                "see its log, and `nsqctl durable check` when it is stopped; replace its disk",
            )


def check_consumers(found: Examined) -> Iterator[Finding]:
    """Channels and topics whose messages nobody takes."""
    waiting: dict[tuple[str, str], list[int]] = {}
    for state in found.nsqds.values():
        for topic in state.stats:
            if not topic.channels and topic.depth:
                sums = waiting.setdefault((topic.topic_name, ""), [0, 0])
                sums[0] += topic.depth
            for channel in topic.channels:
                sums = waiting.setdefault((topic.topic_name, channel.channel_name), [0, 0])
                sums[0] += channel.depth
                sums[1] += channel.client_count
    for (topic_name, channel_name), (depth, clients) in sorted(waiting.items()):
        if not channel_name:
            yield Finding(
                "warning",
                f"topic {topic_name}",
                f"{depth:,} messages wait for a first channel",
                "start a consumer, or delete the topic if nobody needs it",
            )
        elif not clients:
            yield Finding(
                "warning",
                f"channel {topic_name}/{channel_name}",
                f"no consumers, {depth:,} messages queued",
                "start its consumers, or delete the channel: it keeps every message",
            )


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_lookupds,
    check_nsqds,
    check_addresses,
    check_registration,
    check_versions,
    check_hosts,
    check_journals,
    check_consumers,
)


async def doctor(cluster: Cluster, given: argparse.Namespace) -> int:
    """Examine the cluster, print the findings; 1 if there is an error among them."""
    found = await examine(cluster)
    findings = [finding for check in CHECKS for finding in check(found)]
    if given.json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(found, findings)
    return 1 if any(finding.level == "error" for finding in findings) else 0


def _print(found: Examined, findings: list[Finding]) -> None:
    out = console()
    for finding in findings:
        style = "red" if finding.level == "error" else "yellow"
        out.print(Text(finding.level, style=style), Text(printable(finding.subject)))
        for line in (printable(finding.problem), f"-> {finding.advice}"):
            out.print(Padding.indent(Text(line), 2))
    about = f"{len(found.lookupds)} nsqlookupd, {len(found.nsqds)} nsqd examined"
    if not findings:
        out.print(f"{about}: nothing to complain about")
    else:
        out.print(f"{about}: {len(findings)} {'finding' if len(findings) == 1 else 'findings'}")
