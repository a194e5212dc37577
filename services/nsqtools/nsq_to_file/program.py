"""Messages of some topics into files, until told to stop.

Topics are named, or found by a pattern at the nsqlookupds, again and again. Each has a `FileLog` of
its own: a consumer and the files it writes. One that cannot write ends the program, with status 1.
"""

from collections.abc import Sequence

import trio

from nsqcore.app.config.options import OptionsError
from nsqcore.app.service import Process
from nsqtools.nsq_to_file.options import ToFileOptions, check
from nsqtools.nsq_to_file.topics import TopicLogs, make_output
from nsqtools.shared.program import run_program
from nsqtools.shared.progress import Progress
from nsqtools.shared.source import consumer_settings

PROGRAM = "nsq_to_file"


async def run(options: ToFileOptions, process: Process) -> None:
    """Write messages into files until told to stop."""
    check(options)
    try:
        make_output(options, "topic")
    except ValueError as error:
        raise OptionsError(str(error)) from error
    # A message is never given up: it is here to be kept.
    settings = consumer_settings(PROGRAM, options, max_attempts=0)
    progress = Progress()
    async with trio.open_nursery() as helpers:
        helpers.start_soon(progress.show, process.streams.stderr)
        async with trio.open_nursery() as nursery:
            logs = TopicLogs(options, settings, nursery, progress)
            process.on_reload = logs.finish_files
            logs.add(list(options.topics))
            if not options.topics:
                helpers.start_soon(logs.find)
            await process.shutdown.wait()
            logs.stop()
        helpers.cancel_scope.cancel()


def start(arguments: Sequence[str] | None, process: Process | None) -> int:
    """The exit status of ``nsq_to_file``."""
    return run_program(
        PROGRAM, ToFileOptions, run, arguments, process, arguments_allowed=False, reloads=True
    )
