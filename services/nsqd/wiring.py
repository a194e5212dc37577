"""What several parts of one nsqd make together: of its clients, of nsqlookupd, of HTTP."""

import time
from collections.abc import Callable
from functools import partial

import trio

from nsqcore.app.config.credentials import open_token
from nsqcore.app.config.options import OptionsError
from nsqcore.http.guard import Guard
from nsqcore.net.tls import ServerTls
from nsqcore.operations.lag import LoopLag
from nsqcore.reactor.reactor import Reactor
from nsqd.client.authorities import Authorities
from nsqd.client.client import Services
from nsqd.client.upgrades import upgrade
from nsqd.config.live_config import live_config
from nsqd.config.settings import NsqdSettings
from nsqd.engine.broker import Broker
from nsqd.http.shared.context import NsqdApi, Ports
from nsqd.http.shared.memory import GcWatch
from nsqd.lifecycle.clock import EngineClock
from nsqd.lifecycle.drain import Drain
from nsqd.lifecycle.listening import Listeners
from nsqd.lifecycle.readiness import Readiness
from nsqd.lifecycle.sessions import Sessions
from nsqd.lookup.advertised import Advertised
from nsqd.lookup.registrar import LookupRegistrar, LookupSettings, open_client
from nsqd.lookup.secure import LookupTls, is_secure
from nsqd.lookup.topic_channels import TopicChannels
from nsqd.metadata.metadata_file import MetadataFile
from nsqd.metadata.policy_store import PolicyStore


def client_services(
    settings: NsqdSettings,
    clock: EngineClock,
    tls: ServerTls | None,
    reactor: Reactor,
    authorities: Authorities,
    may_subscribe: Callable[[], bool],
) -> Services:
    """What all V2 clients share that come in by one address."""
    return Services(
        broker=clock.broker,
        settings=settings.client,
        now=clock.now,
        call_at=clock.timers.call_at,
        upgrade=partial(upgrade, tls),
        authorize=authorities.authorize,
        request_tick=reactor.request_tick,
        others_first=trio.lowlevel.checkpoint,
        may_subscribe=may_subscribe,
    )


def open_registrar(
    settings: LookupSettings, advertised: Advertised, broker: Broker
) -> LookupRegistrar:
    """What registers the topics of ``broker``. Raises OptionsError."""
    tls = LookupTls(settings.tls)
    if any(map(is_secure, settings.addresses)):
        try:
            tls.load()
        except OSError as error:
            raise OptionsError(f"--lookupd-tcp-address with TLS: {error}") from error
    token = open_token(settings.token_file, "lookupd-token-file")
    return LookupRegistrar(
        advertised.identify,
        broker.topics,
        settings.addresses,
        connect_timeout=settings.connect_timeout,
        request_timeout=settings.request_timeout,
        open_source=partial(open_client, token=token, tls=lambda: tls.context),
        tls=tls,
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
    guard: Guard | None,
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
        when_synced=clock.durability.store.when_synced,
        request_tick=clock.request_tick,
        durable=clock.durability.status,
        durability_interval=settings.durability.interval,
        min_free_bytes=settings.min_free_bytes,
        guard=guard,
    )
