"""Pages of the messages that a topic or a channel has: queued, deferred, in flight, or logged.

Looking changes nothing. A page is made in steps, each below a millisecond's work, so that
messages go on moving between two of them; whatever stays where it is for the time is found, what
moves may be found twice or not at all. Functions are generators that yield between the steps.

Times are wall-clock ns.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from nsqcore.classes import define, frozen
from nsqd.engine.channel import Channel
from nsqd.engine.delivery.consumer import Consumer
from nsqd.engine.messages.message import attempts, message_id
from nsqd.engine.messages.queue import Place, Seen

# Records that are looked at in one step, and messages that are put on a page in one.
STEP = 250
SHOWN = 100
# A page ends when so many records, or bytes of them, were looked at, however few were wanted.
MOST_SCANNED = 100_000
MOST_BYTES = 64 << 20

QUEUED = "queued"
DEFERRED = "deferred"
IN_FLIGHT = "in_flight"

Of = TypeVar("Of")


@frozen
class Sight:
    """One message that was seen. ``attempts`` are the deliveries made.

    ``due`` is when a deferred message may be delivered, ``delay`` how long after it is let through
    where that is not known yet; ``deadline`` when one in flight to ``holder`` times out.
    """

    record: bytes
    state: str
    attempts: int
    due: int = 0
    delay: int = 0
    deadline: int = 0
    holder: Consumer | None = None


@define(eq=False, repr=False)
class Page:
    """What is to be seen, from ``place`` on, and what was.

    ``wanted`` says of a record whether it is to be on the page, and without it all are; ``add``
    takes it, and says whether there was room. ``next`` is the place behind the page; None if
    nothing follows. ``scanned`` records were looked at.
    """

    place: Place
    limit: int
    add: Callable[[Sight], bool]
    wanted: Callable[[bytes], bool] | None = None
    count: int = 0
    scanned: int = 0
    next: Place | None = None

    @property
    def step(self) -> int:
        """How many records to look at next."""
        return STEP if self.wanted is not None else min(SHOWN, self.limit - self.count)

    def take(self, sight: Sight) -> bool:
        """Have ``sight`` on the page; whether there was room."""
        if self.count == self.limit or not self.add(sight):
            return False
        self.count += 1
        return True


def look_queued(
    page: Page, look: Callable[[Place, int], Seen], state: str = QUEUED
) -> Iterator[None]:
    """Fill ``page`` with what ``look`` shows, in ``state``. Raises OSError."""
    place, size = page.place, 0
    while True:
        seen = look(place, page.step)
        for number, record in enumerate(seen.records):
            if page.wanted is not None and not page.wanted(record):
                continue
            if not page.take(Sight(record, state, max(attempts(record) - 1, 0))):
                page.next = look(place, number).next if number else place
                return
        page.scanned += len(seen.records)
        size += sum(map(len, seen.records))
        if seen.next is None:
            return
        place = seen.next
        full = page.count == page.limit
        if full or page.scanned >= MOST_SCANNED or size >= MOST_BYTES:
            page.next = place
            return
        yield


def look_deferred(
    page: Page, records: Iterator[tuple[bytes, int]], wall_offset: int | None
) -> Iterator[None]:
    """Fill ``page`` with ``records``, by when they are due. What they come with is a monotonic
    time, or without a ``wall_offset`` a delay."""
    first = _First[int](page)
    for number, (record, due) in enumerate(records):
        first.offer((due, _number(record)), record, due)
        if not number % STEP:
            yield
    found = first.found()
    for place, record, due in found:
        made = max(attempts(record) - 1, 0)
        if wall_offset is None:
            sight = Sight(record, DEFERRED, made, delay=due)
        else:
            sight = Sight(record, DEFERRED, made, due=due + wall_offset)
        if not page.take(sight):
            return
        page.next = place if first.more or record is not found[-1][1] else None
        yield


def look_in_flight(page: Page, channel: Channel, wall_offset: int) -> Iterator[None]:
    """Fill ``page`` with what consumers of ``channel`` hold, the oldest messages first."""
    first = _First[Consumer](page)
    for consumer in list(channel.consumers):
        for number, record in enumerate(list(consumer.in_flight.values())):
            first.offer((_number(record),), record, consumer)
            if not number % STEP:
                yield
    found = first.found()
    holders = {consumer for _, _, consumer in found}
    deadlines = {
        holder: holder.held.deadlines({message_id(record) for _, record, _ in found})
        for holder in holders
    }
    for place, record, consumer in found:
        deadline = deadlines[consumer].get(message_id(record))
        if deadline is not None:  # else it has left meanwhile
            sight = Sight(
                record,
                IN_FLIGHT,
                attempts(record),
                deadline=deadline + wall_offset,
                holder=consumer,
            )
            if not page.take(sight):
                return
        page.next = place if first.more or record is not found[-1][1] else None
        yield


def _number(record: bytes) -> int:
    return int.from_bytes(message_id(record), "big")


@define(eq=False, init=False)
class _First(Generic[Of]):
    """The first records behind the place of ``page``, of those that come in no order."""

    page: Page
    kept: list[tuple[Place, bytes, Of]]
    more: bool
    _last: Place | None

    def __init__(self, page: Page) -> None:
        self.page, self.kept, self.more, self._last = page, [], False, None

    def offer(self, place: Place, record: bytes, of: Of) -> None:
        """Keep ``record`` if it is one of the first that are wanted."""
        page = self.page
        page.scanned += 1
        if place <= page.place or (self._last is not None and place > self._last):
            self.more = self.more or place > page.place
            return
        if page.wanted is not None and not page.wanted(record):
            return
        self.kept.append((place, record, of))
        if len(self.kept) >= 2 * page.limit + STEP:
            self.found()

    def found(self) -> list[tuple[Place, bytes, Of]]:
        """Those that are left, in order."""
        self.kept.sort(key=lambda one: one[0])
        if len(self.kept) > self.page.limit:
            del self.kept[self.page.limit :]
            self._last, self.more = self.kept[-1][0], True
        return self.kept
