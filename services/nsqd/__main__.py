"""The ``nsqd`` command."""

import sys
from functools import partial

from nsqcore.app import service
from nsqcore.app.version import version_line
from nsqcore.wire import speedups
from nsqd.options import NsqdOptions
from nsqd.service import run


def main() -> int:
    """The exit status of one nsqd, which runs until it is told to stop."""
    version = partial(version_line, "nsqd", speedups=speedups.compiled)
    return service.main("nsqd", NsqdOptions, run, version=version)


if __name__ == "__main__":
    sys.exit(main())
