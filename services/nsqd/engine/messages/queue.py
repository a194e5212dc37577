"""The port through which the engine keeps messages.

The engine decides what happens to a message; where it lies is the business of what is behind this
port: memory and the original's disk queues (`nsqd.storage`), or a log that survives a crash.

A record is queued, taken, or deferred. `Queue.put` and `Queue.take` move new messages in and out;
of what was taken the queue hears again exactly once: by `finish` (it is done for good),
`give_back` (queued again), or `defer` (queued again at its time). So it can know at any moment
which messages are not finished. Five verbs, all plural, and none of them blocks.
"""

from collections.abc import Callable, Container, Iterator
from typing import Protocol

from nsqcore.classes import frozen
from nsqd.engine.messages.ids import TICK_BITS

# Told what has become of a publish: None, or why none of it was accepted. Called once, when the
# storage says so: at the end of the tick at the latest for queues in memory and the page cache,
# after a sync where that is what an OK promises.
Done = Callable[[str | None], None]

# Told of records that were to be moved: None if they were, or why they were not.
Moved = Callable[[list[bytes], str | None], None]


def time_of(id: bytes) -> int:
    """When the id of a record was given out by its own clock, in wall-clock ns."""
    return int(id, 16) >> 22 << TICK_BITS


@frozen
class Loss:
    """What a queue could not keep at a stop: how many messages, and why."""

    messages: int
    reason: str


#: Where looking goes on, as numbers that the queue alone understands; empty at the beginning.
Place = tuple[int, ...]


@frozen
class Seen:
    """Records that were looked at, and where those behind them are: None where there are none."""

    records: list[bytes]
    next: Place | None


class Queue(Protocol):
    """The messages of one topic or channel that no consumer holds.

    Records are as `nsqd.engine.messages.message` has them. Times are monotonic ns. Once it was
    deleted it
    takes nothing and gives nothing.
    """

    #: How many records it may keep in memory; may be changed at any time.
    memory_limit: int

    @property
    def logged(self) -> bool:
        """Whether what is published to a durable topic comes here by itself, from its `Log`."""

    @property
    def depth(self) -> int:
        """How many are queued, in memory and on disk; not those deferred."""

    @property
    def backend_depth(self) -> int:
        """How many of them are on disk."""

    @property
    def deferred(self) -> int:
        """How many wait for their time."""

    @property
    def next_due(self) -> int | None:
        """When the first of these is due."""

    def admit(self, count: int) -> None:
        """Raise OSError if ``count`` new records would need the disk, and it does not take any."""

    def overflows(self, count: int) -> bool:
        """Whether ``count`` more records would need the disk."""

    def put(self, records: list[bytes], *, wanted: int = 0) -> int:
        """Append new ``records``; how many were dropped (only a queue without a disk drops).

        ``wanted`` is how many consumers would take at once: so many more fit into memory.
        Raises OSError where the disk fails; none of them is queued then.
        """

    def take(self, limit: int) -> list[bytes]:
        """The oldest records, at most ``limit``; fewer if they are large, if there are no more,
        or if the disk can't be read just now (`depth` is not 0 then)."""

    def take_older(self, wall: int, limit: int) -> list[bytes]:
        """As `take`, of the records that come first in memory, or on disk, and were published until
        ``wall`` (ns of the wall clock); some milliseconds' work at most."""

    def oldest(self) -> int | None:
        """When the oldest of the records was published that come first in memory, or on disk (ns
        of the wall clock); None if there are none, or they can't be read. Changes nothing."""

    def finish(self, ids: list[bytes]) -> None:
        """The records of ``ids``, taken before, are done with for good."""

    def give_back(self, records: list[bytes]) -> None:
        """Queue again ``records`` that were taken before; never refused."""

    def defer(self, records: list[bytes], due: int, *, new: bool = False) -> None:
        """Queue ``records``, taken before or ``new``, at ``due``; never refused."""

    def release_due(self, now: int, limit: int) -> int:
        """Queue what is due at ``now``, at most ``limit`` records; how many there were."""

    def look(self, place: Place, limit: int) -> Seen:
        """Up to ``limit`` queued records from ``place`` on, about in the order in which they will
        be taken. Changes nothing. Some milliseconds' work at most, so there may be none and yet
        more behind them. What leaves the queue meanwhile is passed over. Raises OSError."""

    def look_deferred(self) -> Iterator[tuple[bytes, int]]:
        """Every record that waits for its time, with when it is due, as it is at the first step.
        Changes nothing."""

    def withdraw(self, ids: Container[bytes], place: Place, limit: int) -> Seen:
        """Take those of ``ids`` that `look` would show. They are as those that were taken."""

    def withdraw_deferred(self, ids: Container[bytes], place: Place, limit: int) -> Seen:
        """As `withdraw`, of the records that wait for their time. What comes or goes between two
        steps may hide one."""

    def set_paused(self, paused: bool) -> None:
        """Keep over a restart whether the channel is paused, where that is kept with messages."""

    def commit(self) -> None:
        """What was taken so far is in the queues it went to. For a topic's queue."""

    def empty(self) -> None:
        """Drop all records: queued, deferred, and those taken but not finished."""

    def delete(self) -> None:
        """Drop all records, and all files."""

    def close(self, *, bypassed: bool = False) -> Loss | None:
        """Keep what is queued or deferred for the next start; tells what could not be kept.

        ``bypassed`` says that messages went by without being put.
        """


@frozen
class LogStats:
    """How much is in a durable topic's log.

    ``first`` is the number of the first message that is still there, ``next`` that of the next one
    to come; ``segments`` are files. ``lost`` and ``damaged`` messages could not be found, or read,
    since nsqd began.
    """

    first: int
    next: int
    bytes: int
    segments: int
    lost: int
    damaged: int


class Log(Protocol):
    """The messages of a durable topic, which are kept once for all of its channels.

    The queues of its channels (`Storage.channel_queue`) read from it. Times are monotonic ns.
    """

    @property
    def depth(self) -> int:
        """How many messages wait until they may flow to channels."""

    @property
    def promise(self) -> str:
        """What OK promises: ``os``, ``interval`` or ``always``; ``none`` once nothing new goes
        here any more."""

    def stats(self) -> LogStats:
        """How much is in it."""

    def look(self, place: Place, limit: int, *, retained: bool) -> Seen:
        """Up to ``limit`` records from ``place`` on of what waits until it may flow, or of all
        that is ``retained``. As `Queue.look`."""

    def publish(self, records: list[bytes], due: int, done: Done) -> None:
        """Keep new ``records``, to be delivered at ``due`` (0: at once); `arrived` is called with
        them before ``done``, if messages flow."""

    def move(
        self,
        source: Queue,
        taken: list[bytes],
        records: list[bytes],
        moved: Moved,
        *,
        only: str = "",
    ) -> None:
        """Keep new ``records`` here in place of ``taken``, one for one.

        ``source`` is the queue of a channel of any topic, and ``taken`` are records as it gave
        them, of which it has heard nothing since (they may have been in flight). If they come
        from a log, then after any crash there is either the one or the other, and never both;
        others are published here and then finished there.

        ``records`` have ids taken just before. They go to every channel as if they were
        published, or to the channel called ``only`` alone, at once, also where messages do not
        flow; no other channel ever sees or counts them. `arrived` is called with them.

        ``moved`` is called, once for each part that is kept together, when what this topic and
        the one of ``source`` promise is kept: ``source`` need not be told then. With a failure
        they are still the caller's, who gives them back, defers them, or tries again; those that
        were dropped meanwhile (``source`` was emptied) are not among them.

        Raises LookupError if there is no channel ``only`` with a queue on this log.
        """

    def let_flow(self, flows: bool) -> None:
        """Let messages through to the channels, or hold back what is published from now on."""

    def set_promise(self, durability: str) -> None:
        """Promise ``durability`` from now on."""

    def set_paused(self, paused: bool) -> None:
        """Keep over a restart whether the topic is paused."""

    def empty(self) -> None:
        """Drop what waits until it may flow."""

    def delete(self) -> None:
        """Drop everything."""


#: Told of the records that came into a log, when they are due (0: at once), and of the only
#: channel they are for ("": all).
Arrived = Callable[[list[bytes], int, str], None]


class Storage(Protocol):
    """Where queues come from."""

    @property
    def owed(self) -> Container[str]:
        """The topics of which so much was put into queues since their last sync that the answer to
        who put the last of it waits for one. Always the same object."""

    def when_synced(self, topic: str, done: Done) -> None:
        """Have ``done`` told, once, when what was put so far into the queues of ``topic`` is on the
        disk, or why it is not: it is queued all the same then."""

    def topic_log(self, topic: str, durability: str, arrived: Arrived) -> Log | None:
        """The log of a topic that is, or was, durable; None for another. Raises OSError."""

    def topic_queue(self, topic: str, memory_limit: int) -> Queue:
        """What a topic itself has not passed on to its channels. Raises OSError."""

    def channel_queue(self, topic: str, channel: str, memory_limit: int) -> Queue:
        """The queue of a channel, as it was left, or new. Raises OSError."""

    def logged_queue(self, topic: str, channel: str, queue: Queue) -> Queue:
        """What is to be the queue of a channel whose topic has become durable, and which has
        ``queue`` so far. Raises OSError."""

    def warn(self, message: str) -> None:
        """Tell an operator."""
