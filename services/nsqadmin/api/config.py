"""``/config``: reading any setting, and changing two of them while nsqadmin runs.

Open to ``--allow-config-from-cidr`` alone. Durations are nanoseconds and the log level a number, as
in the original.
"""

import logging
from typing import Any

import attrs
from quart import Blueprint, Response, g, request

from nsqadmin.admin import Admin
from nsqadmin.auth.peers import may_configure
from nsqadmin.errors import Refused
from nsqadmin.options import NsqadminOptions
from nsqadmin.web.identity import client_of
from nsqadmin.web.requests import body_of, respond
from nsqcore.app.log import LEVELS, set_level
from nsqcore.app.options import Setting, settings
from nsqcore.json import JsonError, decode
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)

_LEVEL_NUMBERS = {name: number for number, name in enumerate(LEVELS, 1)}


def make_config_api(admin: Admin) -> Blueprint:
    """The routes below ``/config``."""
    api = Blueprint("config", __name__)
    table = {setting.key: setting for setting in settings(NsqadminOptions, "nsqadmin")}

    @api.route("/<name>", methods=["GET", "PUT"])
    async def config(name: str) -> Response:
        try:
            allowed = may_configure(client_of(request), g.peer, admin.options)
        except ValueError as error:
            raise Refused(400, "INVALID_REMOTE_ADDR") from error
        # As in the original --admin-user does not matter here; with a login only admins may change.
        writes = request.method == "PUT" and admin.accounts is not None
        if not allowed or (writes and not g.principal.may("configure")):
            raise Refused(403, "FORBIDDEN")
        if request.method == "PUT":
            body = await body_of(request)
            if not body:
                raise Refused(413, "INVALID_VALUE")
            admin.options = changed(admin.options, name, body)
            logger.info("config(%s): set from %s", name, g.principal.address)
        setting = table.get(name)
        if setting is None or setting.secret:
            raise Refused(400, "INVALID_OPTION")
        return respond(shown(setting, getattr(admin.options, setting.name)))

    return api


def changed(options: NsqadminOptions, name: str, body: bytes) -> NsqadminOptions:
    """The settings with one of them set to what a PUT carries.

    Raises:
        Refused: 400, it cannot be set, or not to that.
    """
    if name == "log_level":
        level = body.decode("utf-8", "replace").lower()
        if level not in LEVELS:
            raise Refused(400, "INVALID_VALUE")
        set_level(level)
        return attrs.evolve(options, log_level=level)
    if name == "nsqlookupd_http_addresses":
        try:
            addresses = decode(body)
        except JsonError as error:
            raise Refused(400, "INVALID_VALUE") from error
        addresses = [] if addresses is None else addresses
        if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
            raise Refused(400, "INVALID_VALUE")
        return attrs.evolve(options, nsqlookupd_http_addresses=tuple(addresses))
    raise Refused(400, "INVALID_OPTION")


def shown(setting: Setting, value: Any) -> Any:
    """A setting's value as the API tells it."""
    if setting.key == "log_level":
        return _LEVEL_NUMBERS[value]
    if setting.type == "duration":
        return round(value * 1e9)
    if isinstance(value, tuple):
        return [redact(item) if isinstance(item, str) else item for item in value]
    return redact(value) if isinstance(value, str) else value
