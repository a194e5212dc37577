"""The ``nsqadmin`` command."""

import getpass
import sys
from collections.abc import Sequence

from nsqadmin.auth.accounts import hash_password
from nsqadmin.options import NsqadminOptions
from nsqadmin.service import run
from nsqcore.app import service

_HASH_FLAGS = frozenset(("-hash-password", "--hash-password"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run nsqadmin; its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if _HASH_FLAGS & set(given):
        return print_hash()
    return service.main("nsqadmin", NsqadminOptions, run, arguments=given)


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
    print(hash_password(password))
    return 0


if __name__ == "__main__":
    sys.exit(main())
