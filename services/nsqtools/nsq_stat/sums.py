"""A channel's numbers over all nsqds, and the row that shows them."""

import attrs

from nsqcore.classes import frozen
from nsqcore.cluster.rates import Growth
from nsqcore.cluster.stats import ChannelStats


@frozen
class Sums:
    """A channel's numbers, over all nsqds."""

    depth: int = 0
    backend_depth: int = 0
    in_flight_count: int = 0
    deferred_count: int = 0
    requeue_count: int = 0
    timeout_count: int = 0
    message_count: int = 0
    client_count: int = 0

    @classmethod
    def of(cls, channels: list[ChannelStats]) -> "Sums":
        """The sums over ``channels``."""
        names = [field.name for field in attrs.fields(cls)]
        return cls(*(sum(getattr(channel, name) for channel in channels) for name in names))

    def row(self, growth: Growth, interval: float) -> str:
        """A line: these numbers, and the rates of ``growth`` in ``interval`` seconds."""
        return (
            f"{int(growth.arrived / interval):7d} {int(growth.left / interval):7d} | "
            f"{self.depth:7d} {self.depth - self.backend_depth:7d} {self.backend_depth:7d} "
            f"{self.in_flight_count:5d} {self.deferred_count:5d} | "
            f"{self.requeue_count:7d} {self.timeout_count:7d} {self.message_count:12d} "
            f"{self.client_count:7d}\n"
        )
