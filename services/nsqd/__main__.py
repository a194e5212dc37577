"""The ``nsqd`` command."""

import sys
from functools import partial

from nsqcore.app import service
from nsqcore.app.service import Process
from nsqcore.app.version import version_line
from nsqcore.wire import speedups
from nsqd.options import NsqdOptions
from nsqd.processes import supervise
from nsqd.service import run


def main() -> int:
    """The exit status of one nsqd, or of several, which run until told to stop."""
    version = partial(version_line, "nsqd", speedups=speedups.compiled)
    return service.main("nsqd", NsqdOptions, _run, version=version, reloads=True)


async def _run(options: NsqdOptions, process: Process) -> None:
    await (run if options.processes == 1 else supervise)(options, process)


if __name__ == "__main__":
    sys.exit(main())
