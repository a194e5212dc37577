"""One nsqlookupd, as its HTTP API sees it."""

from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.operations.lag import LoopLag
from nsqlookupd.registry import Registry


@define(eq=False, repr=False)
class Lookupd:
    """The registry, the clocks (in ns, ``now`` monotonic and ``wall`` of the day) and the state."""

    registry: Registry
    now: Callable[[], int]
    wall: Callable[[], int]
    lag: LoopLag = field(factory=LoopLag)
    stopping: bool = False

    def checks(self) -> dict[str, str]:
        """What keeps it from being ready, by the name of the check; empty where all is well."""
        return {
            "loop": self.lag.trouble(),
            "stopping": "stopping" if self.stopping else "",
        }
