"""One running nsqadmin: its settings and the parts that requests share.

Made once by the service and handed to everything that answers requests. The settings can be
exchanged at run time (`PUT /config`); who needs them asks here each time.
"""

import socket
import ssl
import time
from pathlib import Path

import attrs

import nsqcore.tls
from nsqadmin.auth.accounts import Accounts
from nsqadmin.auth.form_tokens import FormTokens
from nsqadmin.auth.logins import Logins
from nsqadmin.auth.sessions import Sessions
from nsqadmin.collect.collector import Collector
from nsqadmin.collect.history import History
from nsqadmin.collect.record import record_history
from nsqadmin.collect.snapshot import Snapshot
from nsqadmin.notify import Notifier
from nsqadmin.options import NsqadminOptions
from nsqcore.app.options import OptionsError
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import Upstream
from nsqcore.http.client import HttpClient
from nsqcore.operations.lag import LoopLag

# Graphite's largest pictures are below 1 MB; raw data for a week of a few series about 5.
_MAX_GRAPHITE_ANSWER = 32 * 1024 * 1024


@attrs.define(eq=False)
class Admin:
    """The state of this process."""

    options: NsqadminOptions
    upstream: Upstream
    web: HttpClient  # of servers that are no daemons: Graphite
    collector: Collector
    notifier: Notifier
    sessions: Sessions
    logins: Logins | None  # with --auth-file
    form_tokens: FormTokens = attrs.field(factory=FormTokens)
    lag: LoopLag = attrs.field(factory=LoopLag)
    history: History = attrs.field(factory=History)
    hostname: str = attrs.field(factory=socket.gethostname)

    @property
    def cluster(self) -> Cluster:
        """The cluster that the settings name at this moment."""
        return cluster_of(self.options, self.upstream)

    @property
    def accounts(self) -> Accounts | None:
        """The accounts of ``--auth-file``."""
        return self.logins.accounts if self.logins else None

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

    idle = max(options.idle_interval, options.collect_interval)
    admin = Admin(
        options=options,
        upstream=upstream,
        web=HttpClient(
            connect_timeout=options.http_client_connect_timeout,
            request_timeout=options.http_client_request_timeout,
            max_answer=_MAX_GRAPHITE_ANSWER,
        ),
        collector=Collector(
            cluster=cluster,
            monotonic=time.monotonic_ns,
            wall=time.time_ns,
            live=options.collect_interval,
            idle=idle,
        ),
        notifier=Notifier(options.notification_http_endpoint),
        sessions=Sessions(options.session_lifetime),
        logins=Logins(accounts, time.monotonic_ns) if accounts else None,
        history=History(patience=2.5 * idle),
    )
    return admin


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
