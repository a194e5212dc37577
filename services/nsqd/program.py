"""One nsqd, or several that work as one: from the command line to the exit status."""

from functools import partial

from nsqcore import forms
from nsqcore.app import service
from nsqcore.app.process.version import version_line
from nsqcore.app.service import Process
from nsqcore.late import load
from nsqd.config.options import NsqdOptions

_ONE, _SEVERAL = "nsqd.service:run", "nsqd.processes:supervise"


def start() -> int:
    """The exit status, after it has run until told to stop."""
    version = partial(version_line, "nsqd", speedups=forms.is_compiled())
    return service.main("nsqd", NsqdOptions, _run, version=version, reloads=lambda _options: True)


async def _run(options: NsqdOptions, process: Process) -> None:
    await load(_ONE if options.processes == 1 else _SEVERAL)(options, process)
