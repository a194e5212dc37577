"""One running nsqlookupd: listeners and sessions over one registry, and how they stop.

The only module here that reads a clock.
"""

import logging
import socket
import time
from collections.abc import Callable
from functools import partial

import trio

from nsqcore.app import threads
from nsqcore.app.config.options import OptionsError
from nsqcore.app.process import garbage
from nsqcore.app.process.version import VERSION
from nsqcore.app.service import Process
from nsqcore.app.supervise import supervise
from nsqcore.http.dates import Dates
from nsqcore.http.guard import Guard
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.net.effects import Handler, Peer
from nsqcore.net.tls_layer import TlsError
from nsqcore.operations import doors, probes
from nsqcore.operations.certificates import TlsSettings
from nsqcore.operations.doors import DoorSettings, named_hosts
from nsqcore.operations.probes import refusing_router
from nsqcore.reactor.listeners import Listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers
from nsqcore.units import SECOND, ns
from nsqlookupd.context import Lookupd
from nsqlookupd.dispatch import LookupSession
from nsqlookupd.http import build_outside_router, build_router
from nsqlookupd.listening import Listeners, PortTls, open_listeners, open_port_tls
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.registry import Registry

logger = logging.getLogger(__name__)


# Time for answers that are on their way when the daemon stops. There is nothing else to wait for.
GRACE = 1.0

# Seconds between two looks for topics to forget: a tenth of their time, within these bounds.
SHORTEST_SWEEP, LONGEST_SWEEP = 1.0, 60.0


async def run(options: NsqlookupdOptions, process: Process) -> None:
    """Serve until ``process.shutdown`` is set.

    Raises:
        OptionsError: an address cannot be listened on.
    """
    guard = doors.open_guard(door_settings(options), "nsqlookupd")
    try:
        tls = open_port_tls(tls_settings(options))
    except TlsError as error:
        raise OptionsError(f"failed to instantiate nsqlookupd - {error}") from error
    if options.reads_again:
        process.on_reload = partial(_reload, guard, tls)
    async with threads.open_threads():
        listen = partial(threads.run_sync, lane="names", abandon=True)
        listeners = await process.unless_stopped(listen, open_listeners, options)
        if listeners is None:
            return
        registry = Registry(
            ns(options.inactive_producer_timeout),
            ns(options.tombstone_lifetime),
            ns(options.inactive_topic_timeout),
        )
        lookupd = Lookupd(registry, time.monotonic_ns, time.time_ns)
        await _serve(lookupd, options, listeners, guard, tls, process)


def _reload(guard: Guard | None, tls: PortTls | None) -> None:
    """What SIGHUP asks for: certificates and credentials as their files have them now."""
    if tls is not None:
        tls.reload()
    doors.reload(guard)


def tls_settings(options: NsqlookupdOptions) -> TlsSettings:
    """The TLS part of the options."""
    return TlsSettings(
        certificate=options.tls_cert,
        key=options.tls_key,
        client_auth_policy=options.tls_client_auth_policy,
        authorities=options.tls_root_ca_file,
        min_version=options.tls_min_version,
    )


def door_settings(options: NsqlookupdOptions) -> DoorSettings:
    """Who is let in over HTTP."""
    return DoorSettings(
        auth_file=options.auth_file,
        open_metrics=options.open_metrics,
        hosts=named_hosts(options.allowed_hosts, options.broadcast_address),
    )


async def _serve(
    lookupd: Lookupd,
    options: NsqlookupdOptions,
    listeners: Listeners,
    guard: Guard | None,
    tls: PortTls | None,
    process: Process,
) -> None:
    reactor = Reactor(lambda: None)
    timers = Timers(lookupd.now, reactor.finish_tick)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(supervise, "lag", lookupd.lag.run)
        tasks.start_soon(supervise, "timers", timers.run)
        registrations = partial(_registrations, lookupd.registry)
        tasks.start_soon(supervise, "garbage", garbage.MemoryWatch(registrations).run)
        if lookupd.registry.topic_lifetime:
            tasks.start_soon(supervise, "topics", partial(_forget_idle_topics, lookupd))
        _listen(reactor, lookupd, options, listeners, guard, tls, Timeouts(timers))
        await tasks.start(reactor.run)
        for name, listener in listeners.named():
            logger.info("%s: listening on %s", name, listener.address)
        garbage.tune()
        process.ready()
        await process.shutdown.wait()
        lookupd.stopping = True
        for name, listener in listeners.named():
            logger.info("%s: closing %s", name, listener.address)
        reactor.stop_accepting()
        await reactor.close_clients(GRACE)
        tasks.cancel_scope.cancel()


def _listen(
    reactor: Reactor,
    lookupd: Lookupd,
    options: NsqlookupdOptions,
    listeners: Listeners,
    guard: Guard | None,
    tls: PortTls | None,
    timeouts: Timeouts,
) -> None:
    """Serve whoever connects, from the next tick on."""
    date, router = Dates(lookupd.wall).line, build_router(lookupd, guard)
    https = listeners.https

    def sessions(tcp: Listener, http: Listener) -> Callable[[Peer], Handler]:
        """Those of nsqds that are told of these two."""
        about = {
            "tcp_port": tcp.port,
            "http_port": http.port,
            "version": VERSION,
            "hostname": socket.gethostname(),
            "broadcast_address": options.broadcast_address,
        }

        def make_session(peer: Peer) -> Handler:
            logger.info("TCP: new client(%s)", peer.address)
            return LookupSession(peer, lookupd.registry, lambda: about, lookupd.now)

        return make_session

    def http_sessions(router: Router) -> Callable[[Peer], Handler]:
        return lambda peer: HttpSession(router, peer, timeouts=timeouts, date=date)

    if listeners.tcp is not None:
        reactor.listen(listeners.tcp, sessions(listeners.tcp, listeners.http))
    plain = router
    if options.tls_required:
        plain = refusing_router(lambda: https.port if https else 0, guard)
        probes.add_routes(plain, lookupd.checks)
    reactor.listen(listeners.http, http_sessions(plain))
    if tls is not None and listeners.tls_tcp is not None:
        told = sessions(listeners.tls_tcp, https or listeners.http)
        reactor.listen(listeners.tls_tcp, told, layer=tls.nsqds.layer)
    if tls is not None and https is not None:
        reactor.listen(https, http_sessions(router), layer=tls.https.layer)
    if listeners.external is not None:
        outside = http_sessions(build_outside_router(lookupd, guard))
        layer = tls.https.layer if tls is not None and options.tls_required else None
        reactor.listen(listeners.external, outside, layer=layer)


def _registrations(registry: Registry) -> int:
    return sum(1 + len(topic.channels) + len(topic.producers) for topic in registry.topics.values())


async def _forget_idle_topics(lookupd: Lookupd) -> None:
    lifetime = lookupd.registry.topic_lifetime / SECOND
    while True:
        await trio.sleep(min(max(lifetime / 10, SHORTEST_SWEEP), LONGEST_SWEEP))
        for name in lookupd.registry.forget_idle_topics(now=lookupd.now()):
            logger.info("DB: removing topic(%s), which no nsqd has had for %g s", name, lifetime)
