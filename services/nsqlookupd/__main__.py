"""The command ``nsqlookupd``."""

import sys

from nsqcore.app import service
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.service import run


def main() -> int:
    """The exit status of one nsqlookupd, after it has run."""
    return service.main("nsqlookupd", NsqlookupdOptions, run)


if __name__ == "__main__":
    sys.exit(main())
