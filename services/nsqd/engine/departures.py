"""Messages that leave a channel without being finished: dead letters on their way.

What is too much or too old is looked for where messages come first in the queue, a bounded step at
a time, though nobody takes them: a channel without consumers, or one that is paused, loses it as
well.
"""

from collections.abc import Callable
from enum import Enum

from nsqcore.classes import Factory, define, field
from nsqcore.wire.hot import hold, release
from nsqd.engine.messages.message import attempts, message_id, timestamp, undelivered
from nsqd.engine.messages.queue import Done, Queue
from nsqd.engine.rules import DROP_OLDEST, Rules

# Messages that are too old, taken out in one step; and messages that are too many.
STEP = 1000
TRIM_STEP = 500
# How often it is looked whether what comes first is too old, in ns: as soon as it can be, within
# these bounds. What comes first may be another, older one meanwhile.
SOONEST = 1_000_000_000
LATEST = 60_000_000_000


class Death(Enum):
    """Why a message is dead; the words stand in its headers and in the docs."""

    ATTEMPTS = "attempts"  # it was delivered as often as it may be
    TERMINATED = "terminated"  # a consumer, or an operator, has given it up
    EXPIRED = "expired"  # it is older than it may be
    OVERFLOW = "overflow"  # the channel has more messages than it may have


@define(eq=False, repr=False)
class Parting:
    """``records`` that die for one reason; their attempts count the deliveries made.

    ``error`` is what a consumer, or an operator, says of it.
    """

    records: list[bytes]
    death: Death
    error: str = ""
    done: Done | None = None
    _gone: int = field(default=0, init=False)

    def went(self, messages: int) -> None:
        """So many more have arrived, or were dropped."""
        self._gone += messages
        if self._gone >= len(self.records):
            self._tell(None)

    def failed(self, failure: str) -> None:
        """Some of them stay."""
        self._tell(failure)

    def _tell(self, failure: str | None) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(failure)


@define
class Deaths:
    """How many messages of a channel have died: ``dead`` were moved, ``dropped`` were not.

    ``expired`` are those of both that were too old, ``rejected`` were never in the channel, as it
    was full.
    """

    dead: int = 0
    expired: int = 0
    dropped: int = 0
    rejected: int = 0

    def count(self, death: Death, messages: int, *, moved: bool) -> None:
        """``messages`` more."""
        if moved:
            self.dead += messages
        else:
            self.dropped += messages
        if death is Death.EXPIRED:
            self.expired += messages

    def __bool__(self) -> bool:
        return bool(self.dead or self.dropped or self.rejected)


def _nobody_buries() -> None:
    """What is dead stays in ``leaving``."""


@define(eq=False, repr=False)
class Departures:
    """What leaves one channel. ``tell`` is called for each parting.

    ``partings`` are what leaves with the end of this tick. All of it, and what is on its way, is in
    ``leaving`` by id until it has arrived.
    """

    tell: Callable[[], None] = _nobody_buries
    deaths: Deaths = Factory(Deaths)
    partings: list[Parting] = Factory(list)
    leaving: dict[bytes, bytes] = Factory(dict)

    def part(
        self, records: list[bytes], death: Death, error: str = "", done: Done | None = None
    ) -> None:
        """``records``, which nobody holds any more and which are not queued, are dead.

        Their attempts count the deliveries made. They go with the end of the tick; ``done`` is
        told when they have arrived, or why they are back in the queue.
        """
        hold(records, self.leaving)
        last = self.partings[-1] if self.partings else None
        alike = last is not None and (last.death, last.error) == (death, error)
        if last is not None and alike and done is None and last.done is None:
            last.records.extend(records)
        else:
            self.partings.append(Parting(list(records), death, error, done))
        self.tell()

    def worn_out(self, records: list[bytes], most: int) -> list[bytes]:
        """Those of ``records``, not finished, that may be delivered again; the others are dead."""
        dead: list[bytes] = []
        living: list[bytes] = []
        for record in records:
            (dead if attempts(record) >= most else living).append(record)
        if dead:
            self.part(dead, Death.ATTEMPTS)
        return living

    def sift(self, records: list[bytes], rules: Rules, wall: int) -> list[bytes]:
        """Those of ``records``, just taken from the queue, that may be delivered at ``wall`` ns;
        the others are dead."""
        if rules.message_ttl:
            oldest = wall - rules.message_ttl
            expired = [record for record in records if timestamp(record) <= oldest]
            if expired:
                self.part([undelivered(record) for record in expired], Death.EXPIRED)
                records = [record for record in records if timestamp(record) > oldest]
        if most := rules.max_attempts:  # it was higher, or a restart came in between
            worn = [record for record in records if attempts(record) > most]
            if worn:
                self.part([undelivered(record) for record in worn], Death.ATTEMPTS)
                records = [record for record in records if attempts(record) <= most]
        return records

    def arrived(self, records: list[bytes]) -> list[bytes]:
        """Those of ``records`` that were leaving until now, and not dropped meanwhile."""
        dropped = set(release([message_id(record) for record in records], self.leaving))
        return [one for one in records if message_id(one) not in dropped] if dropped else records

    def close(self) -> None:
        """Drop everything, and tell nobody any more."""
        self.take_all()
        self.tell = _nobody_buries

    def take_all(self) -> list[bytes]:
        """What has not arrived, none of which leaves any longer."""
        records = list(self.leaving.values())
        self.leaving.clear()
        partings, self.partings = self.partings, []
        for parting in partings:
            parting.failed("it is not there any more")
        return records


@define(eq=False, repr=False)
class Tidying:
    """That of one channel. ``due`` is when to look for what is too old, if anything may be."""

    due: int | None = None

    def watch(self, queue: Queue, rules: Rules, now: int) -> int | None:
        """When `drop_aged` is to be called, unless that is known already."""
        if not rules.message_ttl or self.due is not None or not queue.depth:
            return None
        self.due = now + SOONEST
        return self.due

    def drop_aged(
        self, queue: Queue, rules: Rules, departures: Departures, now: int, wall: int, limit: int
    ) -> int:
        """If it is time, have a step of what is too old leave; how many there were.

        ``wall`` is the wall clock in ns. Says in ``due`` when to go on.
        """
        if self.due is None or self.due > now:
            return 0
        if not rules.message_ttl or not queue.depth:
            self.due = None
            return 0
        border = wall - rules.message_ttl
        aged = queue.take_older(border, max(0, min(limit, STEP)))
        if aged:
            departures.part([undelivered(record) for record in aged], Death.EXPIRED)
            self.due = now
            return len(aged)
        oldest = queue.oldest()
        left = SOONEST if oldest is None else oldest - border
        self.due = now + min(max(left, SOONEST), LATEST)
        return 0


def trim(queue: Queue, rules: Rules, departures: Departures) -> None:
    """Make room where there are more messages than the policy allows."""
    excess = queue.depth - rules.max_depth
    while excess > 0 and (records := queue.take(min(excess, TRIM_STEP))):
        excess -= len(records)
        if rules.overflow == DROP_OLDEST:
            queue.finish([message_id(record) for record in records])
            departures.deaths.dropped += len(records)
        else:
            departures.part([undelivered(record) for record in records], Death.OVERFLOW)
