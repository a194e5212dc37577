"""``nsqctl doctor``: what is wrong with a cluster, and what to do about it.

Each check is a function from what was found out (`nsqctl.doctor.examine`) to findings.
"""

import argparse
import socket
from collections.abc import Callable, Iterator

from attrs import asdict
from rich.padding import Padding
from rich.text import Text

from nsqcore.classes import frozen
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import Upstream
from nsqcore.tls import client_tls
from nsqctl.doctor.doors import listed
from nsqctl.doctor.examine import Examined, examine
from nsqctl.shared.output import console, print_json, printable

# Clocks further apart make timestamps and latencies misleading; seconds.
MAX_SKEW = 2.0

# Below this share of free disk an nsqd may soon refuse messages.
MIN_FREE = 0.10

# A sync that takes longer is that of a disk which is slow, shared or far away; ms.
SLOW_SYNC = 50.0

# More journal files than these wait for a checkpoint only where checkpoints fail.
MANY_FULL = 4


STYLES = {"error": "red", "warning": "yellow", "open": "cyan"}
NOTHING = "nothing to complain about"


@frozen
class Finding:
    """Something to look at: how bad, what about, what was seen, what to do."""

    level: str  # "error", "warning", or "open": what is perhaps meant to be
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
        if state.free_bytes < 2 * state.min_free_bytes:
            refused = state.free_bytes < state.min_free_bytes
            yield Finding(
                "error" if refused else "warning",
                name,
                f"{state.free_bytes:,} bytes are free, --min-free-bytes is"
                f" {state.min_free_bytes:,}",
                "publishes are refused below it: make room, or let consumers catch up",
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


def check_promises(found: Examined) -> Iterator[Finding]:
    """Topics whose OK does not mean the same at every nsqd."""
    promises: dict[str, dict[str, set[str]]] = {}
    for state in found.nsqds.values():
        for topic in state.stats:
            durability = topic.durability or "none"
            promises.setdefault(topic.topic_name, {}).setdefault(durability, set()).add(state.name)
    for name, kinds in promises.items():
        if len(kinds) > 1:
            told = [f"{kind} at {listed(nsqds)}" for kind, nsqds in sorted(kinds.items())]
            yield Finding(
                "warning",
                f"topic {name}",
                f"what is acknowledged is not kept alike: {'; '.join(told)}",
                "set the same policy at every nsqd: `nsqctl policy diff` shows the difference",
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


# What each kind of door lets whom do, and what closes it.
DOORS = {
    "http": (
        "HTTP asks nobody who they are: everybody may do everything",
        "start them with --auth-file (see nsqctl token), or keep others away from the ports",
    ),
    "pages": (
        "pages of other sites may have a visitor's browser publish and delete",
        "start them with --allowed-host=<the name that they are asked by>",
    ),
    "metrics": (
        "/metrics tells everybody the names of topics and their numbers",
        "start them without --open-metrics, and give what scrapes them a token of role read",
    ),
    "tcp": (
        "clients are asked for no AUTH: everybody publishes and consumes",
        "start them with --auth-acl-file or --auth-http-address",
    ),
    "clear": (
        "secrets, tokens and passwords cross the network as they are: who listens can use them",
        "start them with --tls-cert, --tls-key and --tls-required; put a proxy with TLS in front of"
        " nsqadmin, and name that",
    ),
    "weak": (
        "TLS 1.0 and 1.1 are spoken, which are broken",
        "start them with --tls-min-version=tls1.2",
    ),
    "registration": (
        "everybody registers as an nsqd: consumers go there, and show their secrets",
        "start them with --tls-required and --tls-client-auth-policy=require-verify",
    ),
    "admin": (
        "nobody has to log in: everybody sees the cluster, and without --admin-user changes it",
        "start them with --auth-file or --oidc-issuer",
    ),
}


def check_doors(found: Examined) -> Iterator[Finding]:
    """Doors that are open to everybody who reaches them."""
    for admin, reason in found.dead_admins.items():
        yield Finding(
            "error",
            f"nsqadmin {admin}",
            f"its door could not be tried: {reason}",
            "start it, or correct --nsqadmin-http-address",
        )
    for kind, (problem, advice) in DOORS.items():
        if addresses := getattr(found.doors, kind):
            yield Finding("open", listed(addresses), problem, advice)


CHECKS: tuple[Callable[[Examined], Iterator[Finding]], ...] = (
    check_lookupds,
    check_nsqds,
    check_addresses,
    check_registration,
    check_versions,
    check_hosts,
    check_journals,
    check_promises,
    check_consumers,
    check_doors,
)


async def doctor(cluster: Cluster, given: argparse.Namespace) -> int:
    """Examine the cluster, print the findings; 1 if there is an error among them."""
    tls = client_tls(authorities=given.tls_root_ca_file)
    async with Upstream(
        connect_timeout=given.timeout, request_timeout=given.timeout, tls=tls
    ) as stranger:
        found = await examine(cluster, stranger, tls, given.nsqadmin_http_address or ())
    findings = [finding for check in CHECKS for finding in check(found)]
    if given.json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(found, findings)
    return 1 if any(finding.level == "error" for finding in findings) else 0


def _print(found: Examined, findings: list[Finding]) -> None:
    out = console()
    for finding in findings:
        style = STYLES[finding.level]
        out.print(Text(finding.level, style=style), Text(printable(finding.subject)))
        for line in (printable(finding.problem), f"-> {finding.advice}"):
            out.print(Padding.indent(Text(line), 2))
    about = f"{len(found.lookupds)} nsqlookupd, {len(found.nsqds)} nsqd examined"
    doors = sum(finding.level == "open" for finding in findings)
    count = len(findings) - doors
    told = f"{count} {'finding' if count == 1 else 'findings'}" if count else NOTHING
    if doors:
        told += f", {doors} {'kind' if doors == 1 else 'kinds'} of open doors"
    out.print(f"{about}: {told}")
