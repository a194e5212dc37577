"""/livez and /readyz: whether to restart this nsqd, and whether to send it messages.

An nsqd that answers at all is alive; a failing disk or nsqlookupd is not cured by a restart. It is
ready if nothing keeps it from taking messages and being found.
"""

import shutil
from functools import partial

from nsqcore.http.request import Request
from nsqcore.http.responses import Response, json, text
from nsqcore.http.router import Router
from nsqd.http.context import NsqdApi

ALIVE = text("OK", versioned=False)

# Seconds. Heartbeats and message timeouts are counted in seconds: later than this, clients notice.
MAX_LAG = 1.0


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add the probes to ``router``."""
    router.add("GET", "/livez", livez)
    router.add("GET", "/readyz", partial(readyz, api))


def livez(_request: Request) -> Response:
    """GET /livez: ``OK``."""
    return ALIVE


def readyz(api: NsqdApi, _request: Request) -> Response:
    """GET /readyz: 200 if all is well, else 503; and, by name, ``ok`` or what is wrong.

    Also the wall clock in seconds, and the free share of the data path's file system.
    """
    wrong = troubles(api)
    ready = not any(wrong.values())
    shown = {
        "status": "ready" if ready else "not ready",
        "checks": {name: trouble or "ok" for name, trouble in wrong.items()},
        "time": api.wall / 1e9,
        "disk_free": _disk_free(api.broker.store.directory),
    }
    return json(shown, 200 if ready else 503, versioned=False)


def troubles(api: NsqdApi) -> dict[str, str]:
    """What keeps this nsqd from being ready, by the name of the check; empty where all is well."""
    lag, broker = api.loop_lag(), api.broker
    return {
        "disk": broker.health.text if broker.health.error else "",
        "loop": "" if lag <= MAX_LAG else f"event loop is {lag:.1f} s behind",
        "draining": "draining" if api.draining() else "",
        **{name: check() for name, check in api.checks.items()},
    }


def _disk_free(directory: str) -> float | None:
    """The share of the file system of ``directory`` that is free; None if that cannot be told."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
