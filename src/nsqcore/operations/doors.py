"""Who is let in over HTTP: the settings of it that nsqd and nsqlookupd have, and the guard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsqcore.access.browsers import BrowserRules
from nsqcore.access.file import AuthFile
from nsqcore.access.lines import BadLine
from nsqcore.app.config.options import OptionsError, option
from nsqcore.app.config.values import host
from nsqcore.classes import frozen
from nsqcore.http.guard import AskOthers, Guard


def auth_file_option() -> Any:
    """The ``--auth-file`` of a daemon."""
    return option(
        "",
        "file of the tokens and client certificates that may use HTTP, with their roles and"
        " topics (see nsqctl token); read again at SIGHUP",
    )


def open_metrics_option() -> Any:
    """The ``--open-metrics`` of a daemon."""
    return option(False, "let everybody read /metrics, where HTTP needs a credential")


def allowed_hosts_option() -> Any:
    """The ``--allowed-host`` of a daemon."""
    return option(
        (),
        "name that HTTP requests may be meant for, beside addresses, localhost and the broadcast"
        " address (repeatable); once there is one, what pages of other sites have a browser send"
        " is refused",
        flag="allowed-host",
        many=True,
        check=host,
    )


@frozen(kw_only=True)
class DoorSettings:
    """Who is let in. ``required`` asks for credentials where there is no ``auth_file``, too.

    ``hosts`` are the names that requests may be meant for; empty for any.
    """

    auth_file: str = ""
    required: bool = False
    open_metrics: bool = False
    hosts: tuple[str, ...] = ()


def named_hosts(allowed: Sequence[str], own: str) -> tuple[str, ...]:
    """The ``hosts`` of a daemon that is called ``own``, where only those ``allowed`` are let in."""
    return (*allowed, own) if allowed else ()


def open_guard(
    settings: DoorSettings, realm: str, ask_others: AskOthers | None = None
) -> Guard | None:
    """The guard that ``settings`` ask for; None where everybody may do everything.

    Raises:
        OptionsError: the file cannot be read, or a line of it is wrong.
    """
    if not (settings.auth_file or settings.required or settings.hosts):
        return None
    file = None
    if settings.auth_file:
        file = AuthFile(Path(settings.auth_file))
        try:
            file.load()
        except (BadLine, OSError, UnicodeDecodeError) as error:
            raise OptionsError(f"--auth-file: {error}") from error
    return Guard(
        realm=realm,
        required=settings.required or file is not None,
        file=file,
        ask_others=ask_others,
        open_metrics=settings.open_metrics,
        browsers=BrowserRules.of(settings.hosts) if settings.hosts else None,
    )


def reload(guard: Guard | None) -> None:
    """Read the credentials again, as SIGHUP asks."""
    if guard is not None and guard.file is not None:
        guard.file.reload()
