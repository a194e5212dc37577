"""What each part of nsqd is to know of its options, in that part's units.

The only module that reads `NsqdOptions`: a flag is a field there, and a line here.
"""

import os
from functools import partial
from typing import Any

from nsqcore.app.process.version import VERSION
from nsqcore.classes import frozen
from nsqcore.metrics.quantile import LatencyWindow
from nsqcore.operations.certificates import TlsSettings
from nsqcore.operations.config import config_values
from nsqcore.operations.doors import DoorSettings, named_hosts
from nsqcore.units import MS, ns
from nsqcore.wire.hot import HEADER_SIZE
from nsqcore.wire.identify import Limits
from nsqd.client.auth import AuthSettings
from nsqd.client.client import ClientSettings
from nsqd.config.option_values import TOPOLOGY_AWARE_CONSUMPTION, TLSRequired, parse_external
from nsqd.config.options import NsqdOptions
from nsqd.engine.broker import EngineSettings
from nsqd.engine.rules import Rules
from nsqd.http.shared.context import HttpLimits
from nsqd.lifecycle.listening import ListenSettings
from nsqd.lookup.advertised import AdvertisedSettings
from nsqd.lookup.registrar import LookupSettings
from nsqd.lookup.secure import LookupTlsSettings
from nsqd.statsd.settings import StatsdSettings

# More than a journal file has besides the largest message.
_ROUND_A_MESSAGE = 64 << 10


@frozen(kw_only=True)
class StoreSettings:
    """The disk queues' part of the options; ``sync_timeout`` is seconds, sizes are bytes."""

    path: str
    max_bytes_per_file: int
    max_record_size: int
    sync_every: int
    sync_timeout: float


@frozen(kw_only=True)
class DurabilitySettings:
    """The durable topics' part of the options; ``interval`` is seconds, sizes are bytes.

    ``default`` is the durability of topics without a policy.
    """

    default: str
    interval: float
    journal_file_size: int
    on_network_file_system: bool


@frozen(kw_only=True)
class NsqdSettings:
    """The settings of every part.

    ``latency`` makes what keeps a channel's latencies, where wanted. ``config`` and ``info`` are
    what /config and /info show.
    """

    node_id: int
    drain_at_sigterm: bool
    plain_http_refused: bool
    listen: ListenSettings
    advertised: AdvertisedSettings
    tls: TlsSettings
    store: StoreSettings
    durability: DurabilitySettings
    min_free_bytes: int
    engine: EngineSettings
    latency: partial[LatencyWindow] | None
    client: ClientSettings
    auth: AuthSettings
    doors: DoorSettings
    lookup: LookupSettings
    statsd: StatsdSettings
    http: HttpLimits
    config: dict[str, Any]
    info: dict[str, Any]
    policy_file: str


def nsqd_settings(options: NsqdOptions) -> NsqdSettings:
    """All parts' settings."""
    return NsqdSettings(
        node_id=options.id,
        drain_at_sigterm=options.sigterm == "drain",
        plain_http_refused=options.tls_required is TLSRequired.YES,
        listen=ListenSettings(
            tcp=options.tcp_address,
            http=options.http_address,
            https=options.https_address if options.tls_cert else "",
            shared_tcp=options.shared_tcp_address,
            shared_http=options.shared_http_address,
        ),
        advertised=AdvertisedSettings(
            address=options.broadcast_address,
            tcp_port=options.broadcast_tcp_port,
            http_port=options.broadcast_http_port,
            external=parse_external(options.external_address),
            region=options.topology_region,
            zone=options.topology_zone,
        ),
        tls=TlsSettings(
            certificate=options.tls_cert,
            key=options.tls_key,
            client_auth_policy=options.tls_client_auth_policy,
            authorities=options.tls_root_ca_file,
            min_version=options.tls_min_version,
        ),
        store=store_settings(options),
        durability=durability_settings(options),
        min_free_bytes=options.min_free_bytes,
        engine=engine_settings(options),
        latency=latency(options),
        client=client_settings(options),
        auth=auth_settings(options),
        doors=door_settings(options),
        lookup=LookupSettings(
            addresses=options.nsqlookupd_tcp_addresses,
            connect_timeout=options.http_client_connect_timeout,
            request_timeout=options.http_client_request_timeout,
            token_file=options.lookupd_token_file,
            tls=LookupTlsSettings(
                authorities=options.lookupd_tls_root_ca_file,
                certificate=options.lookupd_tls_cert,
                key=options.lookupd_tls_key,
            ),
        ),
        statsd=statsd_settings(options),
        http=HttpLimits(
            max_msg_size=options.max_msg_size,
            max_body_size=options.max_body_size,
            max_defer=ns(_max_defer(options)),
        ),
        config=config_values(options, "nsqd"),
        info=info(options),
        policy_file=options.policy_file,
    )


def store_settings(options: NsqdOptions) -> StoreSettings:
    """The disk queues' part of the options."""
    return StoreSettings(
        path=options.data_path or os.getcwd(),
        max_bytes_per_file=options.max_bytes_per_file,
        max_record_size=options.max_msg_size + HEADER_SIZE,
        sync_every=options.sync_every,
        sync_timeout=options.sync_timeout,
    )


def durability_settings(options: NsqdOptions) -> DurabilitySettings:
    """The durable topics' part of the options."""
    largest = options.max_msg_size + _ROUND_A_MESSAGE
    return DurabilitySettings(
        default=options.durability,
        interval=options.durability_interval,
        journal_file_size=max(options.journal_file_size, largest),
        on_network_file_system=options.allow_network_file_system,
    )


def latency(options: NsqdOptions) -> partial[LatencyWindow] | None:
    """What makes the window of a channel's latencies; None if they are not tracked."""
    quantiles = options.e2e_processing_latency_percentiles
    if not quantiles:
        return None
    return partial(LatencyWindow, quantiles, ns(options.e2e_processing_latency_window_time))


def info(options: NsqdOptions) -> dict[str, Any]:
    """What /info tells of the options. Durations are ns."""
    return {
        "max_heartbeat_interval": ns(options.max_heartbeat_interval),
        "max_output_buffer_size": options.max_output_buffer_size,
        "max_output_buffer_timeout": ns(options.max_output_buffer_timeout),
        "max_deflate_level": options.max_deflate_level,
        "topology_zone": options.topology_zone,
        "topology_region": options.topology_region,
    }


def engine_settings(options: NsqdOptions) -> EngineSettings:
    """The engine's part of the options."""
    return EngineSettings(
        node_id=options.id,
        rules=Rules(
            mem_queue_size=options.mem_queue_size,
            max_channel_consumers=options.max_channel_consumers,
            durability=options.durability,
            topology_aware=TOPOLOGY_AWARE_CONSUMPTION in options.enable_experiment,
        ),
    )


def client_settings(options: NsqdOptions) -> ClientSettings:
    """The V2 sessions' part of the options."""
    limits = Limits(
        max_heartbeat_interval=_ms(options.max_heartbeat_interval),
        max_output_buffer_size=options.max_output_buffer_size,
        min_output_buffer_timeout=_ms(options.min_output_buffer_timeout),
        max_output_buffer_timeout=_ms(options.max_output_buffer_timeout),
        output_buffer_timeout=_ms(options.output_buffer_timeout),
        msg_timeout=_ms(options.msg_timeout),
        max_msg_timeout=_ms(options.max_msg_timeout),
        max_rdy_count=options.max_rdy_count,
        tls=bool(options.tls_cert),
        deflate=options.deflate,
        max_deflate_level=options.max_deflate_level,
        snappy=options.snappy,
        auth_required=bool(options.auth_http_addresses or options.auth_acl_file),
        topology_region=options.topology_region,
        topology_zone=options.topology_zone,
        version=VERSION,
    )
    return ClientSettings(
        limits=limits,
        max_msg_size=options.max_msg_size,
        max_body_size=options.max_body_size,
        max_req_timeout=_ms(options.max_req_timeout) * MS,
        max_defer_timeout=_ms(_max_defer(options)) * MS,
        max_msg_timeout=_ms(options.max_msg_timeout) * MS,
        tls_required=options.tls_required is not TLSRequired.NO,
    )


def auth_settings(options: NsqdOptions) -> AuthSettings:
    """What is needed to ask the auth servers."""
    return AuthSettings(
        addresses=options.auth_http_addresses,
        method=options.auth_http_request_method,
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
        root_ca_file=options.tls_root_ca_file,
        acl_file=options.auth_acl_file,
    )


def door_settings(options: NsqdOptions) -> DoorSettings:
    """Who is let in over HTTP."""
    return DoorSettings(
        auth_file=options.auth_file,
        required=options.http_auth_required,
        open_metrics=options.open_metrics,
        hosts=named_hosts(options.allowed_hosts, options.broadcast_address),
    )


def statsd_settings(options: NsqdOptions) -> StatsdSettings:
    """What is needed to push to statsd."""
    return StatsdSettings(
        address=options.statsd_address,
        prefix=options.statsd_prefix,
        interval=options.statsd_interval,
        packet_size=options.statsd_udp_packet_size,
        exclude_ephemeral=options.statsd_exclude_ephemeral,
        memory=options.statsd_mem_stats,
    )


def _max_defer(options: NsqdOptions) -> float:
    return options.max_defer_timeout or options.max_req_timeout


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
