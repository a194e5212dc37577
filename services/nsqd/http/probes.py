"""/livez and /readyz of nsqd: the probes of every daemon, with what is worth comparing."""

import shutil
from typing import Any

from nsqcore.http.router import Router
from nsqcore.operations import probes
from nsqd.http.shared.context import NsqdApi


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add the probes to ``router``."""

    def details() -> dict[str, Any]:
        """The wall clock in seconds, the free share of the data path's file system, and, with
        --min-free-bytes, that and what is free now."""
        usage = _disk_usage(api.data_path)
        told: dict[str, Any] = {"time": api.wall / 1e9, "disk_free": None}
        if usage is not None:
            total, free = usage
            told["disk_free"] = free / total if total else None
            if api.min_free_bytes:
                told |= {"free_bytes": free, "min_free_bytes": api.min_free_bytes}
        return told

    probes.add_routes(router, lambda: api.checks(), details)


def _disk_usage(directory: str) -> tuple[int, int] | None:
    """Bytes of the file system of ``directory``, and free ones; None if that cannot be told."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return None
    return usage.total, usage.free
