"""Whether each nsqd named on the command line could be reached at least once."""

import trio

from nsqclient import Hooks
from nsqcore.classes import Factory, define


@define(eq=False, repr=False)
class InitialConnections:
    """Whether each nsqd named on the command line could be reached at least once.

    One that cannot is most likely a mistake: the utility ends, as the original does. Later losses
    are the client's to mend.
    """

    _reached: set[str] = Factory(set)
    _failed: trio.Event = Factory(trio.Event)
    _reason: str = ""

    def hooks(self) -> Hooks:
        """What tells this object of connections."""
        return Hooks(connected=self._reached.add, disconnected=self._disconnected)

    def _disconnected(self, address: str, error: Exception) -> None:
        if address not in self._reached and not self._failed.is_set():
            self._reason = str(error)
            self._failed.set()

    async def watch(self) -> None:
        """Never return; raise ConnectionError when an nsqd cannot be reached at first."""
        await self._failed.wait()
        raise ConnectionError(self._reason)
