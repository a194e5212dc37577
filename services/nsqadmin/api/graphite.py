"""Graphite asked by nsqadmin: rates of targets, and pictures passed on (``--proxy-graphite``)."""

import logging
from urllib.parse import urlencode

from quart import Response, request
from quart_trio import QuartTrio

from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.web.requests import check_query, respond
from nsqcore.http.client import RequestFailed
from nsqcore.json import decode
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)

# Of an upstream answer only these belong to what is passed on; the rest is about its connection.
_PASSED = ("Content-Type", "Cache-Control", "ETag", "Last-Modified", "Expires")


def add_graphite(app: QuartTrio, admin: Admin) -> None:
    """Route ``/api/graphite``, and ``/render`` if Graphite is to be proxied."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/api/graphite")
    async def graphite() -> Response:
        check_query(request)
        if request.args.get("metric") != "rate":
            raise Refused(400, "INVALID_ARG_METRIC")
        target = request.args.get("target")
        if target is None:
            raise Refused(400, "INVALID_ARG_TARGET")
        return respond({"rate": await _rate(admin, target)})

    if not admin.options.proxy_graphite:
        return

    @app.get(f"{base}/render")
    async def render() -> Response:
        query = request.query_string.decode("latin-1")
        url = admin.options.graphite_url.rstrip("/") + f"/render?{query}"
        try:
            answer = await admin.web.request("GET", url)
        except RequestFailed as error:
            logger.error("graphite(%s): %s", redact(url), error)
            raise Refused(502, "UPSTREAM_ERROR: graphite does not answer") from error
        response = Response(answer.body, answer.status)
        for name in _PASSED:
            if name in answer.headers:
                response.headers[name] = answer.headers[name]
        return response


async def _rate(admin: Admin, target: str) -> str:
    """The rate of a counter as Graphite has it, in messages per second."""
    interval = int(admin.options.statsd_interval)
    query = {
        "from": f"-{interval * 2}sec", "until": f"-{interval}sec", "format": "json",
        "target": target,
    }  # fmt: skip
    url = f"{admin.options.graphite_url.rstrip('/')}/render?{urlencode(query)}"
    logger.info("graphite: %s", redact(url))
    try:
        answer = await admin.web.request("GET", url)
        if answer.status != 200:
            raise RequestFailed(f"status {answer.status}")
        value = decode(answer.body)[0]["datapoints"][0][0]
        if value is None or value < 0:
            return "N/A"
        return f"{value / interval:.2f}"
    except (RequestFailed, ValueError, LookupError, TypeError, ZeroDivisionError) as error:
        logger.error("graphite: request failed: %s", error)
        raise Refused(500, "INTERNAL_ERROR") from error
