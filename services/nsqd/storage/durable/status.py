"""What an operator may want to know of the journal and of the last start, at one moment."""

from nsqcore.classes import frozen
from nsqcore.metrics.histogram import Histogram
from nsqd.storage.durable.recovery import Report
from nsqd.storage.durable.store import DurableStore


@frozen(kw_only=True)
class DurableStatus:
    """The state of everything durable. Files are the journal's.

    ``last_commit`` is how long the last sync took, in ns; ``recovery_seconds`` how long nsqd took
    to read what was there. ``damaged`` and ``lost`` messages could not be read, or found, since
    nsqd began, its start included.
    """

    in_use: bool
    full: int
    free: int
    failed: int
    file_size: int
    error: str
    last_commit: int
    commits: int
    uncommitted_bytes: int
    damaged: int
    lost: int
    recovery_seconds: float
    recovery: Report
    commit_times: Histogram


def status_of(
    store: DurableStore, commit_times: Histogram, recovery_seconds: float
) -> DurableStatus:
    """How ``store`` is."""
    journal, files = store.journal, store.files
    topics = store.topics.values()
    return DurableStatus(
        in_use=bool(topics),
        full=len(files.full),
        free=files.free,
        failed=len(files.failed),
        file_size=files.file_size,
        error="" if journal.error is None else str(journal.error),
        last_commit=journal.last_commit,
        commits=journal.commits,
        uncommitted_bytes=journal.pending_bytes,
        damaged=store.report.broken
        + store.past_damaged
        + sum(topic.log.damaged.total for topic in topics),
        lost=store.past_lost + sum(topic.lost for topic in topics),
        recovery_seconds=recovery_seconds,
        recovery=store.report,
        commit_times=commit_times,
    )
