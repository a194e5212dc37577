"""For those who run nsqadmin: /metrics and probes.

They answer without a login, and at the root whatever ``--base-path`` says, so that supervisors need
not know it. All is read from the collector's last snapshot: neither a probe nor a scrape
asks the cluster anything. nsqadmin is ready even if the cluster is not: that is when somebody wants
to look.
"""

from typing import Any

from quart import Response
from quart_trio import QuartTrio

from nsqadmin.collect.snapshot import Snapshot
from nsqadmin.core.admin import Admin
from nsqcore.metrics.prometheus import CONTENT_TYPE, single
from nsqcore.operations.metrics import process_text
from nsqcore.operations.probes import readiness

# Paths that are open without a login.
OPEN = ("/livez", "/readyz", "/metrics")


def add_operations(app: QuartTrio, admin: Admin) -> None:
    """Route ``/livez``, ``/readyz`` and ``/metrics``."""

    async def livez() -> Response:
        return Response("OK", content_type="text/plain; charset=utf-8")

    async def readyz() -> tuple[dict[str, Any], int]:
        return readiness({"loop": admin.lag.trouble()})

    async def metrics() -> Response:
        process = await process_text("nsqadmin")
        own = _seen(admin.collector.snapshot, wall=admin.wall()) + single(
            "nsqadmin_event_loop_lag_seconds", "gauge", "Delay of a timer.", admin.lag.seconds
        )
        return Response(process + own, content_type=CONTENT_TYPE)

    views: dict[str, Any] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    base = admin.options.base_path.rstrip("/")
    for prefix in {"", base}:
        for path, view in views.items():
            app.add_url_rule(f"{prefix}{path}", f"operations{prefix}{path}", view)


def _seen(snapshot: Snapshot, *, wall: int) -> str:
    """What the collector saw of the cluster; ``wall`` is Unix time in nanoseconds."""
    silent_nodes = sum(1 for node in snapshot.nodes if node.error)
    silent_lookupds = sum(1 for lookupd in snapshot.lookupds if lookupd.error)
    age = (wall - snapshot.taken) / 1e9 if snapshot.version else 0.0
    gauges = (
        ("nsqds", "nsqd that the cluster has.", len(snapshot.nodes)),
        ("nsqds_silent", "Of these, those that did not answer.", silent_nodes),
        ("nsqds_unwell", "Of these, those that say something is wrong.", len(snapshot.unwell)),
        ("nsqlookupds", "nsqlookupd asked.", len(snapshot.lookupds)),
        ("nsqlookupds_silent", "Of these, those that did not answer.", silent_lookupds),
        ("topics", "Topics of the cluster.", len(snapshot.topics)),
        ("snapshot_age_seconds", "Time since the cluster was looked at.", max(age, 0.0)),
    )
    return single(
        "nsqadmin_snapshots_total", "counter", "Looks at the cluster.", snapshot.version
    ) + "".join(single(f"nsqadmin_{name}", "gauge", help, value) for name, help, value in gauges)
