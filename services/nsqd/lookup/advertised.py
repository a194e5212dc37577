"""What this nsqd tells others of itself: names, ports, and the address under which to find it.

With ``--broadcast-address=auto`` the address is looked for anew at each registration, from where
this host can be seen at that moment: interfaces come and go. Nothing here resolves a name.
"""

import ipaddress
import logging
import socket
from typing import Any

from nsqcore.app.process.interfaces import default_address
from nsqcore.app.process.version import VERSION
from nsqcore.classes import define, field, frozen
from nsqcore.metrics.statsd import host_key
from nsqcore.wire.lookup import External

logger = logging.getLogger(__name__)

AUTO = "auto"


@frozen(kw_only=True)
class AdvertisedSettings:
    """What the options say; ports are 0 for those listened on."""

    address: str
    tcp_port: int = 0
    http_port: int = 0
    external: External | None = None
    region: str = ""
    zone: str = ""


@define(eq=False, repr=False)
class Advertised:
    """The identity of one nsqd, which listens on the host ``listening`` and on these ports."""

    settings: AdvertisedSettings
    listening: str
    tcp_port: int
    http_port: int
    hostname: str = field(factory=socket.gethostname)
    address: str = field(init=False)  # as it was told last
    _warned: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self.tcp_port = self.settings.tcp_port or max(self.tcp_port, 0)
        self.http_port = self.settings.http_port or max(self.http_port, 0)
        self.address = self.settings.address
        if self.address == AUTO:
            self.address, _ = self._find("")
            logger.info("NSQ: broadcasting the address %s", self.address)

    def identify(self, local: str) -> dict[str, Any]:
        """The fields of an IDENTIFY over a connection whose end here is the address ``local``."""
        if self.settings.address == AUTO:
            self._use(*self._find(local))
        external = self.settings.external
        return {
            "version": VERSION,
            "tcp_port": self.tcp_port,
            "http_port": self.http_port,
            "hostname": self.hostname,
            "broadcast_address": self.address,
            "topology_region": self.settings.region,
            "topology_zone": self.settings.zone,
            **(external.to_fields() if external is not None else {}),
        }

    def host_key(self) -> str:
        """What stands for this nsqd in the names of metrics."""
        return host_key(self.address, self.http_port)

    def _use(self, address: str, doubt: str) -> None:
        if address != self.address:
            logger.info("NSQ: broadcasting the address %s", address)
        if doubt and address != self._warned:
            logger.warning("NSQ: broadcasting the address %s, a guess: %s", address, doubt)
            self._warned = address
        self.address = address

    def _find(self, local: str) -> tuple[str, str]:
        """An address that other hosts can reach, and what speaks against it, if anything."""
        if self.listening and not _is(self.listening, "is_unspecified"):
            return self.listening, ""
        if local and not _is(local, "is_loopback"):
            return local, ""
        why = "nsqlookupd is reached over the loopback interface" if local else ""
        routed = default_address()
        if routed:
            return routed, why
        why = "no interface leads to other hosts"
        return local or self.hostname, why


def _is(address: str, property_name: str) -> bool:
    try:
        return bool(getattr(ipaddress.ip_address(address.partition("%")[0]), property_name))
    except ValueError:
        return False
