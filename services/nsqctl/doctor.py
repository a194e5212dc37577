"""``nsqctl doctor``: what is wrong with a cluster, and what to do about it.

Each check is a function from what was found out (`Examined`) to findings. What is
found out is asked once, of every daemon, with the usual timeouts.
"""

import argparse
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

import trio
from attrs import Factory, asdict, define, frozen

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.lookupd import lookupd_nodes
from nsqcore.cluster.nsqd import nsqd_nodes, one_nsqd_stats
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqctl.output import console, print_json, shown

# Clocks further apart make timestamps and latencies misleading; seconds.
MAX_SKEW = 2.0

# Below this share of free disk an nsqd may soon refuse messages.
MIN_FREE = 0.10

CONNECT_TIMEOUT = 2.0


@frozen
class Finding:
    """Something to look at: how bad, what about, what was seen, what to do."""

    level: str  # "error" or "warning"
    subject: str
    problem: str
    advice: str


@define
class NsqdState:
    """One nsqd, examined."""

    producer: Producer
    registered_at: set[str] = Factory(set)
    unresolvable: str = ""
    tcp_error: str = ""
    http_error: str = ""
    stats: list[TopicStats] = Factory(list)
    health: str = ""
    skew: float | None = None  # seconds that its clock is ahead of ours
    disk_free: float | None = None  # share of its data path's file system

    @property
    def name(self) -> str:
        """Its address, as nsqlookupd tells it."""
        return self.producer.http_address


@define
class Examined:
    """Everything that was found out about a cluster."""

    lookupds: tuple[str, ...]
    dead_lookupds: dict[str, str] = Factory(dict)
    nsqds: dict[str, NsqdState] = Factory(dict)


# ------------------------------------------------------------------ examining


async def examine(cluster: Cluster) -> Examined:
    """Ask every daemon of ``cluster``."""
    found = Examined(cluster.lookupds)
    for lookupd in cluster.lookupds:
        try:
            answer = await lookupd_nodes(cluster.upstream, [lookupd])
        except AllFailed as error:
            found.dead_lookupds[lookupd] = str(error.failures[0])
            continue
        for producer in answer.value:
            state = found.nsqds.setdefault(producer.http_address, NsqdState(producer))
            state.registered_at.add(lookupd)
    for address in cluster.nsqds:
        try:
            (producer,) = (await nsqd_nodes(cluster.upstream, [address])).value
        except AllFailed as error:
            host, _, port = address.rpartition(":")
            producer = Producer(broadcast_address=host, http_port=int(port or 0), hostname=host)
            found.nsqds[address] = NsqdState(producer, http_error=str(error.failures[0]))
        else:
            found.nsqds[address] = NsqdState(producer)
    async with trio.open_nursery() as nursery:
        for state in found.nsqds.values():
            nursery.start_soon(_examine_nsqd, cluster, state)
    return found


async def _examine_nsqd(cluster: Cluster, state: NsqdState) -> None:
    producer = state.producer
    try:
        await trio.socket.getaddrinfo(producer.broadcast_address, producer.tcp_port or None)
    except (OSError, UnicodeError) as error:
        state.unresolvable = str(error)
        return
    if producer.tcp_port:
        state.tcp_error = await _try_connect(producer.broadcast_address, producer.tcp_port)
    if state.http_error:
        return
    try:
        state.stats = await one_nsqd_stats(cluster.upstream, producer)
        state.health = await _health(cluster, producer)
        await _examine_host(cluster, state)
    except UpstreamError as error:
        state.http_error = str(error)


async def _try_connect(host: str, port: int) -> str:
    with trio.move_on_after(CONNECT_TIMEOUT):
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            return str(error)
        await stream.aclose()
        return ""
    return "timed out"


async def _health(cluster: Cluster, producer: Producer) -> str:
    # a topic that cannot exist: only the health is wanted
    params = {"format": "json", "include_clients": "false", "include_mem": "false", "topic": "-"}
    raw = await cluster.upstream.get(producer.http_address, "/stats", params)
    return str(raw.get("health", "")) if isinstance(raw, dict) else ""


async def _examine_host(cluster: Cluster, state: NsqdState) -> None:
    """Clock and disk: from /readyz, or what the original tells: the Date of an answer."""
    asked = time.time_ns() / 1e9
    probe = await cluster.upstream.probe(state.producer.http_address, "/readyz")
    middle = (asked + time.time_ns() / 1e9) / 2
    try:
        told = json.loads(probe.body)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("time"), float):
        state.skew = told["time"] - middle
        free = told.get("disk_free")
        state.disk_free = free if isinstance(free, float) else None
    elif probe.date:
        with contextlib.suppress(ValueError):
            # the header counts whole seconds: half of one has passed on average
            state.skew = parsedate_to_datetime(probe.date).timestamp() + 0.5 - middle


# ------------------------------------------------------------------ checks


def check_lookupds(found: Examined) -> Iterator[Finding]:
    """nsqlookupds that do not answer."""
    for lookupd, error in found.dead_lookupds.items():
        yield Finding(
            "error",
            f"nsqlookupd {lookupd}",
            f"does not answer: {error}",
            "start it, or take its address out of the nsqds, nsqadmin and the consumers",
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
                " (auto picks one)",
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
    check_addresses,
    check_registration,
    check_versions,
    check_hosts,
    check_consumers,
)


async def doctor(cluster: Cluster, given: argparse.Namespace) -> int:
    """Examine the cluster, print the findings; 1 if there is an error among them."""
    found = await examine(cluster)
    findings = [finding for check in CHECKS for finding in check(found)]
    if given.json:
        print_json([asdict(finding) for finding in findings])
    else:
        out = console()
        about = f"{len(found.lookupds)} nsqlookupd, {len(found.nsqds)} nsqd examined"
        if not findings:
            out.print(f"{about}: nothing to complain about")
        for finding in findings:
            style = "red" if finding.level == "error" else "yellow"
            out.print(f"[{style}]{finding.level}[/{style}] {shown(finding.subject)}")
            out.print(f"  {shown(finding.problem)}")
            out.print(f"  -> {shown(finding.advice)}", style="dim")
        if findings:
            out.print(f"{about}: {len(findings)} findings")
    return 1 if any(finding.level == "error" for finding in findings) else 0
