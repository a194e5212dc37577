"""The V2 clients that are connected."""

from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.net.effects import Peer
from nsqd.client.client import Services
from nsqd.client.session import Session, open_session


@define(eq=False, repr=False)
class Sessions:
    """The sessions of one nsqd; ``wall`` is the wall clock in ns.

    ``shared_services`` are for those who came by an address that other nsqd have, too.
    """

    services: Services
    shared_services: Services
    wall: Callable[[], int]
    connected: dict[Session, None] = field(factory=dict, init=False)

    def accept(self, peer: Peer) -> Session:
        """The session of a client that has just connected."""
        return self._open(self.services, peer)

    def accept_shared(self, peer: Peer) -> Session:
        """As `accept`, of one that came by the shared address."""
        return self._open(self.shared_services, peer)

    def _open(self, services: Services, peer: Peer) -> Session:
        session = open_session(services, self.wall(), self._closed, peer)
        self.connected[session] = None
        return session

    def _closed(self, session: Session) -> None:
        self.connected.pop(session, None)
