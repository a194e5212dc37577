"""The TLS of a daemon: read at the start, and read again at SIGHUP."""

import logging

from nsqcore.classes import frozen
from nsqcore.net.tls import ServerTls, check_authorities
from nsqcore.net.tls_layer import TlsError

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class TlsSettings:
    """The TLS part of a daemon's options: paths, a policy for clients, a TLS version's number."""

    certificate: str
    key: str
    client_auth_policy: str
    authorities: str
    min_version: int


def open_tls(settings: TlsSettings) -> ServerTls | None:
    """TLS as configured, its files read; None without a certificate. Raises TlsError."""
    if settings.authorities:
        # Auth servers are judged by it, whether or not there is a certificate of our own.
        check_authorities(settings.authorities)
    if not settings.certificate:
        return None
    tls = ServerTls(
        settings.certificate,
        settings.key,
        settings.client_auth_policy,
        settings.authorities,
        settings.min_version,
    )
    tls.load()
    return tls


def reload(tls: ServerTls | None) -> None:
    """Read the certificates again, for connections from now on; keeps those in use if it cannot."""
    if tls is None:
        return
    try:
        tls.load()
    except TlsError as error:
        logger.error("TLS: keeping the certificates in use - %s", error)
    else:
        logger.info("TLS: certificates read again")
