"""What durable topics promise, in words, and /durable/status: how the journal is."""

from functools import partial

from attrs import asdict

from nsqcore.access.roles import READ_ALL
from nsqcore.http.request import Request
from nsqcore.http.responses import Response, json
from nsqcore.http.router import Router
from nsqcore.metrics.prometheus import single
from nsqcore.units import MS
from nsqd.http.shared.context import NsqdApi
from nsqd.storage.durable.status import DurableStatus

# Of a start that found more, the rest is in the log.
MAX_PROBLEMS = 100


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add /durable/status to ``router``."""
    router.add("GET", "/durable/status", partial(durable_status, api), rule=READ_ALL)


def promise_text(durability: str, interval: float) -> str:
    """Where a message is once it is acknowledged; ``interval`` is in seconds."""
    return {
        "os": "in the system's cache",
        "interval": f"on disk every {interval * 1000:g} ms",
        "always": "on disk",
    }.get(durability, "in memory")


def durable_status(api: NsqdApi, _request: Request) -> Response:
    """GET /durable/status."""
    status = api.durable()
    recovery = asdict(status.recovery)
    recovery["problems"] = recovery["problems"][:MAX_PROBLEMS]
    return json(
        {
            "in_use": status.in_use,
            "journal": {
                "full": status.full,
                "free": status.free,
                "failed": status.failed,
                "file_size": status.file_size,
                "error": status.error,
            },
            "commits": status.commits,
            "last_commit_ms": status.last_commit / MS,
            "uncommitted_bytes": status.uncommitted_bytes,
            "damaged": status.damaged,
            "lost": status.lost,
            "recovery": {"seconds": status.recovery_seconds, **recovery},
        }
    )


def durable_metrics(status: DurableStatus) -> str:
    """What /metrics tells of the journal."""
    found, journal, recovery = status.recovery, "nsqd_journal", "nsqd_recovery"
    return "".join(
        (
            status.commit_times.to_prometheus(
                f"{journal}_commit_seconds", "From a group's begin to its sync."
            ),
            single(f"{journal}_commits_total", "counter", "Groups synced.", status.commits),
            single(
                f"{journal}_uncommitted_bytes",
                "gauge",
                "Bytes that wait to be written.",
                status.uncommitted_bytes,
            ),
            single(f"{journal}_free_files", "gauge", "Files ready for use.", status.free),
            single(
                f"{journal}_full_files", "gauge", "Files that wait for a checkpoint.", status.full
            ),
            single(f"{journal}_failed_files", "gauge", "Files given up.", status.failed),
            single(
                f"{recovery}_seconds",
                "gauge",
                "How long the start took to read the data.",
                status.recovery_seconds,
            ),
            single(f"{recovery}_entries", "gauge", "Journal entries applied then.", found.entries),
            single(
                f"{recovery}_missing_entries", "gauge", "Entries that were missing.", found.missing
            ),
            single(
                "nsqd_damaged_total",
                "counter",
                "Messages that could not be read or found since nsqd began.",
                status.damaged + status.lost,
            ),
        )
    )
