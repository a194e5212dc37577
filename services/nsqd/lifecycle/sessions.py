"""The V2 clients that are connected."""

from collections.abc import Callable

from attrs import define, field

from nsqcore.net.effects import Peer
from nsqd.client.client import Services
from nsqd.client.session import Session, open_session


@define(eq=False)
class Sessions:
    """The sessions of one nsqd; ``wall`` is the wall clock in ns."""

    services: Services
    wall: Callable[[], int]
    connected: dict[Session, None] = field(factory=dict, init=False)

    def accept(self, peer: Peer) -> Session:
        """The session of a client that has just connected."""
        session = open_session(self.services, self.wall(), self._closed, peer)
        self.connected[session] = None
        return session

    def _closed(self, session: Session) -> None:
        self.connected.pop(session, None)
