"""Running a utility: command line in, exit status out."""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from nsqcore.app import service
from nsqcore.app.log import LogOptions
from nsqcore.app.process.version import short_version_line

T = TypeVar("T", bound=LogOptions)


def run_program(
    program: str,
    options_class: type[T],
    run: service.Run[T],
    arguments: Sequence[str] | None,
    process: service.Process | None,
    *,
    arguments_allowed: bool = True,
    reloads: bool = False,
) -> int:
    """The exit status of a utility, after it has run.

    ``run`` gets the options and the `service.Process`; it raises `OptionsError` for settings that
    do not go together, and `OSError` for what is wrong around the program: one line each, status 1.

    Args:
        arguments: the command line without the program; by default that of this process.
        process: what ``run`` gets; by default one with the standard streams.
        arguments_allowed: whether arguments behind the flags are ignored, or refused.
        reloads: whether SIGHUP means something else than an end.
    """
    return service.main(
        program,
        options_class,
        run,
        version=partial(short_version_line, program),
        arguments=arguments,
        arguments_allowed=arguments_allowed,
        process=process,
        reloads=lambda _options: reloads,
    )
