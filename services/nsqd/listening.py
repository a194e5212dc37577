"""The addresses of one nsqd: what it listens on, and what it tells others."""

import logging
import socket

from attrs import define, frozen

from nsqcore.addresses import AddressError
from nsqcore.app.options import OptionsError
from nsqcore.reactor.listeners import Listener, open_listener
from nsqd.lookup.addresses import parse_address
from nsqd.options import NsqdOptions

logger = logging.getLogger(__name__)


@define
class Listeners:
    """The open listeners; HTTP and HTTPS may be off."""

    tcp: Listener
    http: Listener | None = None
    https: Listener | None = None

    def named(self) -> list[tuple[str, Listener]]:
        """Those that are open, and what the log calls them."""
        doors = (("TCP", self.tcp), ("HTTP", self.http), ("HTTPS", self.https))
        return [(name, listener) for name, listener in doors if listener is not None]

    def close(self) -> None:
        """Close them all."""
        for _, listener in self.named():
            listener.close()


def open_listeners(options: NsqdOptions) -> Listeners:
    """Every listener that ``options`` ask for.

    Raises OptionsError where an address cannot be listened on; none is left open then.
    """
    listeners = Listeners(_open(options.tcp_address))
    try:
        if options.http_address:
            listeners.http = _open(options.http_address)
        if options.tls_cert and options.https_address:
            listeners.https = _open(options.https_address)
    except OptionsError:
        listeners.close()
        raise
    for name, listener in listeners.named():
        logger.info("%s: listening on %s", name, listener.address)
    return listeners


def _open(address: str) -> Listener:
    try:
        return open_listener(address)
    except (AddressError, OSError) as error:
        raise OptionsError(
            f"failed to instantiate nsqd - listen ({address}) failed - {error}"
        ) from error


@frozen(kw_only=True)
class Identity:
    """What nsqlookupd and /info are told of this nsqd."""

    broadcast_address: str
    hostname: str
    tcp_port: int
    http_port: int


def announced(options: NsqdOptions, listeners: Listeners) -> Identity:
    """The addresses under which others are to find this nsqd."""
    address = options.broadcast_address
    if address == "auto":
        address = reachable_address(options.nsqlookupd_tcp_addresses)
        logger.info("NSQ: broadcasting the address %s", address)
    http_port = listeners.http.port if listeners.http is not None else 0
    return Identity(
        broadcast_address=address,
        hostname=socket.gethostname(),
        tcp_port=options.broadcast_tcp_port or max(listeners.tcp.port, 0),
        http_port=options.broadcast_http_port or max(http_port, 0),
    )


# A documentation address (RFC 5737): nobody is there, but the way to it is the default route.
_ANYWHERE = ("192.0.2.1", 9)


def reachable_address(lookupds: tuple[str, ...]) -> str:
    """The address of the interface that leads to the first nsqlookupd, or out into the world.

    Nothing is sent: connecting a datagram socket only chooses a route. The host name
    where there is no route.
    """
    for target in (*lookupds, None):
        try:
            host, port = parse_address(target) if target else _ANYWHERE
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, ValueError, AddressError):
            continue
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                try:
                    probe.connect(address)
                except OSError:
                    continue
                return str(probe.getsockname()[0])
    return socket.gethostname()
