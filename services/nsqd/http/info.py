"""/ping and /info: whether this nsqd is well, and who it is."""

import socket
from functools import partial

from nsqcore.access.roles import OPEN, READ
from nsqcore.app.process.version import VERSION
from nsqcore.http.request import Request
from nsqcore.http.responses import Response, json, text
from nsqcore.http.router import Router
from nsqcore.units import SECOND
from nsqd.http.reports.durable import promise_text
from nsqd.http.shared.context import NsqdApi

WELL = text("OK", versioned=False)


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add /ping and /info to ``router``."""
    router.add("GET", "/ping", partial(ping, api), rule=OPEN)
    router.add("GET", "/info", partial(info, api), rule=READ)


def ping(api: NsqdApi, _request: Request) -> Response:
    """GET /ping: ``OK``, or 500 and what is wrong with the disk."""
    if not api.broker.health.error:
        return WELL
    return text(api.broker.health.text, 500, versioned=False)


def info(api: NsqdApi, _request: Request) -> Response:
    """GET /info. Durations are ns; ``draining`` is there only while it is true.

    ``durability`` and ``promise`` are those of topics without a policy, if not ``none``.
    """
    fields = {
        "version": VERSION,
        "broadcast_address": api.address(),
        "hostname": socket.gethostname(),
        "http_port": api.ports.http,
        "tcp_port": api.ports.tcp,
        "start_time": api.started // SECOND,
        **api.info,
    }
    durability = api.broker.settings.rules.durability
    if durability != "none":
        fields["durability"] = durability
        fields["promise"] = promise_text(durability, api.durability_interval)
    if api.draining():
        fields["draining"] = True
    return json(fields)
