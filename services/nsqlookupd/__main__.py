"""The command ``nsqlookupd``."""

import sys

from nsqcore.app import startup


def main() -> int:
    """The exit status of one nsqlookupd, after it has run."""
    startup.begin()  # before the imports: they take a while, and signals may come meanwhile
    from nsqcore.app import service
    from nsqlookupd.options import NsqlookupdOptions
    from nsqlookupd.service import run

    return service.main("nsqlookupd", NsqlookupdOptions, run)


if __name__ == "__main__":
    sys.exit(main())
