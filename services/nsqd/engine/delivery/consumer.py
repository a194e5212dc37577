"""One client's part of a channel: its RDY, and what it has in flight."""

from collections.abc import Callable
from typing import Protocol

from nsqcore.classes import Factory, define, field
from nsqd.engine.delivery.inflight import InFlight

# A client that does not read gets no more once this many bytes wait for it: two full socket
# buffers. RDY alone would allow 2500 messages of 1 MiB.
MAX_UNREAD = 1 << 20


class Subscriber(Protocol):
    """The client behind a consumer."""

    def send(self, records: list[bytes]) -> None:
        """Give it ``records``."""

    def unread(self) -> int:
        """How many bytes it has not taken yet."""

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call ``call`` once it has taken most of them."""

    def channel_deleted(self) -> None:
        """Its channel is gone."""


@define(eq=False, repr=False)
class Consumer:
    """A subscribed client, as the engine sees it.

    Timeouts are in ns. ``sampled`` draws whether it gets the next message; without it, it gets
    every one. ``locality`` is 0 in the same zone, 1 in the same region, 2 anywhere; ``counted``
    is the one under which its deliveries are counted.
    """

    subscriber: Subscriber
    msg_timeout: int
    max_msg_timeout: int
    sampled: Callable[[], bool] | None = None
    locality: int = 2
    counted: int = Factory(lambda self: self.locality, takes_self=True)

    ready: int = 0
    closing: bool = False
    message_count: int = 0
    finish_count: int = 0
    requeue_count: int = 0
    held: InFlight = field(init=False)
    in_flight: dict[bytes, bytes] = field(init=False)  # the records of ``held``, by id

    def __attrs_post_init__(self) -> None:
        self.held = InFlight(self.msg_timeout, self.max_msg_timeout)
        self.in_flight = self.held.records

    @property
    def capacity(self) -> int:
        """How many more messages may be sent now; 0 also for a client that does not read."""
        capacity = 0 if self.closing else self.ready - len(self.in_flight)
        return capacity if capacity > 0 and self.subscriber.unread() < MAX_UNREAD else 0

    @property
    def blocked(self) -> bool:
        """Whether only its unread output keeps this consumer from getting messages."""
        return self.ready > len(self.in_flight) and self.subscriber.unread() >= MAX_UNREAD

    def deliver(self, records: list[bytes], now: int) -> None:
        """Send ``records``, at most `capacity` of them, and hold them until they time out."""
        self.held.add(records, now)
        self.message_count += len(records)
        self.subscriber.send(records)
