"""The ``nsqd`` command."""

import sys

from nsqcore.app import startup


def main() -> int:
    """The exit status of one nsqd, or of several, which run until told to stop."""
    return startup.start("nsqd.program:start")


if __name__ == "__main__":
    sys.exit(main())
