"""The listeners of one nsqlookupd: plain, and with TLS where there is a certificate."""

from collections.abc import Iterator

from attrs import evolve

from nsqcore.addresses import AddressError
from nsqcore.app.config.options import OptionsError
from nsqcore.classes import define, frozen
from nsqcore.net.tls import VERIFIED, VERIFIED_IF_GIVEN, ServerTls
from nsqcore.operations import certificates
from nsqcore.operations.certificates import TlsSettings
from nsqcore.reactor.listeners import Listener, open_listener
from nsqlookupd.options import NsqlookupdOptions


@frozen
class PortTls:
    """TLS of the two kinds of ports."""

    https: ServerTls
    nsqds: ServerTls

    def reload(self) -> None:
        """Read the certificates again, as SIGHUP asks."""
        certificates.reload(self.https)
        if self.nsqds is not self.https:
            certificates.reload(self.nsqds)


def open_port_tls(settings: TlsSettings) -> PortTls | None:
    """TLS as configured; None without a certificate.

    Where clients may go without a certificate, nsqds may not: over HTTPS there are tokens, and
    nsqds have nothing else to show.

    Raises:
        TlsError: a file is not what it should be.
    """
    https = certificates.open_tls(settings)
    if https is None:
        return None
    nsqds = https
    if settings.client_auth_policy == VERIFIED_IF_GIVEN:
        insisting = evolve(settings, client_auth_policy=VERIFIED)
        nsqds = certificates.open_tls(insisting) or https
    return PortTls(https, nsqds)


# What an empty address stands for, as in the original: any free port.
ANY_ADDRESS = ":0"


@define(kw_only=True)
class Listeners:
    """Those that are open. Without ``tcp`` no nsqd is heard but over TLS."""

    tcp: Listener | None = None
    http: Listener
    tls_tcp: Listener | None = None
    https: Listener | None = None
    external: Listener | None = None

    def named(self) -> Iterator[tuple[str, Listener]]:
        """All, and what the log calls them."""
        for name, listener in (
            ("TCP", self.tcp),
            ("HTTP", self.http),
            ("TLS", self.tls_tcp),
            ("HTTPS", self.https),
            ("EXTERNAL", self.external),
        ):
            if listener is not None:
                yield name, listener


def open_listeners(options: NsqlookupdOptions) -> Listeners:
    """All that ``options`` ask for. Resolves names on the spot: for a thread.

    Raises:
        OptionsError: an address cannot be listened on; none is left open then.
    """
    wanted = {"http": options.http_address or ANY_ADDRESS}
    if not options.tls_required:
        wanted = {"tcp": options.tcp_address or ANY_ADDRESS, **wanted}
    if options.tls_cert:
        wanted |= {"tls_tcp": options.tls_tcp_address, "https": options.https_address}
    wanted["external"] = options.external_http_address
    opened: dict[str, Listener] = {}
    try:
        for name, address in wanted.items():
            if address:
                opened[name] = open_listener(address)
    except (OSError, AddressError, ValueError) as error:
        for listener in opened.values():
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        shown = "" if address == ANY_ADDRESS else address
        raise OptionsError(
            f"failed to instantiate nsqlookupd - listen ({shown}) failed - {reason}"
        ) from error
    return Listeners(**opened)
