"""Runs the chores of the disk queues: has a thread do what their store says is due.

The store (`nsqd.storage.diskqueue.store`) decides; here are the clock, the thread and the log.
A disk that fails is logged and tried again; it never stops the queues. Nor does nsqd wait for the
next message to see whether it is well again: while it is not ready, nobody may send it one.
"""

import logging

import trio

from nsqcore.app import threads
from nsqcore.units import SECOND
from nsqd.engine.health import Health
from nsqd.storage.diskqueue.store import DiskStore, Job

logger = logging.getLogger(__name__)

# --sync-timeout=0 must not become a loop that does nothing else.
SHORTEST_TIMEOUT = 0.01
# Seconds between two trials of a disk that failed.
TRIAL_INTERVAL = 2.0
# Seconds that a stop waits for syncs that somebody waits for.
PATIENCE = 5.0


async def keep_synced(store: DiskStore, health: Health, tick: Job) -> None:
    """Sync the queues of ``store`` every ``sync_timeout``, and when they ask for it.

    ``tick`` ends a tick, after those who waited for a sync were told. Ends only by cancellation,
    after the job at hand. What is then left is for `finish`.
    """
    next_round = trio.current_time()
    while True:
        asked = trio.Event()
        store.wake = asked.set
        if (job := store.due(int(trio.current_time() * SECOND))) is not None:
            if (error := await _run(job)) is not None:
                health.failed(error, sync=True)
            elif health.unsynced:  # what could not be synced is now
                health.recovered(synced=True)
                logger.info("DISKQUEUE: what failed to be synced is on the disk")
            if job.waiting:
                job.answer()
                tick()
        if trio.current_time() >= next_round:
            next_round = trio.current_time() + max(store.sync_timeout, SHORTEST_TIMEOUT)
        with trio.move_on_at(next_round):
            await asked.wait()


async def finish(store: DiskStore) -> None:
    """Do all that is left, once the queues are closed. Can't be cancelled half-way."""
    with trio.CancelScope(shield=True):
        if (job := store.finish()) is not None:
            await _run(job)


async def wait_for_syncs(store: DiskStore) -> None:
    """Return when nobody waits for a sync any more, or after a while."""
    with trio.move_on_after(PATIENCE):
        while store.awaited:  # noqa: ASYNC110 - for a moment, at the end of the process
            await trio.sleep(0.001)


async def watch_health(
    health: Health, store: DiskStore, *, interval: float = TRIAL_INTERVAL
) -> None:
    """Try a disk that failed every ``interval`` seconds, until it takes messages again."""
    while True:
        await trio.sleep(interval)
        if not health.queues:
            continue
        failures = health.failures
        try:
            await threads.run_sync(store.probe, lane="disk")
        except OSError as error:
            logger.debug("DISKQUEUE: the disk still fails - %s", error)
            continue
        if health.failures == failures and not store.failing:
            health.recovered(synced=True)
            logger.info("DISKQUEUE: the disk takes messages again")


async def _run(job: Job) -> OSError | None:
    """Why it failed."""
    try:
        with trio.CancelScope(shield=True):  # a job that is not run would be forgotten
            await threads.run_sync(job, lane="disk")
    except OSError as error:
        logger.error("DISKQUEUE: failed to sync - %s", error)
        return error.with_traceback(None)
    return None
