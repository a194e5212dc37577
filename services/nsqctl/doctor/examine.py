"""What there is to know about a cluster before judging it: everything is asked once.

Every daemon is asked with the usual timeouts; what one does not answer is noted with it, and
never ends the examination. `nsqctl.doctor` makes findings of this.
"""

import contextlib
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import trio

from nsqcore.addresses import parse_host_port
from nsqcore.classes import Factory, define
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.lookupd import lookupd_nodes
from nsqcore.cluster.nsqd import nsqd_nodes, one_nsqd_report
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import AllFailed, Upstream, UpstreamError
from nsqcore.json import JsonError, decode
from nsqcore.net.reasons import failure_reason
from nsqcore.readers import count, flag, number, text
from nsqctl.doctor.doors import (
    Doors,
    likely_registration,
    registrations,
    try_admin,
    try_http,
    try_registration,
    try_tcp,
)

# A daemon that needs longer to accept, or a name server to answer, is not well; seconds.
CONNECT_TIMEOUT = 2.0
RESOLVE_TIMEOUT = 5.0


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
    skew: float | None = None  # seconds that its clock is ahead of ours, at least
    disk_free: float | None = None  # share of its data path's file system
    free_bytes: int = 0  # there, where it has a least
    min_free_bytes: int = 0  # --min-free-bytes
    sync_ms: float | None = None  # how long the last sync of its journal took
    full_files: int = 0  # of its journal, waiting for a checkpoint
    failed_files: int = 0
    damaged: int = 0  # messages

    @property
    def name(self) -> str:
        """Its address, as nsqlookupd tells it."""
        return self.producer.http_address


@define
class Examined:
    """Everything that was found out about a cluster."""

    lookupds: tuple[str, ...]
    dead_lookupds: dict[str, str] = Factory(dict)
    dead_admins: dict[str, str] = Factory(dict)
    nsqds: dict[str, NsqdState] = Factory(dict)
    doors: Doors = Factory(Doors)


async def examine(
    cluster: Cluster, stranger: Upstream, tls: ssl.SSLContext, admins: Sequence[str] = ()
) -> Examined:
    """Ask every daemon of ``cluster``, and knock at its doors as a ``stranger``.

    Args:
        stranger: shows neither token nor certificate; nor does ``tls``, which trusts as it does.
        admins: nsqadmins of the cluster.
    """
    found = Examined(cluster.lookupds)
    async with trio.open_nursery() as nursery:
        for lookupd in cluster.lookupds:
            nursery.start_soon(_ask_lookupd, cluster, found, lookupd)
        for address in cluster.nsqds:
            nursery.start_soon(_ask_nsqd, cluster, found, address)
    found.nsqds = dict(sorted(found.nsqds.items()))
    async with trio.open_nursery() as nursery:
        for state in found.nsqds.values():
            nursery.start_soon(_examine_nsqd, cluster, state)
    for admin in admins:
        try:
            await try_admin(found.doors, stranger, admin)
        except UpstreamError as error:
            found.dead_admins[admin] = str(error)
    await _knock(cluster, found, stranger, tls)
    return found


async def _knock(
    cluster: Cluster, found: Examined, stranger: Upstream, tls: ssl.SSLContext
) -> None:
    doors = found.doors
    lookupds = set(found.lookupds) - set(found.dead_lookupds)
    asked = [each for each in found.nsqds.values() if not each.http_error]
    reachable = [each for each in found.nsqds.values() if not each.unresolvable]
    known = await registrations(cluster.upstream, [state.name for state in asked])
    async with trio.open_nursery() as nursery:
        for lookupd in lookupds:
            nursery.start_soon(try_http, doors, stranger, "nsqlookupd", lookupd)
        for address in known | {likely_registration(lookupd) for lookupd in lookupds}:
            nursery.start_soon(try_registration, doors, address, tls)
        for state in reachable:
            if not state.http_error:
                nursery.start_soon(try_http, doors, stranger, "nsqd", state.name)
            if state.producer.tcp_port and not state.tcp_error:
                host, port = state.producer.broadcast_address, state.producer.tcp_port
                nursery.start_soon(try_tcp, doors, host, port)


async def _ask_lookupd(cluster: Cluster, found: Examined, lookupd: str) -> None:
    try:
        answer = await lookupd_nodes(cluster.upstream, [lookupd])
    except AllFailed as error:
        found.dead_lookupds[lookupd] = str(error.failures[0])
        return
    for producer in answer.value:
        state = found.nsqds.setdefault(producer.http_address, NsqdState(producer))
        state.registered_at.add(lookupd)


async def _ask_nsqd(cluster: Cluster, found: Examined, address: str) -> None:
    try:
        (producer,) = (await nsqd_nodes(cluster.upstream, [address])).value
    except AllFailed as error:
        host, port = parse_host_port(address)
        producer = Producer(broadcast_address=host, http_port=port, hostname=host)
        found.nsqds[address] = NsqdState(producer, http_error=str(error.failures[0]))
    else:
        found.nsqds.setdefault(producer.http_address, NsqdState(producer))


async def _examine_nsqd(cluster: Cluster, state: NsqdState) -> None:
    producer = state.producer
    state.unresolvable = await _try_resolve(producer.broadcast_address)
    if state.unresolvable:
        return
    if producer.tcp_port:
        state.tcp_error = await _try_connect(producer.broadcast_address, producer.tcp_port)
    if state.http_error:
        return
    try:
        state.stats = (await one_nsqd_report(cluster.upstream, producer)).topics
        state.health = await _health(cluster, producer)
        await examine_host(cluster, state)
        await examine_journal(cluster, state)
    except UpstreamError as error:
        state.http_error = str(error)


async def _try_resolve(host: str) -> str:
    with trio.move_on_after(RESOLVE_TIMEOUT):
        try:
            await trio.socket.getaddrinfo(host, None)
        except OSError as error:
            return f"{host}: {error.strerror or error}"
        except ValueError:  # no text that the resolver could be asked for
            return f"{host!r} is no host name"
        return ""
    return f"{host}: no answer in time"


async def _try_connect(host: str, port: int) -> str:
    if not port < 65536:
        return "there is no such port"
    with trio.move_on_after(CONNECT_TIMEOUT):
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            return failure_reason(error)
        await stream.aclose()
        return ""
    return "timed out"


async def _health(cluster: Cluster, producer: Producer) -> str:
    # a topic that hardly exists: only the health is wanted
    params = {"format": "json", "include_clients": "false", "include_mem": "false", "topic": "-"}
    raw = await cluster.upstream.get(producer.http_address, "/stats", params)
    return text(raw, "health") if isinstance(raw, dict) else ""


async def examine_host(cluster: Cluster, state: NsqdState) -> None:
    """Clock and disk: from /readyz, or what the original tells: the Date of an answer."""
    asked = time.time_ns() / 1e9
    probe = await cluster.upstream.probe(state.producer.http_address, "/readyz")
    answered = time.time_ns() / 1e9
    try:
        told = decode(probe.body)
    except JsonError:
        told = None
    if isinstance(told, dict) and (clock := number(told, "time")):
        state.skew = apart(clock, clock, asked, answered)
        measured = isinstance(told.get("disk_free"), int | float)
        state.disk_free = number(told, "disk_free") if measured else None
        state.free_bytes = count(told, "free_bytes")
        state.min_free_bytes = count(told, "min_free_bytes")
    elif probe.date:
        with contextlib.suppress(ValueError, OverflowError):
            second = parsedate_to_datetime(probe.date).timestamp()  # the header counts whole ones
            state.skew = apart(second, second + 1, asked, answered)


async def examine_journal(cluster: Cluster, state: NsqdState) -> None:
    """What an nsqd with durable topics tells of its journal; others tell nothing."""
    probe = await cluster.upstream.probe(state.producer.http_address, "/durable/status")
    try:
        told = decode(probe.body)
    except JsonError:
        return
    if not isinstance(told, dict) or not flag(told, "in_use"):
        return
    journal = told.get("journal")
    if isinstance(journal, dict):
        state.full_files = count(journal, "full")
        state.failed_files = count(journal, "failed")
    state.sync_ms = number(told, "last_commit_ms")
    state.damaged = count(told, "damaged") + count(told, "lost")


def apart(earliest: float, latest: float, asked: float, answered: float) -> float:
    """How far a clock is ahead of ours, at least.

    It told a time between ``earliest`` and ``latest``, somewhen between ``asked`` and ``answered``
    of ours: an answer that takes long is no clock that is wrong. All in seconds.
    """
    return max(earliest - answered, 0.0) + min(latest - asked, 0.0)
