"""One running nsqadmin: its settings and the parts that requests share.

Made once by the service and handed to everything that answers requests. The settings can be
exchanged at run time (`PUT /config`); who needs them asks here each time.
"""

import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nsqcore.tls
from nsqadmin.auth.accounts import Accounts
from nsqadmin.auth.form_tokens import FormTokens
from nsqadmin.auth.logins import Logins
from nsqadmin.auth.oidc.login import OidcLogin
from nsqadmin.auth.oidc.provider import Provider
from nsqadmin.auth.oidc.roles import parse_group_role
from nsqadmin.auth.sessions import LoginSessions
from nsqadmin.collect.collector import Collector
from nsqadmin.collect.history import History
from nsqadmin.collect.record import record_history
from nsqadmin.collect.snapshot import Snapshot
from nsqadmin.config.options import NsqadminOptions
from nsqadmin.core.notify import Notifier
from nsqcore.app.config.credentials import open_authorities, open_token
from nsqcore.app.config.options import OptionsError
from nsqcore.classes import define, field
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import Upstream
from nsqcore.http.client import HttpClient
from nsqcore.operations.lag import LoopLag

logger = logging.getLogger(__name__)

# Graphite's largest pictures are below 1 MB; raw data for a week of a few series about 5.
_MAX_GRAPHITE_ANSWER = 32 * 1024 * 1024
# Tokens and keys are a few kB.
_MAX_PROVIDER_ANSWER = 1024 * 1024


@define(eq=False, repr=False)
class Admin:
    """The state of this process."""

    options: NsqadminOptions
    upstream: Upstream
    web: HttpClient  # of servers that are no daemons: Graphite
    collector: Collector
    notifier: Notifier
    sessions: LoginSessions
    logins: Logins | None  # with --auth-file
    oidc: OidcLogin | None = None  # with --oidc-issuer
    form_tokens: FormTokens = field(factory=FormTokens)
    lag: LoopLag = field(factory=LoopLag)
    history: History = field(factory=History)
    hostname: str = field(factory=socket.gethostname)

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[None]:
        """Keep connections to other servers meanwhile, and close them then."""
        async with AsyncExitStack() as open:
            await open.enter_async_context(self.upstream)
            await open.enter_async_context(self.web)
            if self.oidc is not None:
                await open.enter_async_context(self.oidc.provider.http)
            yield

    def read_certificates(self) -> None:
        """Read the TLS files again, for connections from now on; keep those in use if not all can.

        Daemons and the OpenID Connect provider are asked with what is in them.
        """
        try:
            daemons, provider = client_tls(self.options), _provider_tls(self.options)
        except OptionsError as error:
            logger.error("TLS: keeping the certificates in use - %s", error)
            return
        self.upstream.http.tls = daemons
        if self.oidc is not None:
            self.oidc.provider.use_tls(provider)
        logger.info("TLS: certificates read again")

    @property
    def cluster(self) -> Cluster:
        """The cluster that the settings name at this moment."""
        return cluster_of(self.options, self.upstream)

    @property
    def accounts(self) -> Accounts | None:
        """The accounts of ``--auth-file``."""
        return self.logins.accounts if self.logins else None

    @property
    def asks_login(self) -> bool:
        """Whether everybody has to log in."""
        return self.logins is not None or self.oidc is not None

    def on_round(self, snapshot: Snapshot) -> None:
        """Put what the collector has just seen into the history."""
        record_history(self.history, snapshot)

    @staticmethod
    def now() -> int:
        """Nanoseconds of the monotonic clock."""
        return time.monotonic_ns()

    @staticmethod
    def wall() -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()


def cluster_of(options: NsqadminOptions, upstream: Upstream) -> Cluster:
    """The cluster that ``options`` name."""
    return Cluster(upstream, options.nsqlookupd_http_addresses, options.nsqd_http_addresses)


def make_admin(options: NsqadminOptions) -> Admin:
    """An nsqadmin with these settings, not running yet.

    Raises:
        OptionsError: a file they name cannot be used.
    """
    upstream = Upstream(
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
        tls=client_tls(options),
        token=open_token(options.http_client_token_file, "http-client-token-file"),
    )
    accounts = None
    if options.auth_file:
        accounts = Accounts(Path(options.auth_file))
        try:
            accounts.load()
        except (OSError, ValueError) as error:
            raise OptionsError(f"failed to read --auth-file: {error}") from error

    def cluster() -> Cluster:
        return cluster_of(admin.options, upstream)

    web = HttpClient(
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
        max_answer=_MAX_GRAPHITE_ANSWER,
    )
    idle = max(options.idle_interval, options.collect_interval)
    admin = Admin(
        options=options,
        upstream=upstream,
        web=web,
        collector=Collector(
            cluster=cluster,
            monotonic=time.monotonic_ns,
            wall=time.time_ns,
            live=options.collect_interval,
            idle=idle,
        ),
        notifier=Notifier(options.notification_http_endpoint),
        sessions=LoginSessions(options.session_lifetime),
        logins=Logins(accounts, time.monotonic_ns) if accounts else None,
        oidc=_make_oidc(options),
        history=History(patience=2.5 * idle),
    )
    return admin


def _make_oidc(options: NsqadminOptions) -> OidcLogin | None:
    """Raises OptionsError."""
    if not options.oidc_issuer:
        return None
    secret = open_token(options.oidc_client_secret_file, "oidc-client-secret-file")
    try:
        roles = [parse_group_role(value) for value in options.oidc_roles]
    except ValueError as error:
        raise OptionsError(f"--oidc-role: {error}") from None
    provider = Provider(
        issuer=options.oidc_issuer,
        client_id=options.oidc_client_id,
        secret=secret or (lambda: ""),
        http=HttpClient(
            connect_timeout=options.http_client_connect_timeout,
            request_timeout=options.http_client_request_timeout,
            max_answer=_MAX_PROVIDER_ANSWER,
            tls=_provider_tls(options),
        ),
        now=time.monotonic_ns,
        wall=time.time_ns,
        scopes=options.oidc_scopes,
    )
    return OidcLogin(
        provider=provider,
        roles=roles,
        user_claim=options.oidc_user_claim,
        groups_claim=options.oidc_groups_claim,
        redirect_url=options.oidc_redirect_url,
        ends_logins=options.oidc_logout,
    )


def _provider_tls(options: NsqadminOptions) -> ssl.SSLContext | None:
    """Whom the OpenID Connect provider is vouched for by; None for the system's authorities.

    Raises:
        OptionsError: the file cannot be read.
    """
    return open_authorities(options.oidc_tls_root_ca_file, "oidc-tls-root-ca-file")


def client_tls(options: NsqadminOptions) -> ssl.SSLContext:
    """How HTTPS to nsqd and nsqlookupd is verified, and what we show them.

    Raises:
        OptionsError: a certificate or key cannot be read.
    """
    try:
        return nsqcore.tls.client_tls(
            authorities=options.http_client_tls_root_ca_file,
            certificate=options.http_client_tls_cert,
            key=options.http_client_tls_key,
            verify=not options.http_client_tls_insecure_skip_verify,
        )
    except OSError as error:
        raise OptionsError(f"failed to load the HTTP client's TLS files: {error}") from error
