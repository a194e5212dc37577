"""The command ``nsqlookupd``."""

import sys

from nsqcore.app import startup


def main() -> int:
    """The exit status of one nsqlookupd, after it has run."""
    return startup.start("nsqlookupd.program:start")


if __name__ == "__main__":
    sys.exit(main())
