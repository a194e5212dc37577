"""The settings of one nsqd: the only place that names them.

Every flag and key of the original is here, the deprecated ones included, and a few of our own.
Flags, keys, variables, help and the configuration reference are derived (`nsqcore.app.options`).
"""

import binascii
import enum
import hashlib
import socket

import attrs

from nsqcore.addresses import AddressError, parse_host_port, split_host_port
from nsqcore.app.log import format_option, level_option, prefix_option
from nsqcore.app.options import OptionsError, option
from nsqcore.app.values import (
    above,
    at_least,
    between,
    boolean,
    choice,
    host,
    integer,
    numbers,
    text,
)

TOPOLOGY_AWARE_CONSUMPTION = "topology-aware-consumption"

# Message ids of the original carry the node id in ten bits.
MAX_NODE_ID = 1023

# The numbers by which TLS itself, and GET /config/tls_min_version, name the versions.
_TLS_VERSIONS = {
    "ssl3.0": 0x300,
    "tls1.0": 0x301,
    "tls1.1": 0x302,
    "tls1.2": 0x303,
    "tls1.3": 0x304,
}


class TLSRequired(enum.IntEnum):
    """Which plain connections are refused; the numbers are those of GET /config/tls_required."""

    NO = 0
    EXCEPT_HTTP = 1
    YES = 2


def parse_tls_required(value: object) -> TLSRequired:
    """``true``, ``false`` or ``tcp-https``."""
    word = text(value).lower()
    if word == "tcp-https":
        return TLSRequired.EXCEPT_HTTP
    try:
        return TLSRequired.YES if boolean(word) else TLSRequired.NO
    except ValueError:
        raise ValueError("expected true, false or tcp-https") from None


def parse_tls_version(value: object) -> int:
    """A TLS version's number, from a name such as ``tls1.2``; 0x301 for the empty text."""
    word = text(value).lower()
    if not word:
        return _TLS_VERSIONS["tls1.0"]
    if word not in _TLS_VERSIONS:
        raise ValueError(f"expected one of {', '.join(_TLS_VERSIONS)}")
    return _TLS_VERSIONS[word]


def parse_percentiles(value: object) -> list[float]:
    """Numbers separated by commas; as in the original others end with 1, also in a flag."""
    try:
        return numbers(value)
    except ValueError as error:
        raise OptionsError(
            f"Could not parse: {value} (--e2e-processing-latency-percentile: {error})"
        ) from error


def default_node_id() -> int:
    """A number below 1024 made from the host name, the same one as the original makes."""
    digest = hashlib.md5(socket.gethostname().encode(), usedforsecurity=False).digest()
    return binascii.crc32(digest) % (MAX_NODE_ID + 1)


def _node_id(value: int) -> None:
    if not 0 <= value <= MAX_NODE_ID:
        raise ValueError(f"must be [0,{MAX_NODE_ID + 1})")


def _percentile(value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError("must be greater than 0 and at most 1")


def _request_method(value: str) -> None:
    if value not in ("get", "post"):
        raise ValueError("must be post or get")


def _experiment(name: str) -> None:
    if name != TOPOLOGY_AWARE_CONSUMPTION:
        raise ValueError(f"must be {TOPOLOGY_AWARE_CONSUMPTION}")


def _lookupd_address(address: str) -> None:
    try:
        parse_host_port(address)
    except AddressError as error:
        raise ValueError(f"must be <addr>:<port>: {error}") from error


def _statsd_address(address: str) -> None:
    if not address:
        return
    try:
        _, port = split_host_port(address)
    except AddressError as error:
        raise ValueError(f"must be <addr>:<port>: {error}") from error
    if not port:
        raise ValueError("must be <addr>:<port>: the port is missing")
    if port.isdecimal() and not 0 < int(port[:6]) < 65536:
        raise ValueError(f"must be <addr>:<port>: address {address}: invalid port")


def _descending(values: list[float]) -> tuple[float, ...]:
    return tuple(sorted(values, reverse=True))


@attrs.frozen(kw_only=True)
class NsqdOptions:
    """Settings of one nsqd. Durations are seconds, sizes are bytes."""

    config: str = option("", "path to config file")
    log_level: str = level_option()
    log_prefix: str = prefix_option("nsqd")
    log_format: str = format_option()
    verbose: bool = option(False, "has no effect, use --log-level", deprecated=True)
    sigterm: str = option(
        "stop",
        "what the first SIGTERM does: stop at once, or drain (consumers empty the queues) first",
        parse=choice("stop", "drain"),
    )

    processes: int = option(
        1,
        "how many nsqd to run, each with ports and a data directory of its own: 100 ports on from"
        " the one before, in nsqd-1, nsqd-2 … inside the data path",
        check=between(1, 64),
    )
    id: int = option(
        default_node_id,
        "unique part for message IDs, in range [0,1024)",
        flag="node-id",
        parse=integer,
        check=_node_id,
        shown="hash of the host name",
    )
    worker_id: bool = option(False, "has no effect, use --node-id", deprecated=True)

    tcp_address: str = option(
        "0.0.0.0:4150",
        "address to listen on for TCP clients (<addr>:<port>, or path of a Unix socket)",
    )
    http_address: str = option(
        "0.0.0.0:4151",
        "address to listen on for HTTP clients (<addr>:<port>, or path of a Unix socket);"
        " empty for none",
    )
    https_address: str = option(
        "0.0.0.0:4152",
        "address to listen on for HTTPS clients, if there is a certificate; empty for none",
    )
    auth_http_addresses: tuple[str, ...] = option(
        (),
        "<addr>:<port> or full URL of an auth server (repeatable)",
        flag="auth-http-address",
        many=True,
    )
    auth_http_request_method: str = option(
        "get", "HTTP method for requests to auth servers: get or post", check=_request_method
    )
    broadcast_address: str = option(
        socket.gethostname,
        "address under which nsqlookupd announces this nsqd;"
        " auto picks one that other hosts can reach",
        shown="the host name",
        check=host,
    )
    broadcast_tcp_port: int = option(
        0, "TCP port that nsqlookupd announces; 0 for the port listened on", check=between(0, 65535)
    )
    broadcast_http_port: int = option(
        0,
        "HTTP port that nsqlookupd announces; 0 for the port listened on",
        check=between(0, 65535),
    )
    nsqlookupd_tcp_addresses: tuple[str, ...] = option(
        (),
        "TCP address of an nsqlookupd to register with (repeatable)",
        flag="lookupd-tcp-address",
        many=True,
        check=_lookupd_address,
    )
    http_client_connect_timeout: float = option(
        2.0, "time for connecting to auth servers and to nsqlookupd's HTTP", check=above(0)
    )
    http_client_request_timeout: float = option(
        5.0, "time for a request to auth servers and to nsqlookupd's HTTP", check=above(0)
    )
    topology_region: str = option(
        "", "region of this nsqd: one or more zones, for preferring close consumers"
    )
    topology_zone: str = option(
        "", "zone of this nsqd: what fails together, for preferring close consumers"
    )

    data_path: str = option(
        "", "directory of the queues and the metadata; the working directory if empty"
    )
    mem_queue_size: int = option(
        10_000, "messages kept in memory per topic and per channel", check=at_least(0)
    )
    max_bytes_per_file: int = option(
        100 * 1024 * 1024,
        "size of a queue file before the next is begun; each message has its own if 0",
        check=at_least(0),
    )
    sync_every: int = option(
        2500, "messages of a queue after which its file is synced to disk", check=at_least(1)
    )
    durability: str = option(
        "none",
        "what OK promises of topics without a policy of their own: none, os (it outlives the"
        " process), interval (on disk within --durability-interval), always (on disk)",
        parse=choice("none", "os", "interval", "always"),
    )
    durability_interval: float = option(
        0.1, "time after which what interval promises is on disk", check=above(0)
    )
    sync_timeout: float = option(
        2.0, "time after which a queue's file is synced to disk", check=above(0)
    )
    queue_scan_worker_pool_max: int = option(
        4,
        "accepted for compatibility; deadlines are exact here and nothing is scanned",
        check=at_least(0),
    )
    queue_scan_selection_count: int = option(
        20,
        "accepted for compatibility; deadlines are exact here and nothing is scanned",
        check=at_least(0),
    )

    msg_timeout: float = option(
        60.0, "time a client may hold a message before it is requeued", check=above(0)
    )
    max_msg_timeout: float = option(
        900.0, "longest time for which a client may hold a message", check=above(0)
    )
    max_msg_size: int = option(1024 * 1024, "largest message in bytes", check=at_least(1))
    max_body_size: int = option(
        5 * 1024 * 1024, "largest body of one command in bytes", check=at_least(1)
    )
    max_req_timeout: float = option(
        3600.0, "longest delay of a requeued or deferred message", check=at_least(0)
    )

    max_heartbeat_interval: float = option(
        60.0, "longest heartbeat interval a client may ask for", check=above(0)
    )
    max_rdy_count: int = option(2500, "largest RDY count of a client", check=at_least(1))
    max_output_buffer_size: int = option(
        64 * 1024, "largest output buffer a client may ask for, in bytes", check=at_least(1)
    )
    max_output_buffer_timeout: float = option(
        30.0, "longest time between flushes a client may ask for", check=at_least(0)
    )
    min_output_buffer_timeout: float = option(
        0.025, "shortest time between flushes a client may ask for", check=at_least(0)
    )
    output_buffer_timeout: float = option(
        0.25, "time between flushes to a client", check=at_least(0)
    )
    max_channel_consumers: int = option(
        0, "most consumers of a channel at this nsqd; 0 for no limit", check=at_least(0)
    )

    policy_file: str = option(
        "", "JSON file of policies, in force beside those set over HTTP; read again at SIGHUP"
    )

    statsd_address: str = option(
        "", "UDP <addr>:<port> of a statsd daemon to push stats to", check=_statsd_address
    )
    statsd_interval: float = option(60.0, "time between two pushes to statsd", check=above(0))
    statsd_mem_stats: bool = option(True, "send memory and GC stats to statsd")
    statsd_prefix: str = option(
        "nsq.%s", "prefix of the keys sent to statsd; %s stands for the host"
    )
    statsd_udp_packet_size: int = option(
        508, "largest statsd packet in bytes", check=between(1, 65507)
    )
    statsd_exclude_ephemeral: bool = option(
        False, "leave ephemeral topics and channels out of statsd"
    )

    e2e_processing_latency_percentiles: tuple[float, ...] = option(
        (),
        "end-to-end latency percentile to track, above 0 and up to 1.0"
        " (repeatable, or separated by commas)",
        flag="e2e-processing-latency-percentile",
        parse=parse_percentiles,
        type="float",
        check=_percentile,
        many=True,
        converter=_descending,
    )
    e2e_processing_latency_window_time: float = option(
        600.0, "time that the latency percentiles look back", check=above(0)
    )

    tls_cert: str = option("", "path of the certificate file")
    tls_key: str = option("", "path of the key file")
    tls_client_auth_policy: str = option(
        "",
        "client certificates: require (any) or require-verify; implies --tls-required",
        parse=choice("", "require", "require-verify"),
    )
    tls_root_ca_file: str = option(
        "", "path of the certificate authority's file, for client certificates"
    )
    tls_required: TLSRequired = option(  # noqa: RUF009 - makes a field
        TLSRequired.NO,
        "refuse clients without TLS: true, false, or tcp-https (plain HTTP is let in)",
        parse=parse_tls_required,
        type="true|false|tcp-https",
        bare="true",
        shown="false",
    )
    tls_min_version: int = option(
        _TLS_VERSIONS["tls1.0"],
        "lowest TLS version accepted: ssl3.0, tls1.0, tls1.1, tls1.2 or tls1.3",
        parse=parse_tls_version,
        type="|".join(_TLS_VERSIONS),
        shown="tls1.0",
    )

    deflate: bool = option(True, "let clients negotiate deflate")
    max_deflate_level: int = option(
        6, "highest deflate level a client may ask for", check=between(1, 9)
    )
    snappy: bool = option(True, "let clients negotiate snappy")

    enable_experiment: tuple[str, ...] = option(
        (),
        f"experimental feature to switch on (repeatable): {TOPOLOGY_AWARE_CONSUMPTION}",
        many=True,
        check=_experiment,
    )

    def __attrs_post_init__(self) -> None:
        if self.tls_client_auth_policy and self.tls_required is TLSRequired.NO:
            object.__setattr__(self, "tls_required", TLSRequired.YES)
        if bool(self.tls_cert) != bool(self.tls_key):
            raise OptionsError("--tls-cert and --tls-key need each other")
        if self.tls_required and not self.tls_cert:
            raise OptionsError(
                "cannot require TLS client connections without TLS key and cert"
                " (--tls-required needs --tls-cert and --tls-key)"
            )
