"""/config/:opt: the settings of a running daemon, read and changed over HTTP.

Values have the types that the original gives them: durations are nanoseconds, the log level is a
number from 1 (debug) to 5 (fatal), a text is sent as it is and everything else as JSON. No password
or token in a URL is shown.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any

from nsqcore.access.roles import ADMIN
from nsqcore.app.config.options import settings
from nsqcore.app.config.values import seconds
from nsqcore.app.log import LEVELS, parse_level
from nsqcore.classes import define, field
from nsqcore.http.request import Request
from nsqcore.http.responses import EMPTY, HttpError, Response, json, text
from nsqcore.http.router import Router
from nsqcore.json import decode
from nsqcore.redaction import redact
from nsqcore.units import ns


class UnknownSetting(Exception):
    """There is no such setting, or it cannot be changed while the daemon runs."""


@define(eq=False, repr=False, kw_only=True)
class Config:
    """The settings of one daemon by their keys, as HTTP shows them.

    Args:
        values: what is shown; `set` changes it.
        live: settings whose value is found out when somebody asks; they win over ``values``.
        changes: settings that can be changed. The function is given the new value as it was sent,
            acts on it, and returns what is shown from then on. Raises ValueError.
        switches: what can be begun and not be taken back, and what begins it.
    """

    values: dict[str, Any]
    live: Mapping[str, Callable[[], Any]] = field(factory=dict)
    changes: Mapping[str, Callable[[bytes], Any]] = field(factory=dict)
    switches: Mapping[str, Callable[[], None]] = field(factory=dict)

    def get(self, name: str) -> Any:
        """The value of a setting. Raises UnknownSetting."""
        if name in self.live:
            return self.live[name]()
        if name not in self.values:
            raise UnknownSetting(name)
        return self.values[name]

    def set(self, name: str, body: bytes) -> None:
        """Give a setting the value in ``body``. Raises UnknownSetting, ValueError."""
        if name in self.switches:
            if body.strip() not in (b"", b"true", b"1"):
                raise ValueError(f"{name} can only be switched on")
            self.switches[name]()
        elif name in self.changes:
            self.values[name] = self.changes[name](body)
        else:
            raise UnknownSetting(name)


def config_values(options: Any, program: str) -> dict[str, Any]:
    """The settings in ``options`` as HTTP shows them, by key.

    What is secret is left out, and so is what has no effect or names the file itself.
    """
    return {
        setting.key: level_number(value) if setting.name == "log_level" else _plain(value, setting)
        for setting in settings(type(options), program)
        if not (setting.secret or setting.deprecated or setting.key == "config")
        for value in [getattr(options, setting.name)]
    }


def _plain(value: Any, setting: Any) -> Any:
    if setting.parse is seconds:
        return ns(value)
    if isinstance(value, tuple):
        return [_plain(item, setting) for item in value]
    if isinstance(value, IntEnum) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def level_number(name: str) -> int:
    """The number of a log level."""
    return list(LEVELS).index(name) + 1


def level(body: bytes) -> str:
    """The log level in ``body``. Raises ValueError."""
    return parse_level(body.decode())


def addresses(body: bytes) -> tuple[str, ...]:
    """The JSON list of texts in ``body``; null is an empty one. Raises ValueError."""
    value = decode(body)
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("not a list of texts")
    return tuple(value)


def add_routes(router: Router, config: Config, *, max_body: int) -> None:
    """Add /config to ``router``; a new value has at most ``max_body`` bytes."""
    path = "/config/:opt"
    router.add("GET", path, partial(get_setting, config), rule=ADMIN)
    router.add(
        "PUT",
        path,
        partial(put_setting, config),
        max_body=max_body,
        too_big="INVALID_VALUE",
        rule=ADMIN,
    )


def get_setting(config: Config, request: Request) -> Response:
    """GET /config/:opt."""
    try:
        value = config.get(request.params["opt"])
    except UnknownSetting:
        raise HttpError(400, "INVALID_OPTION") from None
    if isinstance(value, str):
        return text(redact(value)) if value else EMPTY
    if isinstance(value, list | tuple):
        value = [redact(item) if isinstance(item, str) else item for item in value]
    return json(value)


def put_setting(config: Config, request: Request) -> Response:
    """PUT /config/:opt: the body is the new value; the answer is what GET would say."""
    name = request.params["opt"]
    if not request.body and name not in config.switches:
        raise HttpError(413, "INVALID_VALUE")
    try:
        config.set(name, request.body)
    except UnknownSetting:
        raise HttpError(400, "INVALID_OPTION") from None
    except ValueError:
        raise HttpError(400, "INVALID_VALUE") from None
    return get_setting(config, request)
