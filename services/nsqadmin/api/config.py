"""``/config``: reading any setting, and changing two of them while nsqadmin runs.

Open to ``--allow-config-from-cidr`` alone. Durations are nanoseconds and the log level a number, as
in the original.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from quart import Blueprint, Response, g, request

from nsqadmin.auth.peers import may_configure
from nsqadmin.auth.refused import Refused
from nsqadmin.config.options import NsqadminOptions
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, REFUSED, audit
from nsqadmin.web.identity import client_of
from nsqadmin.web.requests import body_of, respond
from nsqcore.app.log import set_level
from nsqcore.operations.config import addresses, config_values, level
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)

# What can be changed, and how its new value is read.
_CHANGES: Mapping[str, Callable[[bytes], Any]] = {
    "log_level": level,
    "nsqlookupd_http_addresses": addresses,
}


def make_config_api(admin: Admin) -> Blueprint:
    """The routes below ``/config``."""
    api = Blueprint("config", __name__)

    @api.route("/<name>", methods=["GET", "PUT"])
    async def config(name: str) -> Response:
        try:
            allowed = may_configure(client_of(request), g.peer, admin.options)
        except ValueError as error:
            raise Refused(400, "INVALID_REMOTE_ADDR") from error
        # As in the original --admin-user does not matter here; with a login only admins may change.
        writes = request.method == "PUT" and admin.asks_login
        if not allowed or (writes and not g.principal.may("configure")):
            audit("configure", REFUSED, g.principal, detail=name)
            raise Refused(403, "FORBIDDEN")
        if request.method == "PUT":
            body = await body_of(request)
            if not body:
                raise Refused(413, "INVALID_VALUE")
            admin.options = changed(admin.options, name, body)
            audit("configure", DONE, g.principal, detail=name)
            logger.info("config(%s): set from %s", name, g.principal.address)
        values = config_values(admin.options, "nsqadmin")
        if name not in values:
            raise Refused(400, "INVALID_OPTION")
        return respond(_visible(values[name]))

    return api


def changed(options: NsqadminOptions, name: str, body: bytes) -> NsqadminOptions:
    """The settings with one of them set to what a PUT carries.

    Raises:
        Refused: 400, it cannot be set, or not to that.
    """
    change = _CHANGES.get(name)
    if change is None:
        raise Refused(400, "INVALID_OPTION")
    try:
        value = change(body)
    except ValueError as error:
        raise Refused(400, "INVALID_VALUE") from error
    if name == "log_level":
        set_level(value)
    return attrs.evolve(options, **{name: value})


def _visible(value: Any) -> Any:
    """A setting's value without the secrets of its URLs."""
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return redact(value) if isinstance(value, str) else value
