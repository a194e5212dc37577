"""The whole HTTP API of an nsqd, as a router."""

from functools import partial

from nsqcore.access.roles import OPEN
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError, Response
from nsqcore.http.router import Router
from nsqcore.operations import config
from nsqcore.operations.probes import refusing_router
from nsqd.http import debug, info, probes
from nsqd.http.actions import admin, policies, publish
from nsqd.http.messages import acting, listing, redriving
from nsqd.http.reports import durable, metrics, stats
from nsqd.http.shared.context import NsqdApi


def build_router(api: NsqdApi) -> Router:
    """Every endpoint."""
    router = Router(guard=api.guard)
    daemon = (publish, info, stats, admin, policies, durable, metrics, probes)
    for module in (*daemon, listing, acting, redriving):
        module.add_routes(router, api)
    config.add_routes(router, api.config, max_body=api.limits.max_msg_size)
    debug.add_routes(router)
    return router


def build_shared_router(api: NsqdApi) -> Router:
    """What is answered at an address that several nsqd share: publishing, and probes.

    Everything else is about one nsqd or is to be done at each, and who asks there does not know
    whom: 421.
    """
    router = Router(fallback=_misdirected, guard=api.guard)
    for module in (publish, probes):
        module.add_routes(router, api)
    router.add("GET", "/ping", partial(info.ping, api), rule=OPEN)
    return router


def _misdirected(_request: Request) -> Response:
    detail = "several nsqd share this address, for publishing: ask each at its own"
    return HttpError(421, "SHARED_ADDRESS", detail=detail).response()


def build_refusing_router(api: NsqdApi) -> Router:
    """What a plain listener answers where TLS is required: where to go instead.

    Probes are answered: they tell no names, and what asks them (kubelet, a container's health
    check) would take a refusal for a failure.
    """
    router = refusing_router(lambda: api.ports.https, api.guard)
    probes.add_routes(router, api)
    return router
