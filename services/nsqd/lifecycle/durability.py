"""Runs what keeps durable topics: the committing thread, syncs, checkpoints, journal files.

The store (`nsqd.storage.durable.store`) decides; here are the clock, the threads and the log. An
nsqd without durable topics has none of it running.
"""

import logging
from collections.abc import Callable, Iterator

import trio
import trio.lowlevel

from nsqcore.app import threads
from nsqcore.classes import define, field
from nsqcore.metrics.histogram import Histogram
from nsqcore.units import MS, SECOND
from nsqd.engine.broker import Broker
from nsqd.storage.durable.journal.committer import Committer
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.status import DurableStatus, status_of
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.tidying import tidy_all

logger = logging.getLogger(__name__)

# What consumers finished and got is synced after this long at the latest, where OK means a sync.
LONGEST_UNSYNCED = 1.0
# What was delivered at the end of a tick is journaled with the next one, or this much later (ns).
NOTES_WAIT = 10 * MS
# Nothing is written once more while so many bytes wait for the journal.
TIDY_AHEAD = 8 << 20
# Seconds between two looks at a disk that failed.
RETRY = 2.0
# Seconds by which commits are counted: from a fast disk to one that hangs.
COMMIT_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

CallAt = Callable[[int, Callable[[], None]], object]


@define(eq=False, repr=False)
class Durability:
    """Drives the durable store. ``interval`` is ``--durability-interval`` in seconds.

    ``recovery_seconds`` is how long it took to read what was on disk at the start.
    """

    store: DurableStore
    interval: float
    committer: Committer
    recovery_seconds: float = 0.0
    commit_times: Histogram = field(factory=lambda: Histogram(COMMIT_BOUNDS), init=False)
    _wake: trio.Event = field(factory=trio.Event, init=False)
    #: There are durable topics, or have been.
    running: bool = field(default=False, init=False)
    _failed: bool = field(default=False, init=False)
    _no_room: bool = field(default=False, init=False)  # the journal waits for a file
    _no_file: OSError | None = field(default=None, init=False)  # why none was made
    _try_again: float = field(default=0.0, init=False)  # to make one, by trio's clock
    _timer_at: int = field(default=0, init=False)

    def start(self) -> None:
        """Be ready for durable topics. Raises OSError where there is no thread to be had."""
        if self.running:
            return
        try:
            self.committer.start()
        except RuntimeError as error:
            raise OSError(f"no thread for the journal: {error}") from None
        self.store.committer = self.committer
        self.running = True
        self._wake.set()

    # ------------------------------------------------------------ in the tick

    def end_tick(self, now: int, call_at: CallAt) -> None:
        """Journal what the tick brought. ``call_at`` sets a timer, after which there is a tick.

        For a store that is `running`, as `after_delivery` is.
        """
        store = self.store
        store.end_tick(now)
        journal = store.journal
        self._no_room = False
        if not journal.idle and journal.writing is None:
            until = journal.linger_until(now)
            if until is None:
                self._no_room = True  # until there is a file
                self._wake.set()
            else:
                self._set_timer(until, call_at)
        if store.is_behind:
            self._wake.set()

    def after_delivery(self, now: int, call_at: CallAt) -> None:
        """Have what was delivered at the end of this tick journaled soon, and what was moved at
        once: nothing else need ever come in."""
        journal = self.store.journal
        if not journal.idle and journal.writing is None and not self._no_room:
            self._set_timer(journal.linger_until(now) or now, call_at)
        elif self.store.has_notes:
            self._set_timer(now + NOTES_WAIT, call_at)

    def _set_timer(self, at: int, call_at: CallAt) -> None:
        if not self._timer_at or at < self._timer_at:
            self._timer_at = at
            call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer_at = 0

    def collect(self, now: int) -> None:
        """Take in what the thread has done."""
        journal = self.store.journal
        commits = journal.commits
        self.store.collect(now)
        if journal.commits != commits:  # one: there is one at a time
            self.commit_times.observe(journal.last_commit / SECOND)

    def status(self) -> DurableStatus:
        """How the journal is, and how the start was."""
        return status_of(self.store, self.commit_times, self.recovery_seconds)

    # ------------------------------------------------------------ in the background

    async def run(
        self,
        broker: Broker,
        storage: DurableStorage,
        now: Callable[[], int],
        tick: Callable[[], None],
    ) -> None:
        """Make files ready, sync, make checkpoints, until cancelled. ``tick`` ends a tick."""
        while True:
            await self._wake.wait()
            if not self.running:
                self._wake = trio.Event()
                continue
            await self._round(broker, storage, now, tick)
            with trio.move_on_after(self._pause()):
                self._wake = trio.Event()
                await self._wake.wait()
            self._wake.set()

    def _pause(self) -> float:
        if self._failed:
            return RETRY
        modes = {topic.state.mode for topic in self.store.topics.values()}
        return min(self.interval, LONGEST_UNSYNCED) if "interval" in modes else LONGEST_UNSYNCED

    async def _round(
        self,
        broker: Broker,
        storage: DurableStorage,
        now: Callable[[], int],
        tick: Callable[[], None],
    ) -> None:
        store = self.store
        if store.wants_checkpoint(now()):
            await self._checkpoint(broker, storage)
        if store.files.wants_file:
            failure = await self._make_file()
            if failure is not None and not store.journal.idle:
                store.journal.refuse(failure)
            tick()
        await self._tidy(broker, storage, tick)
        if store.wants_sync:
            store.end_tick(now(), sync=True)
        self._tell_health(broker)

    async def _make_file(self) -> OSError | None:
        """Why there is none. A disk that refuses is asked again after a while, however many
        publishers there are to be told of it."""
        if self._no_file is None or trio.current_time() >= self._try_again:
            self._no_file = await self._try("make a journal file", self.store.prepare)
            self._try_again = trio.current_time() + RETRY
        return self._no_file

    async def _checkpoint(self, broker: Broker, storage: DurableStorage) -> None:
        try:
            checkpoint = self.store.snapshot(lambda log: storage.held(log, in_flight(broker)))
        except OSError as error:
            self._failed = True
            logger.error("DURABLE: no checkpoint - %s", error)
            return
        failure = await self._try("write a checkpoint", checkpoint.run)
        self.store.checkpointed(checkpoint, failure)

    async def _tidy(
        self, broker: Broker, storage: DurableStorage, tick: Callable[[], None]
    ) -> None:
        """Write once more what keeps whole segments, a little in each turn of the loop."""
        topics = list(self.store.topics.values())
        journal = self.store.journal
        for _ in tidy_all(topics, lambda log: storage.held(log, in_flight(broker))):
            tick()
            if journal.pending_bytes > TIDY_AHEAD:
                break
            await trio.lowlevel.checkpoint()

    async def _try(self, what: str, job: Callable[[], None]) -> OSError | None:
        try:
            await threads.run_sync(job, lane="disk")
        except OSError as error:
            self._failed = True
            logger.error("DURABLE: failed to %s - %s", what, error)
            return error.with_traceback(None)
        self._failed = False
        return None

    def _tell_health(self, broker: Broker) -> None:
        error = self.store.journal.error
        broker.health.journal_is(error)
        if error is not None:
            self._failed = True
            self.store.probe()

    # ------------------------------------------------------------ the end

    async def flush_answers(self, now: Callable[[], int], tick: Callable[[], None]) -> None:
        """Have every answer out that can be given, before connections end."""
        if not self.running:
            return
        with trio.move_on_after(5):
            while not self.store.journal.idle:
                self.store.end_tick(now())
                await trio.sleep(0.001)
                tick()

    def close(self, broker: Broker, storage: DurableStorage, now: int) -> None:
        """Leave everything on the disk. Raises OSError."""
        if self.running:
            self.store.close(now, lambda log: storage.held(log, in_flight(broker)))
        else:
            self.committer.stop()


def in_flight(broker: Broker) -> Callable[[str, str], Iterator[bytes]]:
    """What the consumers of a channel hold, and what leaves it, by topic and channel."""

    def held(topic: str, channel: str) -> Iterator[bytes]:
        found = broker.topics[topic].channels[channel]
        for consumer in found.consumers:
            yield from consumer.in_flight.values()
        yield from found.departures.leaving.values()

    return held
