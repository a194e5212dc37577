"""For those who run nsqadmin: /metrics and probes.

They answer without a login, and at the root whatever ``--base-path`` says, so that supervisors need
not know it. All is read from the collector's last snapshot: neither a probe nor a scrape
asks the cluster anything. nsqadmin is ready even if the cluster is not: that is when somebody wants
to look.
"""

import platform
from functools import cache
from typing import Any

import trio
from quart import Response
from quart_trio import QuartTrio

from nsqadmin.admin import Admin
from nsqadmin.collect.snapshot import Snapshot
from nsqcore.app.version import VERSION, release
from nsqcore.metrics.prometheus import CONTENT_TYPE, build_info, process_metrics, single

# Paths that are open without a login.
OPEN = ("/livez", "/readyz", "/metrics")

# Seconds. Pages are for people, who notice a second.
_MAX_LAG = 1.0

# Seconds. How long a timer is set for when its delay is measured: a twentieth of _MAX_LAG.
_PROBE = 0.05


def add_operations(app: QuartTrio, admin: Admin) -> None:
    """Route ``/livez``, ``/readyz`` and ``/metrics``."""

    async def livez() -> Response:
        return Response("OK", content_type="text/plain; charset=utf-8")

    async def readyz() -> tuple[dict[str, Any], int]:
        lag = await _lag()
        loop = "ok" if lag <= _MAX_LAG else f"event loop is {lag:.1f} s behind"
        ready = loop == "ok"
        status = "ready" if ready else "not ready"
        return {"status": status, "checks": {"loop": loop}}, 200 if ready else 503

    async def metrics() -> Response:
        process = await trio.to_thread.run_sync(_process_text)
        own = _seen(admin.collector.snapshot, wall=admin.wall()) + single(
            "nsqadmin_event_loop_lag_seconds", "gauge", "Delay of a timer.", await _lag()
        )
        return Response(process + own, content_type=CONTENT_TYPE)

    views: dict[str, Any] = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
    base = admin.options.base_path.rstrip("/")
    for prefix in {"", base}:
        for path, view in views.items():
            app.add_url_rule(f"{prefix}{path}", f"operations{prefix}{path}", view)


async def _lag() -> float:
    """Seconds by which a timer is late just now."""
    began = trio.current_time()
    await trio.sleep(_PROBE)
    return max(trio.current_time() - began - _PROBE, 0.0)


def _process_text() -> str:
    return process_metrics() + _build_text()


@cache
def _build_text() -> str:
    python = platform.python_version()
    return build_info("nsqadmin", version=VERSION, release=release(), python=python)


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
