"""Runs what keeps durable topics: the committing thread, syncs, checkpoints, journal files.

The store (`nsqd.storage.durable.store`) decides; here are the clock, the threads and the log. An
nsqd without durable topics has none of it running.
"""

import logging
from collections.abc import Callable, Iterator

import trio
from attrs import define, field

from nsqcore.app import threads
from nsqcore.units import MS
from nsqd.engine.broker import Broker
from nsqd.storage.durable.committer import Committer
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.store import DurableStore

logger = logging.getLogger(__name__)

# What consumers finished and got is synced after this long at the latest, where OK means a sync.
LONGEST_UNSYNCED = 1.0
# What was delivered at the end of a tick is journaled with the next one, or this much later (ns).
NOTES_WAIT = 10 * MS
# Seconds between two looks at a disk that failed.
RETRY = 2.0

CallAt = Callable[[int, Callable[[], None]], object]


@define(eq=False)
class Durability:
    """Drives the durable store. ``interval`` is ``--durability-interval`` in seconds."""

    store: DurableStore
    interval: float
    committer: Committer
    _wake: trio.Event = field(factory=trio.Event, init=False)
    _running: bool = field(default=False, init=False)
    _failed: bool = field(default=False, init=False)
    _timer_at: int = field(default=0, init=False)

    def start(self) -> None:
        """Be ready for durable topics. Raises OSError where there is no thread to be had."""
        if self._running:
            return
        try:
            self.committer.start()
        except RuntimeError as error:
            raise OSError(f"no thread for the journal: {error}") from None
        self.store.committer = self.committer
        self._running = True
        self._wake.set()

    # ------------------------------------------------------------ in the tick

    def end_tick(self, now: int, call_at: CallAt) -> None:
        """Journal what the tick brought. ``call_at`` sets a timer, after which there is a tick."""
        if not self._running:
            return
        store = self.store
        store.end_tick(now)
        journal = store.journal
        if not journal.idle and journal.writing is None:
            until = journal.linger_until(now)
            if until is None:
                self._wake.set()  # it waits for a file
            else:
                self._set_timer(until, call_at)
        if store.files.full or store.files.failed:
            self._wake.set()

    def after_delivery(self, now: int, call_at: CallAt) -> None:
        """Have what was delivered at the end of this tick journaled soon."""
        if self._running and self.store.has_notes:
            self._set_timer(now + NOTES_WAIT, call_at)

    def _set_timer(self, at: int, call_at: CallAt) -> None:
        if not self._timer_at or at < self._timer_at:
            self._timer_at = at
            call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer_at = 0

    def collect(self, now: int) -> None:
        """Take in what the thread has done."""
        self.store.collect(now)

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
            if not self._running:
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
            await self._try("make a journal file", store.prepare)
            tick()
        if store.wants_sync:
            store.end_tick(now(), sync=True)
        self._tell_health(broker)

    async def _checkpoint(self, broker: Broker, storage: DurableStorage) -> None:
        try:
            checkpoint = self.store.snapshot(lambda log: storage.held(log, in_flight(broker)))
        except OSError as error:
            self._failed = True
            logger.error("DURABLE: no checkpoint - %s", error)
            return
        failure = await self._try("write a checkpoint", checkpoint.run)
        self.store.checkpointed(checkpoint, failure)

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
        if error is not None:
            broker.health.failed(error)
            self._failed = True
            self.store.try_out()

    # ------------------------------------------------------------ the end

    async def settle(self, now: Callable[[], int], tick: Callable[[], None]) -> None:
        """Have every answer out that can be given, before connections end."""
        if not self._running:
            return
        with trio.move_on_after(5):
            while not self.store.journal.idle:
                self.store.end_tick(now())
                await trio.sleep(0.001)
                tick()

    def close(self, broker: Broker, storage: DurableStorage, now: int) -> None:
        """Leave everything on the disk. Raises OSError."""
        if self._running:
            self.store.close(now, lambda log: storage.held(log, in_flight(broker)))
        else:
            self.committer.stop()


def in_flight(broker: Broker) -> Callable[[str, str], Iterator[bytes]]:
    """What the consumers of a channel hold, by topic and channel."""

    def held(topic: str, channel: str) -> Iterator[bytes]:
        for consumer in broker.topics[topic].channels[channel].consumers:
            yield from consumer.in_flight.values()

    return held
