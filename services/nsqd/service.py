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

from nsqcore import forms
from nsqcore.app import threads
from nsqcore.app.config.options import OptionsError
from nsqcore.app.process import garbage
from nsqcore.app.process.dirlock import lock_directory
from nsqcore.app.process.version import VERSION
from nsqcore.app.service import Process
from nsqcore.app.supervise import supervise
from nsqcore.classes import frozen
from nsqcore.http.dates import Dates
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.late import load
from nsqcore.net.effects import Peer
from nsqcore.net.tls import ServerTls
from nsqcore.net.tls_layer import TlsError
from nsqcore.operations import certificates, doors
from nsqcore.operations.doors import open_guard
from nsqcore.operations.lag import LoopLag
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers
from nsqd.client.authorities import Authorities, open_authorities
from nsqd.config.options import NsqdOptions
from nsqd.config.settings import NsqdSettings, nsqd_settings
from nsqd.engine.broker import Broker
from nsqd.http.api import build_refusing_router, build_router, build_shared_router
from nsqd.http.shared.context import NsqdApi
from nsqd.http.shared.tokens import HttpTokens
from nsqd.lifecycle import sync, wall_clock
from nsqd.lifecycle.changes import Changes
from nsqd.lifecycle.clock import EngineClock
from nsqd.lifecycle.data_path import FreeSpace, free_bytes
from nsqd.lifecycle.drain import Drain
from nsqd.lifecycle.durability import Durability
from nsqd.lifecycle.listening import Listeners, open_listeners
from nsqd.lifecycle.sessions import Sessions
from nsqd.lookup.advertised import Advertised
from nsqd.lookup.registrar import LookupRegistrar
from nsqd.lookup.topic_channels import TopicChannels
from nsqd.metadata.metadata_file import MetadataFile
from nsqd.metadata.policy_store import PolicyStore
from nsqd.opening import (
    open_broker,
    open_durability,
    open_policies,
    open_storage,
    open_store,
)
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.port import DurableStorage
from nsqd.wiring import client_services, http_api, open_registrar

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
    if forms.note:
        logger.warning("NSQ: %s", forms.note)
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
    drain = Drain(process, broker, now, timers.call_at, lambda: _leave_shared(reactor, listeners))
    advertised = Advertised(
        settings.advertised, listeners.tcp.host, listeners.tcp.port, listeners.http_port
    )
    registrar = open_registrar(settings.lookup, advertised, broker)
    topic_channels = TopicChannels(broker, registrar, reactor.finish_tick)
    broker.on_change(metadata.changed)
    broker.on_change(Changes(registrar, topic_channels).changed)
    authorities = open_authorities(settings.auth, clock.now)
    guard = open_guard(settings.doors, "nsqd", HttpTokens(authorities, clock.now).find)
    inside = settings, clock, tls, reactor, authorities
    sessions = Sessions(
        client_services(*inside, lambda: True),
        client_services(*inside, lambda: bool(registrar.addresses)),
        clock.wall,
    )
    known = metadata, advertised, registrar, topic_channels
    api = http_api(settings, clock, listeners, *known, drain, sessions, lag, policies, guard)
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
        authorities=authorities,
    )


def _leave_shared(reactor: Reactor, listeners: Listeners) -> None:
    """Leave those who come from now on to the other nsqd at the shared addresses."""
    for listener in listeners.shared:
        reactor.stop_accepting_at(listener)


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
    authorities: Authorities

    async def serve(self) -> None:
        """Run until the process is told to stop, or the event loop crashes."""
        with self._watched_collector():
            try:
                await self.authorities.servers.prepare()
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
                    self.store.hurry()
                    tasks.cancel_scope.cancel()
            finally:
                await self._save()

    def _reload(self) -> None:
        """What SIGHUP asks for: certificates, policies and credentials as their files are now."""
        certificates.reload(self.tls)
        self.api.policies.reload()
        doors.reload(self.api.guard)
        self.registrar.tls.reload()
        self.authorities.reload(session.client for session in self.sessions.connected)

    def _start_tasks(self, tasks: trio.Nursery) -> None:
        """Start what runs in the background; none of it can end the daemon."""
        store, broker = self.store, self.broker
        tasks.start_soon(supervise, "timers", self.timers.run)
        tasks.start_soon(supervise, "clock", wall_clock.follow_wall_clock, broker)
        tick = self.reactor.finish_tick
        tasks.start_soon(supervise, "sync", partial(sync.keep_synced, store, broker.health, tick))
        durable = self.durability, broker, self.storage, self.clock.now, tick
        tasks.start_soon(supervise, "durability", partial(Durability.run, *durable))
        tasks.start_soon(supervise, "disk", partial(sync.watch_health, broker.health, store))
        tasks.start_soon(supervise, "metadata", self.metadata.run)
        tasks.start_soon(supervise, "lag", self.lag.run)
        tasks.start_soon(supervise, "garbage", garbage.MemoryWatch(self.messages_in_memory).run)
        if least := self.settings.min_free_bytes:
            free = partial(free_bytes, self.settings.store.path)
            tasks.start_soon(supervise, "space", FreeSpace(least, broker.health, free).run)
        tasks.start_soon(supervise, "topics", self.topic_channels.run)
        tasks.start_soon(supervise, "lookup", self.registrar.run)
        if self.settings.statsd.address:
            tasks.start_soon(supervise, "statsd", self._report)

    def messages_in_memory(self) -> int:
        """How many messages are held outside of the disk."""
        topics = self.broker.topics.values()
        queued = sum(topic.depth - topic.backend_depth for topic in topics)
        return queued + sum(
            channel.depth - channel.backend_depth + channel.in_flight_count + channel.deferred_count
            for topic in topics
            for channel in topic.channels.values()
        )

    async def _report(self) -> None:
        memory, wall = self.api.gc_watch.take, self.clock.wall
        await load("nsqd.statsd.reporter:report")(
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
        if listeners.shared_tcp is not None:
            self.reactor.listen(listeners.shared_tcp, self.sessions.accept_shared)
        if listeners.shared_http is not None:
            refused = self.settings.plain_http_refused
            plain = build_refusing_router(self.api) if refused else build_shared_router(self.api)
            self.reactor.listen(listeners.shared_http, self._http_sessions(plain))

    def _http_sessions(self, router: Router) -> Callable[[Peer], HttpSession]:
        timeouts, date = Timeouts(self.timers), Dates(time.time_ns).line
        return lambda peer: HttpSession(router, peer, timeouts=timeouts, date=date)

    async def _let_go(self) -> None:
        """Stop listening, and give clients a moment to read what is on its way to them."""
        for name, listener in self.listeners.named():
            logger.info("%s: closing %s", name, listener.address)
        self.reactor.stop_accepting()
        await sync.wait_for_syncs(self.store)
        await self.durability.flush_answers(self.clock.now, self.reactor.finish_tick)
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
