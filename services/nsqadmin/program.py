"""One nsqadmin, or a password's hash: from the command line to the exit status."""

import getpass
import sys
from collections.abc import Sequence

from nsqadmin.config.options import NsqadminOptions
from nsqcore.app import service
from nsqcore.app.config.options import OptionsError
from nsqcore.app.process.extras import missing_extra
from nsqcore.app.service import Process
from nsqcore.late import load


def start(arguments: Sequence[str] | None = None) -> int:
    """The exit status, after it has run until told to stop.

    ``arguments`` is the command line without the program; by default that of this process.
    """
    return service.main(
        "nsqadmin",
        NsqadminOptions,
        _run,
        arguments=arguments,
        reloads=lambda options: options.reads_again,
        instead=lambda options: print_hash() if options.hash_password else None,
    )


async def _run(options: NsqadminOptions, process: Process) -> None:
    try:
        run = load("nsqadmin.service:run")
    except ModuleNotFoundError as error:
        raise OptionsError(missing_extra("nsqadmin", error)) from error
    await run(options, process)


def print_hash() -> int:
    """Ask for a password, or read it from a pipe, and print its hash for ``--auth-file``."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            print("nsqadmin: the two are not the same", file=sys.stderr)
            return 1
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        print("nsqadmin: an empty password is none", file=sys.stderr)
        return 1
    print(load("nsqadmin.auth.passwords:hash_password")(password))
    return 0
