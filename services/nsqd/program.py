"""One nsqd, or several that work as one: from the command line to the exit status."""

from functools import partial

from nsqcore.app import service
from nsqcore.app.service import Process
from nsqcore.app.version import version_line
from nsqcore.wire import speedups
from nsqd.options import NsqdOptions
from nsqd.processes import supervise
from nsqd.service import run


def start() -> int:
    """The exit status, after it has run until told to stop."""
    version = partial(version_line, "nsqd", speedups=speedups.compiled)
    return service.main("nsqd", NsqdOptions, _run, version=version, reloads=True)


async def _run(options: NsqdOptions, process: Process) -> None:
    await (run if options.processes == 1 else supervise)(options, process)
