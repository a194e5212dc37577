"""All connections of a reactor, and what they share."""

import trio

from nsqcore.classes import define, field
from nsqcore.reactor.connections.connection import Connection
from nsqcore.reactor.polling.poller import Poller


@define(eq=False, repr=False)
class Connections:
    """The connections of a reactor, by descriptor. It sets ``nursery`` and ``poller`` to run."""

    by_fd: dict[int, Connection] = field(factory=dict, init=False)
    #: Those that have something to send.
    dirty: list[Connection] = field(factory=list, init=False)
    nursery: trio.Nursery | None = field(default=None, init=False)
    poller: Poller | None = field(default=None, init=False)
    #: Set when the last one has gone, once everybody is asked to go.
    emptied: trio.Event | None = field(default=None, init=False)

    def watch(self, connection: Connection) -> None:
        """Have the poller report what the connection can do now."""
        if self.poller is not None and connection.fd >= 0:
            connection.register(self.poller)

    def remove(self, connection: Connection) -> None:
        """Forget ``connection``, whose socket is about to be closed."""
        if connection.mask and self.poller is not None:
            self.poller.unregister(connection.fd)
        del self.by_fd[connection.fd]
        connection.fd = -1
        connection.mask = 0

    def note_gone(self) -> None:
        """Tell whoever waits for the last one."""
        if self.emptied is not None and not self.by_fd:
            self.emptied.set()
