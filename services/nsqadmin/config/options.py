"""The settings of nsqadmin: one field per flag, config key and environment variable.

The names and defaults of the original's are kept; what is ours stands at the end. Durations are
seconds.
"""

import ipaddress
import posixpath
import re
from collections.abc import Sequence

from nsqcore.app.config.credentials import token_file_option
from nsqcore.app.config.files import existing_file, existing_folder
from nsqcore.app.config.options import OptionsError, option
from nsqcore.app.config.values import above, address, at_least, between, host, http_url, web_address
from nsqcore.app.log import format_option, level_option, prefix_option
from nsqcore.classes import frozen

# RFC 9110, section 5.6.2.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def normal_base_path(value: str) -> str:
    """``value`` with a leading and without a trailing slash; ``/`` for the root."""
    return posixpath.normpath("/" + value.strip("/"))


def parse_network(value: str) -> Network:
    """An address or CIDR as a network; bits behind the prefix do not matter (``127.0.0.1/8``)."""
    return ipaddress.ip_network(value, strict=False)


def _is_network(value: str) -> None:
    if value:
        parse_network(value)


def _is_proxy(value: str) -> None:
    parse_network(value)


def _url_or_none(value: str) -> None:
    if value:
        http_url(value)


def _not_empty(value: str) -> None:
    if not value.strip():
        raise ValueError("must not be empty")


def _is_header(value: str) -> None:
    if not _HEADER.fullmatch(value):
        raise ValueError("must be the name of a HTTP header")


@frozen(kw_only=True)
class NsqadminOptions:
    """Settings of one nsqadmin. Durations are seconds."""

    config: str = option("", "path to config file")
    log_level: str = level_option()
    log_prefix: str = prefix_option("nsqadmin")
    log_format: str = format_option()
    verbose: bool = option(False, "has no effect, use --log-level", deprecated=True)

    http_address: str = option(
        "0.0.0.0:4171", "<addr>:<port> to listen on for HTTP clients", check=address
    )
    base_path: str = option("/", "URL base path", converter=normal_base_path)
    dev_static_dir: str = option(
        "", "directory to serve /static from (development use only)", check=existing_folder
    )

    graphite_url: str = option("", "graphite HTTP address", check=_url_or_none)
    proxy_graphite: bool = option(False, "proxy HTTP requests to graphite")
    statsd_counter_format: str = option(
        "stats.counters.%s.count", "how statsd names the keys of counters; empty: as they come"
    )
    statsd_gauge_format: str = option(
        "stats.gauges.%s", "how statsd names the keys of gauges; empty: as they come"
    )
    statsd_prefix: str = option(
        "nsq.%s", "prefix of the keys sent to statsd (%s is the host; as nsqd is configured)"
    )
    statsd_interval: float = option(
        60.0,
        "time between two pushes of nsqd to statsd (as nsqd is configured)",
        check=above(0),
    )

    notification_http_endpoint: str = option(
        "", "URL that gets a POST for every admin action (fully qualified)", check=_url_or_none
    )
    http_client_connect_timeout: float = option(2.0, "timeout for HTTP connect", check=at_least(0))
    http_client_request_timeout: float = option(5.0, "timeout for HTTP request", check=at_least(0))
    http_client_tls_insecure_skip_verify: bool = option(
        False, "do not verify the certificates of nsqd and nsqlookupd"
    )
    http_client_tls_root_ca_file: str = option(
        "", "CA file for the HTTP client", check=existing_file
    )
    http_client_tls_cert: str = option(
        "", "certificate file for the HTTP client", check=existing_file
    )
    http_client_tls_key: str = option("", "key file for the HTTP client", check=existing_file)
    http_client_token_file: str = token_file_option("nsqd and nsqlookupd")

    allow_config_from_cidr: str = option(
        "127.0.0.1/8",
        "CIDR from which /config may be used; empty: from anywhere",
        check=_is_network,
    )
    acl_http_header: str = option(
        "X-Forwarded-User", "HTTP header that names the authenticated user", check=_is_header
    )
    nsqlookupd_http_addresses: tuple[str, ...] = option(
        (), "lookupd HTTP address, perhaps with https:// (repeatable)", flag="lookupd-http-address",
        many=True, check=web_address,
    )  # fmt: skip
    nsqd_http_addresses: tuple[str, ...] = option(
        (), "nsqd HTTP address (repeatable)", flag="nsqd-http-address", many=True, check=address
    )
    admin_users: tuple[str, ...] = option(
        (), "user, as --acl-http-header names it, who may do privileged actions; nobody else may"
        " (repeatable)", flag="admin-user", many=True, check=_not_empty,
    )  # fmt: skip

    trusted_proxies: tuple[str, ...] = option(
        (), "address or CIDR of a proxy whose --acl-http-header and X-Forwarded-* headers are"
        " believed, and nobody else's; without it the ACL header is believed from anyone"
        " (repeatable)", flag="trusted-proxy", many=True, check=_is_proxy,
    )  # fmt: skip
    allowed_hosts: tuple[str, ...] = option(
        (), "name by which browsers reach this nsqadmin; once there is one, a request for any other"
        " name is refused, addresses and localhost apart (repeatable)", flag="allowed-host",
        many=True, check=host,
    )  # fmt: skip
    auth_file: str = option(
        "",
        "file of users with roles and hashed passwords; everybody has to log in",
        check=existing_file,
    )
    oidc_issuer: str = option(
        "",
        "URL of an OpenID Connect provider; everybody has to log in there, or with --auth-file",
        check=_url_or_none,
    )
    oidc_client_id: str = option("", "what the OpenID Connect provider calls this nsqadmin")
    oidc_client_secret_file: str = option(
        "",
        "file with the secret for the OpenID Connect provider, in its first line",
        check=existing_file,
    )
    oidc_redirect_url: str = option(
        "", "where the OpenID Connect provider leads back to: .../login/oidc/callback, as it is"
        " registered there; by default as the browser names this nsqadmin", check=_url_or_none,
    )  # fmt: skip
    oidc_tls_root_ca_file: str = option(
        "",
        "CA file for the OpenID Connect provider; by default the system's authorities",
        check=existing_file,
    )
    oidc_logout: bool = option(
        True, "log out at the OpenID Connect provider, too, where it offers that"
    )
    oidc_scopes: str = option("openid profile", "scopes asked of the OpenID Connect provider")
    oidc_user_claim: str = option(
        "preferred_username", "claim of the ID token that names the user; without it sub does"
    )
    oidc_groups_claim: str = option("groups", "claim of the ID token that has the user's groups")
    oidc_roles: tuple[str, ...] = option(
        (), "group=role[:topics] of the OpenID Connect provider: ops=operator:orders*; who is in no"
        " such group may do nothing (repeatable)", flag="oidc-role", many=True,
    )  # fmt: skip
    audit_file: str = option(
        "",
        "file that gets a line of JSON for every action, login and refusal; SIGHUP reopens it",
    )
    session_lifetime: float = option(12 * 3600.0, "time after which a login ends", check=above(0))
    collect_interval: float = option(
        1.0, "time between two looks at the cluster while somebody is watching",
        check=between(0.2, 60),
    )  # fmt: skip
    idle_interval: float = option(
        10.0, "time between two looks at the cluster while nobody is watching",
        check=between(0.2, 60),
    )  # fmt: skip
    hash_password: bool = option(
        False, "ask for a password, print its hash for --auth-file, and exit"
    )

    @property
    def trusted_networks(self) -> Sequence[Network]:
        """The networks of ``trusted_proxies``."""
        return [parse_network(value) for value in self.trusted_proxies]

    @property
    def reads_again(self) -> bool:
        """Whether there are files that SIGHUP has read or opened again.

        With none it ends nsqadmin, as it ends the original: a terminal has gone.
        """
        return bool(
            self.audit_file
            or self.http_client_tls_root_ca_file
            or self.http_client_tls_cert
            or self.oidc_tls_root_ca_file
        )


def check(options: NsqadminOptions) -> None:
    """Refuse settings that contradict each other.

    Raises:
        OptionsError: with a text for the operator.
    """
    if not options.nsqd_http_addresses and not options.nsqlookupd_http_addresses:
        raise OptionsError("--nsqd-http-address or --lookupd-http-address required")
    if options.nsqd_http_addresses and options.nsqlookupd_http_addresses:
        raise OptionsError("use --nsqd-http-address or --lookupd-http-address not both")
    cert, key = options.http_client_tls_cert, options.http_client_tls_key
    if cert and not key:
        raise OptionsError("--http-client-tls-key must be specified with --http-client-tls-cert")
    if key and not cert:
        raise OptionsError("--http-client-tls-cert must be specified with --http-client-tls-key")
    if options.oidc_issuer and not (options.oidc_client_id and options.oidc_roles):
        raise OptionsError("--oidc-issuer needs --oidc-client-id and --oidc-role")
