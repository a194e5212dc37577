"""The whole HTTP API of an nsqd, as a router."""

from nsqcore.http.request import Request
from nsqcore.http.responses import Response, json
from nsqcore.http.router import Router
from nsqcore.operations import config
from nsqd.http import debug, info, probes
from nsqd.http.actions import admin, policies, publish
from nsqd.http.context import NsqdApi
from nsqd.http.reports import durable, metrics, stats


def build_router(api: NsqdApi) -> Router:
    """Every endpoint."""
    router = Router()
    for module in (publish, info, stats, admin, policies, durable, metrics, probes):
        module.add_routes(router, api)
    config.add_routes(router, api.config, max_body=api.limits.max_msg_size)
    debug.add_routes(router)
    return router


def build_refusing_router(api: NsqdApi) -> Router:
    """What a plain listener answers where TLS is required: where to go instead.

    Probes are answered: they tell no names, and what asks them (kubelet, a container's health
    check) would take a refusal for a failure.
    """

    def refuse(_request: Request) -> Response:
        return json({"message": "TLS_REQUIRED", "https_port": api.ports.https}, 403)

    router = Router(fallback=refuse)
    probes.add_routes(router, api)
    return router
