"""The ``nsqadmin`` command."""

import getpass
import sys
from collections.abc import Sequence

from nsqcore.app import startup


def main(arguments: Sequence[str] | None = None) -> int:
    """Run nsqadmin; its exit status."""
    startup.begin()  # before the imports: they take a while, and signals may come meanwhile
    from nsqadmin.options import NsqadminOptions
    from nsqadmin.service import run
    from nsqcore.app import service

    return service.main(
        "nsqadmin", NsqadminOptions, run, arguments=arguments,
        instead=lambda options: print_hash() if options.hash_password else None,
    )  # fmt: skip


def print_hash() -> int:
    """Ask for a password, or read it from a pipe, and print its hash for ``--auth-file``."""
    from nsqadmin.auth.passwords import hash_password

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
    print(hash_password(password))
    return 0


if __name__ == "__main__":
    sys.exit(main())
