"""/livez and /readyz: whether to restart a daemon, and whether to send it anybody.

A daemon that answers at all is alive. It is ready if none of its checks finds anything wrong. A
check is a name and a text: what is wrong, or the empty text.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nsqcore.access.roles import OPEN
from nsqcore.http.guard import Guard
from nsqcore.http.request import Request
from nsqcore.http.responses import Response, json, text
from nsqcore.http.router import Router

Checks = Callable[[], Mapping[str, str]]

ALIVE = text("OK", versioned=False)


def readiness(checks: Mapping[str, str]) -> tuple[dict[str, Any], int]:
    """The JSON and the status with which /readyz answers: 200, or 503 if a check fails."""
    ready = not any(checks.values())
    found = {name: trouble or "ok" for name, trouble in checks.items()}
    shown = {"status": "ready" if ready else "not ready", "checks": found}
    return shown, 200 if ready else 503


def refusing_router(https_port: Callable[[], int], guard: Guard | None) -> Router:
    """What a plain listener answers where TLS is required: where to go instead."""

    def refuse(_request: Request) -> Response:
        return json({"message": "TLS_REQUIRED", "https_port": https_port()}, 403)

    return Router(fallback=refuse, guard=guard)


def add_routes(
    router: Router, checks: Checks, details: Callable[[], Mapping[str, Any]] = dict
) -> None:
    """Add /livez and /readyz; ``details`` are shown in /readyz whatever the checks say."""

    def livez(_request: Request) -> Response:
        return ALIVE

    def readyz(_request: Request) -> Response:
        shown, status = readiness(checks())
        return json({**shown, **details()}, status, versioned=False)

    router.add("GET", "/livez", livez, rule=OPEN)
    router.add("GET", "/readyz", readyz, rule=OPEN)
