"""The ``nsqd`` command."""

import sys

from nsqcore.app import startup


def main() -> int:
    """The exit status of one nsqd, or of several, which run until told to stop."""
    startup.begin()  # before the imports: they take a while, and signals may come meanwhile
    from nsqd.program import start

    return start()


if __name__ == "__main__":
    sys.exit(main())
