"""For those who run nsqlookupd: /metrics, probes, and a look inside under /debug/pprof."""

import platform
from collections.abc import Callable
from functools import cache

import trio

from nsqcore.app import diagnose
from nsqcore.app.values import number
from nsqcore.app.version import VERSION, release
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError, Response, json, text
from nsqcore.http.router import Router
from nsqcore.metrics.prometheus import CONTENT_TYPE, build_info, process_metrics, single
from nsqlookupd.context import Lookupd, lookupd_of

_ALIVE = text("OK", versioned=False)

# Seconds. Registration and lookups are for people and for timers counted in seconds; later than
# this, they notice.
_MAX_LAG = 1.0

_PROFILE_SECONDS = 30.0


def add_routes(router: Router) -> None:
    """Add the endpoints of this module to ``router``."""
    router.add("GET", "/metrics", metrics)
    router.add("GET", "/livez", lambda _request: _ALIVE)
    router.add("GET", "/readyz", readyz)
    pprof = "/debug/pprof"
    router.add("GET", pprof, _plain(lambda: diagnose.INDEX))
    router.add("GET", f"{pprof}/cmdline", _plain(diagnose.cmdline))
    router.add("GET", f"{pprof}/symbol", _plain(diagnose.symbol))
    router.add("POST", f"{pprof}/symbol", _plain(diagnose.symbol))
    router.add("GET", f"{pprof}/profile", profile)
    router.add("GET", f"{pprof}/heap", heap)
    router.add("GET", f"{pprof}/goroutine", _plain(diagnose.tasks))
    router.add("GET", f"{pprof}/block", _plain(diagnose.threads))
    router.add("GET", f"{pprof}/threadcreate", _plain(diagnose.threads))


async def metrics(request: Request) -> Response:
    """GET /metrics: the registry and the process, for Prometheus."""
    process = await trio.to_thread.run_sync(_process_text)
    return Response(
        200, (process + _counted(lookupd_of(request))).encode(), CONTENT_TYPE, versioned=False
    )


def _process_text() -> str:
    return process_metrics() + _build_text()


@cache
def _build_text() -> str:
    return build_info(
        "nsqlookupd", version=VERSION, release=release(), python=platform.python_version()
    )


def _counted(lookupd: Lookupd) -> str:
    registry, now = lookupd.registry, lookupd.now()
    topics = registry.topics.values()
    active = sum(registry.is_active(producer, now=now) for producer in registry.producers)
    counts = (
        ("producers", "Connections of nsqd that said who they are.", len(registry.producers)),
        ("active_producers", "Of these, those that pinged recently.", active),
        ("topics", "Topics known.", len(topics)),
        (
            "topics_without_producers",
            "Topics that no nsqd has.",
            sum(not t.producers for t in topics),
        ),
        ("channels", "Channels known.", sum(len(t.channels) for t in topics)),
        ("registrations", "Pairs of topic and nsqd.", sum(len(t.producers) for t in topics)),
        (
            "tombstones",
            "Registrations marked as tombstoned.",
            sum(len(t.tombstones) for t in topics),
        ),
        ("event_loop_lag_seconds", "Delay of a timer.", lookupd.lag),
    )
    return "".join(single(f"nsqlookupd_{name}", "gauge", help, n) for name, help, n in counts)


def readyz(request: Request) -> Response:
    """GET /readyz: 200 if all is well, else 503; and, by name, ``ok`` or what is wrong."""
    lookupd = lookupd_of(request)
    lag = lookupd.lag
    checks = {
        "loop": "ok" if lag <= _MAX_LAG else f"event loop is {lag:.1f} s behind",
        "stopping": "stopping" if lookupd.stopping else "ok",
    }
    ready = set(checks.values()) == {"ok"}
    shown = {"status": "ready" if ready else "not ready", "checks": checks}
    return json(shown, 200 if ready else 503, versioned=False)


def _plain(make: Callable[[], str]) -> Callable[[Request], Response]:
    return lambda _request: text(make(), versioned=False)


async def heap(_request: Request) -> Response:
    """GET /debug/pprof/heap: objects by type. Counted in a thread: there may be millions."""
    return text(await trio.to_thread.run_sync(diagnose.heap), versioned=False)


async def profile(request: Request) -> Response:
    """GET /debug/pprof/profile: where the time goes during the next ``seconds`` (30)."""
    try:
        duration = number(request.arg("seconds") or _PROFILE_SECONDS)
    except ValueError as error:
        raise HttpError(400, "INVALID_SECONDS") from error
    try:
        return text(await diagnose.profile(duration), versioned=False)
    except RuntimeError as error:
        raise HttpError(503, "PROFILE_IN_PROGRESS") from error
