"""/config/:opt: settings, read and changed while nsqd runs.

Values have the types that the original gives them: durations are ns, the log level is a number
from 1 (debug) to 5 (fatal), a text is sent as it is and everything else as JSON.
``nsqlookupd_tcp_addresses`` and ``log_level`` can be changed. ``drain`` is not a setting, but
switched on in the same way.
"""

from enum import IntEnum
from functools import partial
from typing import Any

from attrs import evolve

from nsqcore.app.log import LEVELS, parse_level
from nsqcore.app.options import settings
from nsqcore.app.values import seconds
from nsqcore.http.request import Request
from nsqcore.http.responses import EMPTY, HttpError, Response, json, text
from nsqcore.http.router import Router
from nsqcore.json import JsonError, decode
from nsqcore.metrics.statsd import expand_prefix, host_key
from nsqd.http.context import NsqdApi
from nsqd.options import NsqdOptions

# By the name they have in the file. What is secret is not told; what has no effect, or names the
# file itself, never was.
_SETTINGS = {
    setting.key: setting
    for setting in settings(NsqdOptions, "nsqd")
    if not (setting.secret or setting.deprecated or setting.key == "config")
}


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add /config to ``router``."""
    path, limit = "/config/:opt", api.options.max_msg_size
    router.add("GET", path, partial(get_option, api))
    router.add("PUT", path, partial(put_option, api), max_body=limit, too_big="INVALID_VALUE")


def get_option(api: NsqdApi, request: Request) -> Response:
    """GET /config/:opt."""
    name = request.params["opt"]
    if name == "drain":
        return json(api.draining())
    setting = _SETTINGS.get(name)
    if setting is None:
        raise HttpError(400, "INVALID_OPTION")
    value = getattr(_in_effect(api), setting.name)
    if setting.name == "log_level":
        return json(list(LEVELS).index(value) + 1)
    if isinstance(value, str):
        return text(value) if value else EMPTY
    return json(_plain(round(value * 1e9) if setting.parse is seconds else value))


def _in_effect(api: NsqdApi) -> NsqdOptions:
    """The options, with what is only known once nsqd runs."""
    options = api.options
    tcp_port = options.broadcast_tcp_port or max(api.tcp_port, 0)
    http_port = options.broadcast_http_port or max(api.http_port, 0)
    key = host_key(options.broadcast_address, http_port)
    return evolve(
        options,
        broadcast_tcp_port=tcp_port,
        broadcast_http_port=http_port,
        statsd_prefix=expand_prefix(options.statsd_prefix, key),
    )


def _plain(value: Any) -> Any:
    """``value`` as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, IntEnum) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def put_option(api: NsqdApi, request: Request) -> Response:
    """PUT /config/:opt: the body is the new value; the answer is what GET would say."""
    name, body = request.params["opt"], request.body
    if name == "drain":
        return _drain(api, body)
    if not body:
        raise HttpError(413, "INVALID_VALUE")
    if name == "nsqlookupd_tcp_addresses":
        options = evolve(api.options, nsqlookupd_tcp_addresses=_addresses(body))
    elif name == "log_level":
        options = evolve(api.options, log_level=_level(body))
    else:
        raise HttpError(400, "INVALID_OPTION")
    api.options = options
    api.reconfigure(options)
    return get_option(api, request)


def _addresses(body: bytes) -> tuple[str, ...]:
    try:
        value = decode(body)
    except JsonError:
        raise HttpError(400, "INVALID_VALUE") from None
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise HttpError(400, "INVALID_VALUE")
    return tuple(value)


def _level(body: bytes) -> str:
    try:
        return parse_level(body.decode())
    except ValueError:
        raise HttpError(400, "INVALID_VALUE") from None


def _drain(api: NsqdApi, body: bytes) -> Response:
    """Begin to drain: an empty body will do, ``true`` is allowed; there is no way back."""
    if body.strip() not in (b"", b"true", b"1"):
        raise HttpError(400, "INVALID_VALUE")
    if not api.draining():
        api.drain()
    return json(True)
