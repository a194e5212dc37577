"""What each part of nsqd is to know of its options, in that part's units."""

from nsqcore.app.version import VERSION
from nsqcore.metrics.statsd import expand_prefix, host_key
from nsqcore.net.tls import ServerTls, check_authorities
from nsqcore.units import MS
from nsqcore.wire.identify import Limits
from nsqd.client.auth import AuthSettings
from nsqd.client.client import ClientSettings
from nsqd.engine.broker import EngineSettings
from nsqd.options import TOPOLOGY_AWARE_CONSUMPTION, NsqdOptions, TLSRequired
from nsqd.statsd import StatsdSettings


def engine_settings(options: NsqdOptions) -> EngineSettings:
    """The engine's part of the options."""
    return EngineSettings(
        mem_queue_size=options.mem_queue_size,
        node_id=options.id,
        max_channel_consumers=options.max_channel_consumers,
        topology_aware=TOPOLOGY_AWARE_CONSUMPTION in options.enable_experiment,
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
        auth_required=bool(options.auth_http_addresses),
        topology_region=options.topology_region,
        topology_zone=options.topology_zone,
        version=VERSION,
    )
    return ClientSettings(
        limits=limits,
        max_msg_size=options.max_msg_size,
        max_body_size=options.max_body_size,
        max_req_timeout=_ms(options.max_req_timeout) * MS,
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
    )


def statsd_settings(options: NsqdOptions, host: str, http_port: int) -> StatsdSettings:
    """What is needed to push to statsd, for an nsqd that others know as ``host``."""
    return StatsdSettings(
        address=options.statsd_address,
        prefix=expand_prefix(options.statsd_prefix, host_key(host, http_port)),
        interval=options.statsd_interval,
        packet_size=options.statsd_udp_packet_size,
        exclude_ephemeral=options.statsd_exclude_ephemeral,
    )


def server_tls(options: NsqdOptions) -> ServerTls | None:
    """TLS as configured, its files read; None without a certificate. Raises TlsError."""
    if options.tls_root_ca_file:
        # Auth servers are judged by it, whether or not there is a certificate of our own.
        check_authorities(options.tls_root_ca_file)
    if not options.tls_cert:
        return None
    tls = ServerTls(
        options.tls_cert,
        options.tls_key,
        options.tls_client_auth_policy,
        options.tls_root_ca_file,
        options.tls_min_version,
    )
    tls.load()
    return tls


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
