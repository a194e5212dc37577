"""One client's share of a channel: its RDY, what it holds, and until when.

Deliveries of one consumer have one timeout, so their deadlines come in order: a
slice of records is one entry in a queue of holds. FIN only takes the message out
of ``in_flight``; holds notice later, by identity, that a record is no longer
in flight, and are thinned out once most of what they list is gone.
"""

from collections import deque
from collections.abc import Callable
from random import random

from attrs import Factory, define

from nsqcore.wire.speedups import encode_messages, hold, release
from nsqd.engine.message import message_id

# Holds may list this many finished messages more than there are in flight.
STALE_HOLDS = 64

# A client that does not read gets no more once this many bytes wait for it: two full socket
# buffers. RDY alone would allow 2500 messages of 1 MiB.
MAX_UNREAD = 1 << 20


def _never(call: Callable[[], None]) -> None:
    """For a client whose output is never stuck."""


@define(eq=False)
class Consumer:
    """A subscribed client, as the engine sees it.

    ``send`` takes encoded frames; ``unread`` tells how many bytes the client has
    not taken yet, ``when_drained`` calls back once it has taken most of them;
    ``channel_deleted`` is called when the channel is deleted under the client.
    Timeouts are in ns, ``sample_rate`` is 0..99 percent (0: everything).
    """

    send: Callable[[bytes], None]
    unread: Callable[[], int]
    channel_deleted: Callable[[], None]
    msg_timeout: int
    max_msg_timeout: int
    sample_rate: int = 0
    locality: int = 2  # 0 same zone, 1 same region, 2 anywhere
    when_drained: Callable[[Callable[[], None]], None] = _never
    owner: object = None  # the client whose consumer this is, for the statistics

    ready: int = 0
    closing: bool = False
    message_count: int = 0
    finish_count: int = 0
    requeue_count: int = 0
    in_flight: dict[bytes, bytes] = Factory(dict)
    _holds: deque[tuple[int, list[bytes]]] = Factory(deque)
    _held: int = 0
    _touched: dict[bytes, tuple[int, int]] = Factory(dict)  # delivered at, deadline

    @property
    def room(self) -> int:
        """How many more messages may be sent now; 0 also for a client that does not read."""
        room = 0 if self.closing else self.ready - len(self.in_flight)
        return room if room > 0 and self.unread() < MAX_UNREAD else 0

    @property
    def blocked(self) -> bool:
        """Whether only its unread output keeps this consumer from getting messages."""
        return self.ready > len(self.in_flight) and self.unread() >= MAX_UNREAD

    @property
    def next_deadline(self) -> int | None:
        """When the first message in flight may time out; it may be finished by then."""
        deadlines = [deadline for _, deadline in self._touched.values()]
        if self._holds:
            deadlines.append(self._holds[0][0])
        return min(deadlines, default=None)

    def deliver(self, records: list[bytes], now: int) -> None:
        """Send ``records``, at most `room` of them, and hold them until ``now`` + timeout."""
        if self.sample_rate:
            records = [record for record in records if random() * 100 <= self.sample_rate]
            if not records:
                return
        hold(records, self.in_flight)
        self._holds.append((now + self.msg_timeout, records))
        self._held += len(records)
        if self._held > 2 * len(self.in_flight) + STALE_HOLDS:
            self._thin_holds()
        self.message_count += len(records)
        self.send(encode_messages(records))

    def finish(self, ids: list[bytes]) -> list[bytes]:
        """Let go of ``ids`` for good; returns those that are not in flight here."""
        missing: list[bytes] = release(ids, self.in_flight)
        if self._touched:
            for id in ids:
                self._touched.pop(id, None)
        self.finish_count += len(ids) - len(missing)
        return missing

    def give_back(self, id: bytes) -> bytes | None:
        """The record of ``id``, no longer in flight; None if it was not."""
        record = self.in_flight.pop(id, None)
        if record is not None:
            self._touched.pop(id, None)
            self.requeue_count += 1
        return record

    def give_back_all(self) -> list[bytes]:
        """Every record in flight, which none is any longer."""
        records = list(self.in_flight.values())
        self.drop_all()
        return records

    def drop_all(self) -> None:
        """Forget everything in flight."""
        self.in_flight.clear()
        self._holds.clear()
        self._held = 0
        self._touched.clear()

    def touch(self, id: bytes, now: int) -> int | None:
        """When ``id`` times out now that its timeout starts anew; None if it is not held.

        All in all it lasts no longer than the longest timeout allowed.
        """
        record = self.in_flight.get(id)
        if record is None:
            return None
        touched = self._touched.get(id)
        delivered_at = touched[0] if touched else self._delivered_at(record)
        deadline = min(now + self.msg_timeout, delivered_at + self.max_msg_timeout)
        self._touched[id] = (delivered_at, deadline)
        return deadline

    def expire(self, now: int) -> list[bytes]:
        """The records whose time is up, which are in flight no longer."""
        expired: list[bytes] = []
        in_flight, touched = self.in_flight, self._touched
        while self._holds and self._holds[0][0] <= now:
            _, records = self._holds.popleft()
            self._held -= len(records)
            for record in records:
                id = message_id(record)
                if in_flight.get(id) is record and id not in touched:
                    del in_flight[id]
                    expired.append(record)
        for id in [id for id, (_, deadline) in touched.items() if deadline <= now]:
            del touched[id]
            expired.append(in_flight.pop(id))
        return expired

    def _delivered_at(self, record: bytes) -> int:
        for deadline, records in self._holds:
            if any(held is record for held in records):
                return deadline - self.msg_timeout
        raise AssertionError("a message in flight is in a hold until it is touched")

    def _thin_holds(self) -> None:
        in_flight = self.in_flight
        holds: deque[tuple[int, list[bytes]]] = deque()
        for deadline, records in self._holds:
            kept = [record for record in records if in_flight.get(record[10:26]) is record]
            if kept:
                holds.append((deadline, kept))
        self._holds = holds
        self._held = sum(len(records) for _, records in holds)
