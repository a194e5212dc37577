"""The listeners of one nsqd."""

import logging

from nsqcore.addresses import AddressError
from nsqcore.app.config.options import OptionsError
from nsqcore.classes import define, frozen
from nsqcore.reactor.listeners import Listener, open_listener

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class ListenSettings:
    """Where to listen; all but TCP are off if empty.

    The shared ones are those that several nsqd of a host have in common, for publishers.
    """

    tcp: str
    http: str = ""
    https: str = ""
    shared_tcp: str = ""
    shared_http: str = ""


@define
class Listeners:
    """The open listeners; all but TCP may be off."""

    tcp: Listener
    http: Listener | None = None
    https: Listener | None = None
    shared_tcp: Listener | None = None
    shared_http: Listener | None = None

    def named(self) -> list[tuple[str, Listener]]:
        """Those that are open, and what the log calls them."""
        doors = (
            ("TCP", self.tcp),
            ("HTTP", self.http),
            ("HTTPS", self.https),
            ("TCP (shared)", self.shared_tcp),
            ("HTTP (shared)", self.shared_http),
        )
        return [(name, listener) for name, listener in doors if listener is not None]

    @property
    def shared(self) -> list[Listener]:
        """Those that other nsqd listen on, too."""
        return [one for one in (self.shared_tcp, self.shared_http) if one is not None]

    @property
    def http_port(self) -> int:
        """The port of HTTP; -1 for a Unix socket or none."""
        return self.http.port if self.http else -1

    @property
    def https_port(self) -> int:
        """The port of HTTPS; -1 for a Unix socket or none."""
        return self.https.port if self.https else -1

    def close(self) -> None:
        """Close them all."""
        for _, listener in self.named():
            listener.close()


def open_listeners(settings: ListenSettings) -> Listeners:
    """Every listener that ``settings`` ask for. Resolves names on the spot: for a thread.

    Raises OptionsError where an address cannot be listened on; none is left open then.
    """
    listeners = Listeners(_open(settings.tcp))
    try:
        if settings.http:
            listeners.http = _open(settings.http)
        if settings.https:
            listeners.https = _open(settings.https)
        if settings.shared_tcp:
            listeners.shared_tcp = _open(settings.shared_tcp, shared=True)
        if settings.shared_http:
            listeners.shared_http = _open(settings.shared_http, shared=True)
    except OptionsError:
        listeners.close()
        raise
    for name, listener in listeners.named():
        logger.info("%s: listening on %s", name, listener.address)
    return listeners


def _open(address: str, *, shared: bool = False) -> Listener:
    try:
        return open_listener(address, shared=shared)
    except (AddressError, OSError, ValueError) as error:  # ValueError: it is no host name
        raise OptionsError(
            f"failed to instantiate nsqd - listen ({address}) failed - {error}"
        ) from error
