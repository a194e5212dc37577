"""One nsqd, from its settings to its end: builds the parts, runs their tasks, and stops them.

A stop goes inside out: no more connections, then the clients are let go (what they hold is queued
again), then the background tasks end, then everything goes to disk. A background task that fails
is started again (`supervise`); a crash of the event loop itself takes the road of a stop, and is
raised again.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import trio
from attrs import frozen

from nsqcore.app import garbage, threads
from nsqcore.app.dirlock import lock_directory
from nsqcore.app.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.app.supervise import supervise
from nsqcore.app.version import VERSION
from nsqcore.http.dates import Dates
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.net.effects import Peer
from nsqcore.net.tls import ServerTls
from nsqcore.net.tls_layer import TlsError
from nsqcore.operations import metrics
from nsqcore.operations.lag import LoopLag
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers
from nsqcore.wire import speedups
from nsqd.client.auth import AuthServers
from nsqd.client.client import Services
from nsqd.client.upgrades import upgrade
from nsqd.engine.broker import Broker
from nsqd.http.api import build_refusing_router, build_router
from nsqd.http.context import NsqdApi, Ports
from nsqd.http.reports.memory import GcWatch
from nsqd.lifecycle import certificates, sync
from nsqd.lifecycle.changes import Changes
from nsqd.lifecycle.clock import EngineClock
from nsqd.lifecycle.drain import Drain
from nsqd.lifecycle.durability import Durability
from nsqd.lifecycle.listening import Listeners, open_listeners
from nsqd.lifecycle.opening import (
    open_broker,
    open_durability,
    open_policies,
    open_storage,
    open_store,
)
from nsqd.lifecycle.readiness import Readiness
from nsqd.lifecycle.sessions import Sessions
from nsqd.live_config import live_config
from nsqd.lookup.advertised import Advertised
from nsqd.lookup.registrar import LookupRegistrar, LookupSettings
from nsqd.lookup.topic_channels import TopicChannels
from nsqd.metadata import MetadataFile
from nsqd.options import NsqdOptions
from nsqd.policy_store import PolicyStore
from nsqd.settings import NsqdSettings, nsqd_settings
from nsqd.statsd import StatsdReporter
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.store import DiskStore

logger = logging.getLogger(__name__)

# How long clients may take to read what is on its way to them when nsqd stops.
GRACE = 1.0


async def run(options: NsqdOptions, process: Process) -> None:
    """Run one nsqd until ``process.shutdown`` is set.

    Raises DirectoryLocked, OptionsError where the options or the metadata do not allow
    to run, or OSError where the queues cannot be written at the end.
    """
    settings = nsqd_settings(options)
    logger.info("ID: %d", settings.node_id)
    if speedups.note:
        logger.warning("NSQ: %s", speedups.note)
    try:
        tls = certificates.open_tls(settings.tls)
    except TlsError as error:
        raise OptionsError(f"failed to instantiate nsqd - {error}") from error
    with lock_directory(settings.store.path):
        store = open_store(settings.store)
        policies = open_policies(settings)
        durability = open_durability(settings)
        storage = open_storage(store, durability)
        began = time.monotonic()
        broker = open_broker(settings, store, storage, policies.policies)
        durability.recovery_seconds = time.monotonic() - began
        metadata = MetadataFile(settings.store.path, broker.topics, VERSION)
        try:
            full = metadata.save_at_start()
        except OSError as error:
            path = settings.store.path
            raise OptionsError(f"failed to persist metadata in {path} - {error}") from error
        if full:
            broker.health.failed(full)
        async with threads.open_threads():
            listen = partial(threads.run_sync, lane="names", abandon=True)
            listeners = await process.unless_stopped(listen, open_listeners, settings.listen)
            if listeners is None:
                return
            with closing(listeners):
                parts = broker, store, storage, durability, metadata, policies, listeners, tls
                await assemble(settings, process, *parts).serve()


def assemble(
    settings: NsqdSettings,
    process: Process,
    broker: Broker,
    store: DiskStore,
    storage: DurableStorage,
    durability: Durability,
    metadata: MetadataFile,
    policies: PolicyStore,
    listeners: Listeners,
    tls: ServerTls | None,
) -> "Nsqd":
    """An nsqd, ready to serve."""
    now, lag = time.monotonic_ns, LoopLag()
    timers = Timers(now, lambda: reactor.finish_tick())
    clock = EngineClock(broker, timers, durability, now)
    reactor = Reactor(clock.end_tick)
    drain = Drain(process, broker, now, timers.call_at)
    advertised = Advertised(
        settings.advertised, listeners.tcp.host, listeners.tcp.port, listeners.http_port
    )
    registrar = open_registrar(settings.lookup, advertised, broker)
    topic_channels = TopicChannels(broker, registrar, reactor.finish_tick)
    broker.on_change(metadata.changed)
    broker.on_change(Changes(registrar, topic_channels).changed)
    services = client_services(settings, clock, tls, reactor)
    sessions = Sessions(services, clock.wall)
    api = http_api(
        settings,
        clock,
        listeners,
        metadata,
        advertised,
        registrar,
        topic_channels,
        drain,
        sessions,
        lag,
        policies,
    )
    return Nsqd(
        settings=settings,
        process=process,
        broker=broker,
        store=store,
        storage=storage,
        durability=durability,
        metadata=metadata,
        listeners=listeners,
        tls=tls,
        timers=timers,
        clock=clock,
        reactor=reactor,
        drain=drain,
        registrar=registrar,
        topic_channels=topic_channels,
        sessions=sessions,
        lag=lag,
        advertised=advertised,
        api=api,
    )


def client_services(
    settings: NsqdSettings, clock: EngineClock, tls: ServerTls | None, reactor: Reactor
) -> Services:
    """What all V2 clients share."""
    return Services(
        broker=clock.broker,
        settings=settings.client,
        now=clock.now,
        call_at=clock.timers.call_at,
        upgrade=partial(upgrade, tls),
        authorize=AuthServers(settings.auth, clock.now).authorize,
        request_tick=reactor.request_tick,
    )


def open_registrar(
    settings: LookupSettings, advertised: Advertised, broker: Broker
) -> LookupRegistrar:
    """What registers the topics of ``broker``."""
    return LookupRegistrar(
        advertised.identify,
        broker.topics,
        settings.addresses,
        connect_timeout=settings.connect_timeout,
        request_timeout=settings.request_timeout,
    )


def http_api(
    settings: NsqdSettings,
    clock: EngineClock,
    listeners: Listeners,
    metadata: MetadataFile,
    advertised: Advertised,
    registrar: LookupRegistrar,
    topic_channels: TopicChannels,
    drain: Drain,
    sessions: Sessions,
    lag: LoopLag,
    policies: PolicyStore,
) -> NsqdApi:
    """What the endpoints may use of these parts."""
    broker = clock.broker
    return NsqdApi(
        broker=broker,
        limits=settings.http,
        config=live_config(settings.config, advertised, broker, registrar, drain),
        info=settings.info,
        address=lambda: advertised.address,
        ports=Ports(tcp=listeners.tcp.port, http=listeners.http_port, https=listeners.https_port),
        now=clock.now,
        started=time.time_ns(),
        began=clock.now(),
        data_path=settings.store.path,
        sessions=sessions.connected.keys(),
        persist=metadata.persist,
        has_channels=topic_channels.wait,
        draining=drain.is_active,
        loop_lag=lambda: lag.seconds,
        checks=Readiness(broker, lag, drain, registrar).checks,
        gc_watch=GcWatch(),
        policies=policies,
        when_kept=clock.durability.store.when_kept,
        durable=clock.durability.status,
        durability_interval=settings.durability_interval,
    )


@frozen(eq=False, kw_only=True)
class Nsqd:
    """The parts of one nsqd, made by `assemble`, and the tasks that run them."""

    settings: NsqdSettings
    process: Process
    broker: Broker
    store: DiskStore
    storage: DurableStorage
    durability: Durability
    metadata: MetadataFile
    listeners: Listeners
    tls: ServerTls | None
    timers: Timers
    clock: EngineClock
    reactor: Reactor
    drain: Drain
    registrar: LookupRegistrar
    topic_channels: TopicChannels
    sessions: Sessions
    lag: LoopLag
    advertised: Advertised
    api: NsqdApi

    async def serve(self) -> None:
        """Run until the process is told to stop, or the event loop crashes."""
        with self._watched_collector():
            try:
                async with trio.open_nursery() as tasks:
                    self._start_tasks(tasks)
                    await tasks.start(self.reactor.run)
                    self.reactor.watch(
                        self.durability.committer.descriptor,
                        lambda: self.durability.collect(self.clock.now()),
                    )
                    self._listen()
                    self.process.on_reload = self._reload
                    if self.settings.drain_at_sigterm:
                        self.process.on_sigterm = self.drain.begin
                    garbage.tune()
                    self.process.ready()
                    await self.process.shutdown.wait()
                    await self._let_go()
                    tasks.cancel_scope.cancel()
            finally:
                await self._save()

    def _reload(self) -> None:
        """What SIGHUP asks for: certificates and policies as their files have them now."""
        certificates.reload(self.tls)
        self.api.policies.reload()

    def _start_tasks(self, tasks: trio.Nursery) -> None:
        """Start what runs in the background; none of it can end the daemon."""
        store, broker = self.store, self.broker
        tasks.start_soon(supervise, "timers", self.timers.run)
        tasks.start_soon(supervise, "clock", self.clock.follow_wall_clock)
        tasks.start_soon(supervise, "sync", sync.keep_synced, store)
        tasks.start_soon(supervise, "durability", self._keep_durable)
        tasks.start_soon(supervise, "disk", partial(sync.watch_health, broker.health, store))
        tasks.start_soon(supervise, "metadata", self.metadata.run)
        tasks.start_soon(supervise, "lag", self.lag.run)
        tasks.start_soon(supervise, "garbage", garbage.MemoryWatch(self.messages_in_memory).run)
        tasks.start_soon(supervise, "topics", self.topic_channels.run)
        tasks.start_soon(supervise, "lookup", self.registrar.run)
        tasks.start_soon(supervise, "metrics", partial(threads.run_sync, metrics.preload))
        if self.settings.statsd.address:
            tasks.start_soon(supervise, "statsd", self._statsd().run)

    async def _keep_durable(self) -> None:
        tick = self.reactor.finish_tick
        await self.durability.run(self.broker, self.storage, self.clock.now, tick)

    def messages_in_memory(self) -> int:
        """How many messages are held outside of the disk."""
        topics = self.broker.topics.values()
        queued = sum(topic.depth - topic.backend_depth for topic in topics)
        return queued + sum(
            channel.depth - channel.backend_depth + channel.in_flight_count + channel.deferred_count
            for topic in topics
            for channel in topic.channels.values()
        )

    def _statsd(self) -> StatsdReporter:
        memory, wall = self.api.gc_watch.take, self.clock.wall
        return StatsdReporter(
            self.settings.statsd,
            self.broker,
            wall,
            lambda: memory().to_json(),
            self.advertised.host_key,
        )

    def _listen(self) -> None:
        """Serve whoever connects, from the next tick on."""
        listeners, router = self.listeners, build_router(self.api)
        self.reactor.listen(listeners.tcp, self.sessions.accept)
        if listeners.http is not None:
            refused = self.settings.plain_http_refused
            plain = build_refusing_router(self.api) if refused else router
            self.reactor.listen(listeners.http, self._http_sessions(plain))
        if listeners.https is not None and self.tls is not None:
            sessions = self._http_sessions(router)
            self.reactor.listen(listeners.https, sessions, layer=self.tls.layer)

    def _http_sessions(self, router: Router) -> Callable[[Peer], HttpSession]:
        timeouts, date = Timeouts(self.timers), Dates(time.time_ns).line
        return lambda peer: HttpSession(router, peer, timeouts=timeouts, date=date)

    async def _let_go(self) -> None:
        """Stop listening, and give clients a moment to read what is on its way to them."""
        for name, listener in self.listeners.named():
            logger.info("%s: closing %s", name, listener.address)
        self.reactor.stop_accepting()
        await self.durability.settle(self.clock.now, self.reactor.finish_tick)
        await self.reactor.close_clients(GRACE)

    async def _save(self) -> None:
        """Everything to disk. What the disk does not take is told in the log, by queue.

        Raises OSError at the end if messages were lost.
        """
        self.listeners.close()
        logger.info("NSQ: closing topics")
        try:
            self.metadata.save()
        except OSError as error:
            logger.error("failed to persist metadata - %s", error)
        lost = 0
        try:
            for name, loss in self.broker.close().items():
                lost += loss.messages
                logger.error(
                    "DISKQUEUE(%s): %d messages are lost - %s", name, loss.messages, loss.reason
                )
            self.durability.close(self.broker, self.storage, self.clock.now())
        finally:
            await sync.finish(self.store)
        logger.info("NSQ: bye")
        if lost:
            raise OSError(f"the disk did not take {lost} messages")

    @contextmanager
    def _watched_collector(self) -> Iterator[None]:
        self.api.gc_watch.install()
        try:
            yield
        finally:
            self.api.gc_watch.remove()
