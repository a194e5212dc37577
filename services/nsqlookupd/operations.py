"""For those who run nsqlookupd: /metrics, probes, and a look inside under /debug/pprof."""

from functools import partial

from nsqcore.access.roles import METRICS
from nsqcore.http.request import Request
from nsqcore.http.responses import Response
from nsqcore.http.router import Router
from nsqcore.metrics.prometheus import single
from nsqcore.operations import metrics, pprof, probes
from nsqlookupd.context import Lookupd


def add_routes(router: Router, lookupd: Lookupd) -> None:
    """Add the endpoints of this module to ``router``."""
    router.add("GET", "/metrics", partial(get_metrics, lookupd), rule=METRICS)
    probes.add_routes(router, lookupd.checks)
    pprof.add_routes(router, index_path="/debug/pprof")


async def get_metrics(lookupd: Lookupd, _request: Request) -> Response:
    """GET /metrics: the process, and what is registered."""
    return metrics.response(await metrics.process_text("nsqlookupd") + _counted(lookupd))


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
        ("event_loop_lag_seconds", "Delay of a timer.", lookupd.lag.seconds),
    )
    return "".join(single(f"nsqlookupd_{name}", "gauge", help, n) for name, help, n in counts)
