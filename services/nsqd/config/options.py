"""The settings of one nsqd: the only place that names them.

Every flag and key of the original is here, the deprecated ones included, and a few of our own.
Flags, keys, variables, help and the configuration reference are derived from it
(`nsqcore.app.config.options`).
"""

import socket

from nsqcore.app.config.credentials import token_file_option
from nsqcore.app.config.files import existing_file
from nsqcore.app.config.options import OptionsError, option
from nsqcore.app.config.values import (
    TLS_VERSIONS,
    above,
    at_least,
    between,
    choice,
    host,
    http_server,
    integer,
    listening_address,
    parse_tls_version,
)
from nsqcore.app.log import format_option, level_option, prefix_option
from nsqcore.classes import frozen
from nsqcore.operations.doors import (
    allowed_hosts_option,
    auth_file_option,
    open_metrics_option,
)
from nsqd.config.option_values import (
    MAX_JOURNAL_FILE,
    MIN_JOURNAL_FILE,
    TOPOLOGY_AWARE_CONSUMPTION,
    TLSRequired,
    check_experiment,
    check_external,
    check_lookupd_address,
    check_node_id,
    check_percentile,
    check_request_method,
    check_shared_address,
    check_statsd_address,
    default_node_id,
    descending,
    parse_percentiles,
    parse_tls_required,
    tcp_listening_address,
)


# Nobody compares or prints options; so many fields make that slow to prepare.
@frozen(kw_only=True, eq=False, repr=False)
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
        check=check_node_id,
        shown="hash of the host name",
    )
    worker_id: bool = option(False, "has no effect, use --node-id", deprecated=True)

    tcp_address: str = option(
        "0.0.0.0:4150",
        "address to listen on for TCP clients (<addr>:<port>, or path of a Unix socket)",
        check=tcp_listening_address,
    )
    http_address: str = option(
        "0.0.0.0:4151",
        "address to listen on for HTTP clients (<addr>:<port>, or path of a Unix socket);"
        " empty for none",
        check=listening_address,
    )
    https_address: str = option(
        "0.0.0.0:4152",
        "address to listen on for HTTPS clients, if there is a certificate; empty for none",
        check=listening_address,
    )
    shared_tcp_address: str = option(
        "",
        "<addr>:<port> for publishers on which every nsqd of this host and user that is given it"
        " listens, besides its own; the system spreads connections over them; empty for none",
        check=check_shared_address,
    )
    shared_http_address: str = option(
        "",
        "<addr>:<port> for /pub and /mpub, shared like --shared-tcp-address; empty for none",
        check=check_shared_address,
    )
    auth_http_addresses: tuple[str, ...] = option(
        (),
        "<addr>:<port> or full URL of an auth server (repeatable)",
        flag="auth-http-address",
        many=True,
        check=http_server,
    )
    auth_http_request_method: str = option(
        "get", "HTTP method for requests to auth servers: get or post", check=check_request_method
    )
    auth_acl_file: str = option(
        "",
        "JSON file of what clients may publish and subscribe to, before or instead of auth"
        " servers; read again at SIGHUP",
    )
    auth_file: str = auth_file_option()
    http_auth_required: bool = option(
        False,
        "refuse HTTP requests without a credential; implied by --auth-file; without a file auth"
        " servers and --auth-acl-file say what a bearer token may do",
    )
    open_metrics: bool = open_metrics_option()
    allowed_hosts: tuple[str, ...] = allowed_hosts_option()
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
    external_address: str = option(
        "",
        "<addr>:<TCP port>[:<HTTP port>] of this nsqd for consumers outside its network, who ask"
        " at nsqlookupd's --external-http-address",
        check=check_external,
    )
    nsqlookupd_tcp_addresses: tuple[str, ...] = option(
        (),
        "TCP address of an nsqlookupd to register with (repeatable); tls://<addr>:<port> for TLS",
        flag="lookupd-tcp-address",
        many=True,
        check=check_lookupd_address,
    )
    lookupd_tls_root_ca_file: str = option(
        "",
        "authorities that vouch for nsqlookupds with TLS; the system's if empty",
        check=existing_file,
    )
    lookupd_tls_cert: str = option(
        "", "certificate to show to nsqlookupds with TLS", check=existing_file
    )
    lookupd_tls_key: str = option("", "key of --lookupd-tls-cert", check=existing_file)
    lookupd_token_file: str = token_file_option("nsqlookupd's HTTP")
    http_client_connect_timeout: float = option(
        2.0, "time for connecting to auth servers and to nsqlookupd's HTTP", check=above(0)
    )
    http_client_request_timeout: float = option(
        5.0, "time for a request to auth servers and to nsqlookupd's HTTP", check=above(0)
    )
    topology_region: str = option(
        "", "region of this nsqd: one or more zones, for preferring close consumers")  # fmt: skip
    topology_zone: str = option(
        "", "zone of this nsqd: what fails together, for preferring close consumers")  # fmt: skip

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
    journal_file_size: int = option(
        64 * 1024 * 1024,
        "size of the files of durable topics' journal; never less than the largest message needs",
        check=between(MIN_JOURNAL_FILE, MAX_JOURNAL_FILE),
    )
    allow_network_file_system: bool = option(
        False,
        "let topics be durable (interval, always) though the data path is on NFS or the like,"
        " which may lose what was synced",
    )
    min_free_bytes: int = option(
        0,
        "refuse publishes while the data path's file system has fewer bytes free; 0 for no limit",
        check=at_least(0),
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
        3600.0, "longest delay of a requeued message", check=at_least(0)
    )
    max_defer_timeout: float = option(
        0.0,
        "longest delay of a message that is published deferred; --max-req-timeout if 0",
        check=at_least(0),
        shown="--max-req-timeout",
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
        "", "UDP <addr>:<port> of a statsd daemon to push stats to", check=check_statsd_address
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
        check=check_percentile,
        many=True,
        converter=descending,
    )
    e2e_processing_latency_window_time: float = option(
        600.0, "time that the latency percentiles look back", check=above(0)
    )

    tls_cert: str = option("", "path of the certificate file")
    tls_key: str = option("", "path of the key file")
    tls_client_auth_policy: str = option(
        "",
        "client certificates: require (any) or require-verify, which imply --tls-required, or"
        " verify-if-given, which lets in who has none",
        parse=choice("", "require", "require-verify", "verify-if-given"),
    )
    tls_root_ca_file: str = option(
        "",
        "path of the certificate authority's file, for client certificates",
        check=existing_file,
    )
    tls_required: TLSRequired = option(
        TLSRequired.NO,
        "refuse clients without TLS: true, false, or tcp-https (plain HTTP is let in)",
        parse=parse_tls_required,
        type="true|false|tcp-https",
        bare="true",
        shown="false",
    )
    tls_min_version: int = option(
        TLS_VERSIONS["tls1.0"],
        "lowest TLS version accepted: ssl3.0, tls1.0, tls1.1, tls1.2 or tls1.3",
        parse=parse_tls_version,
        type="|".join(TLS_VERSIONS),
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
        check=check_experiment,
    )

    def __attrs_post_init__(self) -> None:
        authorities = self.auth_file or self.auth_acl_file or self.auth_http_addresses
        if self.http_auth_required and not authorities:
            raise OptionsError(
                "--http-auth-required needs --auth-file, --auth-acl-file or --auth-http-address:"
                " nobody could be let in"
            )
        insists = self.tls_client_auth_policy not in ("", "verify-if-given")
        if insists and self.tls_required is TLSRequired.NO:
            object.__setattr__(self, "tls_required", TLSRequired.YES)
        if bool(self.lookupd_tls_cert) != bool(self.lookupd_tls_key):
            raise OptionsError("--lookupd-tls-cert and --lookupd-tls-key need each other")
        if self.tls_client_auth_policy and not insists and not self.tls_cert:
            raise OptionsError("--tls-client-auth-policy needs --tls-cert and --tls-key")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise OptionsError("--tls-cert and --tls-key need each other")
        if self.tls_required and not self.tls_cert:
            raise OptionsError(
                "cannot require TLS client connections without TLS key and cert"
                " (--tls-required needs --tls-cert and --tls-key)"
            )
