"""The ``nsqadmin`` command."""

import sys
from collections.abc import Sequence

from nsqcore.app import startup


def main(arguments: Sequence[str] | None = None) -> int:
    """Run nsqadmin; its exit status."""
    return startup.start("nsqadmin.program:start", arguments)


if __name__ == "__main__":
    sys.exit(main())
