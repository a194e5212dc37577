"""The settings of one nsqlookupd: the only place that names them."""

import socket

from nsqcore.app.config.files import existing_file
from nsqcore.app.config.options import OptionsError, option
from nsqcore.app.config.values import (
    TLS_VERSIONS,
    above,
    address,
    at_least,
    choice,
    host,
    parse_tls_version,
)
from nsqcore.app.log import format_option, level_option, prefix_option
from nsqcore.classes import frozen
from nsqcore.operations.doors import (
    allowed_hosts_option,
    auth_file_option,
    open_metrics_option,
)


def _address_or_none(value: str) -> None:
    if value:
        address(value)


@frozen(kw_only=True)
class NsqlookupdOptions:
    """Settings of one nsqlookupd. Durations are seconds."""

    config: str = option("", "path to config file")
    log_level: str = level_option()
    log_prefix: str = prefix_option("nsqlookupd")
    log_format: str = format_option()
    verbose: bool = option(False, "has no effect, use --log-level", deprecated=True)

    tcp_address: str = option(
        "0.0.0.0:4160",
        "<addr>:<port> to listen on for nsqd; any free port if empty",
        check=_address_or_none,
    )
    http_address: str = option(
        "0.0.0.0:4161",
        "<addr>:<port> to listen on for HTTP clients; any free port if empty",
        check=_address_or_none,
    )
    external_http_address: str = option(
        "",
        "<addr>:<port> on which consumers outside the network are told of each nsqd's"
        " --external-address; HTTPS with --tls-required; none if empty",
        check=_address_or_none,
    )
    broadcast_address: str = option(
        socket.gethostname,
        "address of this nsqlookupd, told to nsqd",
        shown="the host name",
        check=host,
    )

    tls_cert: str = option("", "path of the certificate file")
    tls_key: str = option("", "path of the key file")
    tls_tcp_address: str = option(
        "0.0.0.0:4162",
        "<addr>:<port> to listen on for nsqd with TLS, if there is a certificate; empty for none",
        check=_address_or_none,
    )
    https_address: str = option(
        "0.0.0.0:4163",
        "<addr>:<port> to listen on for HTTPS, if there is a certificate; empty for none",
        check=_address_or_none,
    )
    tls_client_auth_policy: str = option(
        "",
        "client certificates over TLS: require-verify, of nsqds as over HTTPS, or verify-if-given:"
        " over HTTPS who has none is let in, nsqds need one",
        parse=choice("", "require-verify", "verify-if-given"),
    )
    tls_root_ca_file: str = option(
        "",
        "path of the certificate authority's file, for client certificates",
        check=existing_file,
    )
    tls_min_version: int = option(
        TLS_VERSIONS["tls1.2"],
        "lowest TLS version accepted: tls1.0, tls1.1, tls1.2 or tls1.3",
        parse=parse_tls_version,
        type="|".join(TLS_VERSIONS),
        shown="tls1.2",
    )
    tls_required: bool = option(
        False, "do not listen for nsqd without TLS, and refuse plain HTTP, probes excepted"
    )

    auth_file: str = auth_file_option()
    open_metrics: bool = open_metrics_option()
    allowed_hosts: tuple[str, ...] = allowed_hosts_option()

    inactive_producer_timeout: float = option(
        300.0,
        "time after its last ping for which an nsqd is still told of",
        check=above(0),
    )
    inactive_topic_timeout: float = option(
        0.0,
        "time after which a topic that no nsqd has is forgotten, with its channels; 0 for never",
        check=at_least(0),
    )
    tombstone_lifetime: float = option(
        45.0,
        "time for which a tombstoned nsqd is not told of, if it stays registered",
        check=at_least(0),
    )

    @property
    def reads_again(self) -> bool:
        """Whether there are files that SIGHUP has read again; with none it ends nsqlookupd."""
        return bool(self.tls_cert or self.auth_file)

    def __attrs_post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise OptionsError("--tls-cert and --tls-key need each other")
        if (self.tls_required or self.tls_client_auth_policy) and not self.tls_cert:
            raise OptionsError(
                "--tls-required and --tls-client-auth-policy need --tls-cert and --tls-key"
            )
