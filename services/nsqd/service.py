"""One nsqd, from its options to its end.

Builds the broker, opens the listeners, and runs the tasks round them: the
reactor, the timers, the disk's chores, registration, statsd. The only place
that reads a clock.

A stop goes inside out: no more connections, then the clients are let go (what
they hold is queued again), then the helpers end, then everything goes to disk. A
crash of any task takes the same road and is re-raised.
"""

import logging
import os
import time
from contextlib import closing
from functools import partial

import trio
from attrs import define, evolve, field

from nsqcore.app import garbage, log
from nsqcore.app.dirlock import lock_directory
from nsqcore.app.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.app.supervise import supervise
from nsqcore.app.version import VERSION
from nsqcore.http.dates import Dates
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.net.effects import Peer
from nsqcore.net.tls import ServerTls, TlsError
from nsqcore.reactor.acceptor import Wrap
from nsqcore.reactor.listeners import Listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timer, Timers
from nsqcore.wire import speedups
from nsqcore.wire.hot import HEADER_SIZE
from nsqd import sync
from nsqd.client.auth import AuthServers
from nsqd.client.client import Services
from nsqd.client.connection import Upgrader
from nsqd.client.session import Session, open_session
from nsqd.engine.broker import Broker, Kind
from nsqd.engine.channel import Channel
from nsqd.engine.topic import Topic
from nsqd.http.api import build_refusing_router, build_router
from nsqd.http.context import NsqdApi
from nsqd.listening import Identity, Listeners, announced, open_listeners
from nsqd.lookup.registrar import LookupRegistrar
from nsqd.metadata import BadMetadata, MetadataFile, load, restore
from nsqd.options import NsqdOptions, TLSRequired
from nsqd.settings import (
    auth_settings,
    client_settings,
    engine_settings,
    server_tls,
    statsd_settings,
)
from nsqd.statsd import StatsdReporter
from nsqd.storage.store import DiskStore

logger = logging.getLogger(__name__)

# How long clients may take to read what is on its way to them when nsqd stops.
GRACE = 1.0

# New topics whose channels are asked for at the same time.
MAX_QUESTIONS = 16

# How often the lag of the loop is measured, in seconds.
LAG_INTERVAL = 0.5

# How often a draining nsqd looks whether consumers are done, in ns.
DRAIN_INTERVAL = 100_000_000


@define(eq=False)
class Nsqd:
    """The parts of one nsqd, and the tasks that run them. Listeners are closed by `serve`."""

    process: Process
    broker: Broker
    api: NsqdApi
    listeners: Listeners
    identity: Identity
    tls: ServerTls | None
    metadata: MetadataFile
    reactor: Reactor = field(init=False)
    timers: Timers = field(init=False)
    services: Services = field(init=False)
    registrar: LookupRegistrar = field(init=False)
    sessions: dict[Session, None] = field(factory=dict, init=False)
    draining: bool = False
    loop_lag: float = 0.0  # seconds
    _registered: bool = False
    _questions: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(MAX_QUESTIONS))
    _nursery: trio.Nursery | None = None
    _expiry: Timer | None = None
    _expiry_at: int = 0

    def __attrs_post_init__(self) -> None:
        options, identity = self.api.options, self.identity
        self.reactor = Reactor(self.end_tick)
        self.timers = Timers(time.monotonic_ns, self.reactor.finish_tick)
        upgrader = Upgrader(self.tls, self.reactor.finish_tick)
        self.services = Services(
            broker=self.broker,
            settings=client_settings(options),
            now=time.monotonic_ns,
            call_at=self.timers.call_at,
            upgrade=upgrader.upgrade,
            authorize=AuthServers(auth_settings(options), time.monotonic_ns).authorize,
            request_tick=self.reactor.request_tick,
            draining=lambda: self.draining,
        )
        self.registrar = LookupRegistrar(
            {
                "version": VERSION,
                "tcp_port": identity.tcp_port,
                "http_port": identity.http_port,
                "hostname": identity.hostname,
                "broadcast_address": identity.broadcast_address,
                "topology_region": options.topology_region,
                "topology_zone": options.topology_zone,
            },
            self.broker.topics,
            options.nsqlookupd_tcp_addresses,
            connect_timeout=options.http_client_connect_timeout,
            request_timeout=options.http_client_request_timeout,
        )
        self.broker.hold_new_topics = bool(options.nsqlookupd_tcp_addresses)
        self.broker.on_change(self.metadata.changed)
        self.broker.on_change(self._changed)
        self._fill_in_api()

    def _fill_in_api(self) -> None:
        """Tell the HTTP API how to reach this nsqd."""
        api, listeners = self.api, self.listeners
        api.sessions = self.sessions.keys()
        api.tcp_port = listeners.tcp.port
        api.http_port = listeners.http.port if listeners.http else -1
        api.https_port = listeners.https.port if listeners.https else -1
        api.reconfigure = self._reconfigure
        api.persist = self.metadata.persist
        api.draining = lambda: self.draining
        api.drain = self.drain
        api.loop_lag = lambda: self.loop_lag
        api.checks = {"lookupd": self._registration_trouble}

    # ------------------------------------------------------------ ticks and deadlines

    def end_tick(self) -> None:
        """Deliver what this tick brought, and see to it that the next deadline is met."""
        broker, now = self.broker, time.monotonic_ns()
        if broker.pump(now):
            self.timers.call_at(now, _again)
        deadline = broker.deadlines.next
        if deadline is None or (self._expiry is not None and self._expiry_at <= deadline):
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry_at = deadline
        self._expiry = self.timers.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self.broker.expire(time.monotonic_ns())

    # ------------------------------------------------------------ clients

    def accept(self, peer: Peer) -> Session:
        """The session of a V2 client that has just connected."""
        wall = time.monotonic_ns() + self.broker.wall_offset
        session = open_session(self.services, wall, self._session_closed, peer)
        self.sessions[session] = None
        return session

    def _session_closed(self, session: Session) -> None:
        self.sessions.pop(session, None)

    def _listen(self) -> None:
        """Serve whoever connects, from the next tick on."""
        listeners, router = self.listeners, build_router(self.api)
        self.reactor.listen(listeners.tcp, self.accept)
        if listeners.http is not None:
            required = self.api.options.tls_required is TLSRequired.YES
            plain = build_refusing_router(self.api) if required else router
            self._listen_http(listeners.http, plain)
        if listeners.https is not None and self.tls is not None:
            self._listen_http(listeners.https, router, wrap=self.tls.accept)

    def _listen_http(self, listener: Listener, router: Router, *, wrap: Wrap | None = None) -> None:
        timeouts, date = Timeouts(self.timers), Dates(time.time_ns).line

        def make_session(peer: Peer) -> HttpSession:
            return HttpSession(router, peer, self.api, timeouts=timeouts, date=date)

        self.reactor.listen(listener, make_session, wrap=wrap)

    # ------------------------------------------------------------ topics come and go

    def _changed(self, kind: Kind, topic: Topic, channel: Channel | None) -> None:
        self.registrar.changed(kind, topic, channel)
        _log_change(kind, topic, channel)
        if kind == "create" and channel is None and not topic.is_open:
            if self._nursery is None:
                self.broker.open_topic(topic)
            else:
                self._nursery.start_soon(self._open_topic, topic)

    async def _open_topic(self, topic: Topic) -> None:
        """Give a new topic the channels it has elsewhere, before its messages go anywhere."""
        try:
            async with self._questions:
                names = await self.registrar.existing_channels(topic.name)
            for name in names if not topic.deleted else ():
                self.broker.channel(topic.name, name)
        except Exception as error:  # those who subscribe make their channels themselves
            logger.error("TOPIC(%s): failed to make its channels - %r", topic.name, error)
        if topic.deleted:
            return
        self.broker.open_topic(topic)
        self.reactor.finish_tick()

    def _registration_trouble(self) -> str:
        """Which nsqlookupd this nsqd waits for, until it is registered for the first time."""
        states = self.registrar.states()
        if not states or any(state.state == "connected" for state in states):
            self._registered = True
        if self._registered:
            # an outage of nsqlookupd is no reason to take every nsqd out of service
            return ""
        return "not registered with " + ", ".join(state.address for state in states)

    def _reconfigure(self, options: NsqdOptions) -> None:
        """Act on settings that were changed over HTTP."""
        log.set_level(options.log_level)
        self.broker.hold_new_topics = bool(options.nsqlookupd_tcp_addresses)
        self.registrar.set_addresses(options.nsqlookupd_tcp_addresses)

    # ------------------------------------------------------------ signals

    def reload(self) -> None:
        """Read the certificates again, for connections from now on."""
        if self.tls is not None:
            try:
                self.tls.load()
            except TlsError as error:
                logger.error("TLS: keeping the certificates in use - %s", error)
            else:
                logger.info("TLS: certificates read again")

    def drain(self) -> None:
        """Refuse publishes, let consumers empty the queues, then stop."""
        if self.draining or self._nursery is None:
            return
        self.draining = True
        logger.info("NSQ: draining")
        self.process.status("draining")
        self._look_drained()

    def _look_drained(self) -> None:
        if any(_consumed(topic) for topic in self.broker.topics.values()):
            self.timers.call_at(time.monotonic_ns() + DRAIN_INTERVAL, self._look_drained)
            return
        left = sum(_left(topic) for topic in self.broker.topics.values())
        logger.info("NSQ: drained, %d messages without a consumer stay on disk", left)
        self.process.shutdown.set()

    # ------------------------------------------------------------ running

    async def serve(self) -> None:
        """Run until the process is told to stop, or a task crashes."""
        self.api.gc_watch.install()
        try:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(supervise, "timers", self.timers.run)
                helpers.start_soon(supervise, "sync", sync.keep_synced, self.broker.store)
                helpers.start_soon(supervise, "disk", self._watch_disk)
                helpers.start_soon(supervise, "metadata", self.metadata.run)
                helpers.start_soon(supervise, "statsd", self._push_to_statsd)
                helpers.start_soon(supervise, "lag", self._measure_lag)
                await helpers.start(self.reactor.run)
                helpers.start_soon(supervise, "lookup", self.registrar.run)
                self._nursery = helpers
                self._listen()
                self.process.on_reload = self.reload
                if self.api.options.sigterm == "drain":
                    self.process.on_sigterm = self.drain
                garbage.tune()
                self.process.ready()
                await self.process.shutdown.wait()
                for name, listener in self.listeners.named():
                    logger.info("%s: closing %s", name, listener.address)
                self.reactor.stop_accepting()
                await self.reactor.close_clients(GRACE)
                self._nursery = None
                helpers.cancel_scope.cancel()
        finally:
            self.api.gc_watch.remove()
            self._nursery = None
            self.listeners.close()
            logger.info("NSQ: closing topics")
            try:
                self.metadata.save()
            except OSError as error:
                logger.error("failed to persist metadata - %s", error)
            self.broker.close()
            await sync.finish(self.broker.store)
            logger.info("NSQ: bye")

    async def _watch_disk(self) -> None:
        await sync.watch_health(self.broker)

    async def _push_to_statsd(self) -> None:
        api, options, identity = self.api, self.api.options, self.identity
        if options.statsd_address:
            settings = statsd_settings(options, identity.broadcast_address, identity.http_port)
            memory = (lambda: api.gc_watch.take().to_json()) if options.statsd_mem_stats else None
            await StatsdReporter(settings, self.broker, lambda: api.wall, memory).run()

    async def _measure_lag(self) -> None:
        while True:
            began = trio.current_time()
            await trio.sleep(LAG_INTERVAL)
            self.loop_lag = max(trio.current_time() - began - LAG_INTERVAL, 0.0)
            self.broker.wall_offset = wall_offset()  # the clock may have been set


def wall_offset() -> int:
    """What to add to the monotonic clock to get the wall clock, in ns."""
    return time.time_ns() - time.monotonic_ns()


def _log_change(kind: Kind, topic: Topic, channel: Channel | None) -> None:
    """Note what came or went, in the lines of the original."""
    if kind == "create" and channel is None:
        logger.info("TOPIC(%s): created", topic.name)
    elif kind == "create" and channel is not None:
        logger.info("TOPIC(%s): new channel(%s)", topic.name, channel.name)
    elif kind == "delete" and channel is None:
        logger.info("TOPIC(%s): deleting", topic.name)
    elif kind == "delete" and channel is not None:
        logger.info("TOPIC(%s): deleting channel %s", topic.name, channel.name)
        logger.info("CHANNEL(%s): deleting", channel.name)


def _again() -> None:
    """Nothing but the tick that ends after it."""


def _consumed(topic: Topic) -> bool:
    """Whether consumers still have something to do for ``topic``."""
    # what is paused goes nowhere, however long one waits
    arriving = topic.depth and not topic.paused
    return any(
        channel.consumers
        and (
            channel.in_flight_count
            or (not channel.paused and (arriving or channel.depth or channel.deferred_count))
        )
        for channel in topic.channels.values()
    )


def _left(topic: Topic) -> int:
    return topic.depth + sum(channel.depth for channel in topic.channels.values())


async def run(options: NsqdOptions, process: Process) -> None:
    """Run one nsqd until ``process.shutdown`` is set.

    Raises DirectoryLocked, OptionsError where the options or the metadata do not allow
    to run, or OSError where the queues cannot be written at the end.
    """
    logger.info("ID: %d", options.id)
    if speedups.note:
        logger.warning("NSQ: %s", speedups.note)
    path = options.data_path or os.getcwd()
    try:
        tls = server_tls(options)
    except TlsError as error:
        raise OptionsError(f"failed to instantiate nsqd - {error}") from error
    with lock_directory(path):
        store = DiskStore(
            path,
            max_bytes_per_file=options.max_bytes_per_file,
            max_record_size=options.max_msg_size + HEADER_SIZE,
            sync_every=options.sync_every,
            sync_timeout=options.sync_timeout,
            warn=partial(logger.warning, "%s"),
        )
        broker = Broker(engine_settings(options), store, wall_offset(), ids_after=store.newest())
        if options.e2e_processing_latency_percentiles:
            window = round(options.e2e_processing_latency_window_time * 1e9)
            quantiles = options.e2e_processing_latency_percentiles
            broker.make_latency = partial(LatencyWindow, quantiles, window)
        try:
            restore(broker, load(path))
        except BadMetadata as error:
            raise OptionsError(f"failed to load metadata - {error}") from error
        metadata = MetadataFile(path, broker.topics, VERSION)
        if full := metadata.save_at_start():
            broker.health.failed(full)
        api = NsqdApi(
            broker=broker,
            options=options,
            now=time.monotonic_ns,
            started=time.time_ns(),
        )
        with closing(open_listeners(options)) as listeners:
            identity = announced(options, listeners)
            # what "auto" has come to is what /info tells nsqadmin
            api.options = evolve(options, broadcast_address=identity.broadcast_address)
            await Nsqd(process, broker, api, listeners, identity, tls, metadata).serve()
