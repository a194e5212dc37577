"""Graphite asked by nsqadmin: rates of targets, and pictures passed on (``--proxy-graphite``)."""

import logging
from urllib.parse import urlsplit, urlunsplit

import httpx
import trio
from quart import Response, request
from quart_trio import QuartTrio

from nsqadmin.admin import Admin
from nsqadmin.errors import Refused
from nsqadmin.web.requests import check_query, respond

logger = logging.getLogger(__name__)

# Of an upstream answer only these belong to what is passed on; the rest is about its connection.
_PASSED = ("Content-Type", "Cache-Control", "ETag", "Last-Modified", "Expires")
# Graphite's largest pictures are below 1 MB; raw data for a week of a few series about 5.
_MAX_ANSWER = 32 * 1024 * 1024


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
            answer = await _get(admin, url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.error("graphite(%s): %s", _without_password(url), error)
            raise Refused(502, "UPSTREAM_ERROR: graphite does not answer") from error
        response = Response(answer.content, answer.status_code)
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
    url = f"{admin.options.graphite_url.rstrip('/')}/render?{httpx.QueryParams(query)}"
    logger.info("graphite: %s", _without_password(url))
    try:
        answer = (await _get(admin, url)).raise_for_status().json()
        value = answer[0]["datapoints"][0][0]
        if value is None or value < 0:
            return "N/A"
        return f"{value / interval:.2f}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        logger.error("graphite: request failed: %s", error)
        raise Refused(500, "INTERNAL_ERROR") from error
    except ZeroDivisionError as error:
        raise Refused(500, "INTERNAL_ERROR") from error


async def _get(admin: Admin, url: str) -> httpx.Response:
    """What Graphite answers; credentials in its URL become Basic authentication."""
    options = admin.options
    timeout = httpx.Timeout(
        options.http_client_request_timeout, connect=options.http_client_connect_timeout
    )
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
        async with client.stream("GET", url) as answer:
            content, size = b"", 0
            with trio.CancelScope() as reading:
                async for part in answer.aiter_bytes():
                    size += len(part)
                    if size > _MAX_ANSWER:
                        reading.cancel()  # httpx's generators end well from inside only
                    else:
                        content += part
            if size > _MAX_ANSWER:
                raise httpx.DecodingError(f"more than {_MAX_ANSWER} bytes")
            return httpx.Response(
                answer.status_code,
                headers={name: answer.headers[name] for name in _PASSED if name in answer.headers},
                content=content,
                request=answer.request,
            )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
