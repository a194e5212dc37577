"""/livez and /readyz of nsqd: the probes of every daemon, with what is worth comparing."""

import shutil
from typing import Any

from nsqcore.http.router import Router
from nsqcore.operations import probes
from nsqd.http.context import NsqdApi


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add the probes to ``router``."""

    def facts() -> dict[str, Any]:
        # The wall clock in seconds, and the free share of the data path's file system.
        return {"time": api.wall / 1e9, "disk_free": _disk_free(api.data_path)}

    probes.add_routes(router, lambda: api.checks(), facts)


def _disk_free(directory: str) -> float | None:
    """The share of the file system of ``directory`` that is free; None if that cannot be told."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
