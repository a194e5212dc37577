"""The messages of some topics on standard output.

nsqd ═▶ Consumer per topic ─batches─▶ Printer ─▶ stdout. A batch is written with one system call, in
a thread, because a terminal or pipe may be slow; its messages are finished after that.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import trio

from nsqcore.app.process.pipes import end_by_broken_pipe
from nsqcore.app.service import Process
from nsqtools.nsq_tail.options import TailOptions, random_channel
from nsqtools.nsq_tail.printer import Printer
from nsqtools.shared import checks
from nsqtools.shared.program import run_program
from nsqtools.shared.source import consumer_settings, open_source

PROGRAM = "nsq_tail"

# Seconds in which a reader may still take what was written when we are told to stop.
GRACE = 2.0


async def run(options: TailOptions, process: Process) -> None:
    """Print messages until told to stop, or as many as are wanted."""
    checks.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    checks.require(options.topics, "--topic required")
    checks.check_topics(options.topics)
    total = options.total if options.total > 0 else None
    options = attrs.evolve(
        options,
        channel=options.channel or random_channel(),
        max_in_flight=min(options.max_in_flight, total or options.max_in_flight),
    )
    # Whoever looks at a message wants to see it, however often it was delivered.
    settings = consumer_settings(PROGRAM, options, max_attempts=0)
    printer = Printer(total, options.print_topic, process.shutdown, process.streams)
    async with trio.open_nursery() as nursery:
        for topic in dict.fromkeys(options.topics):
            nursery.start_soon(_tail, topic, settings, printer)
        await process.shutdown.wait()
        nursery.cancel_scope.deadline = trio.current_time() + GRACE
    if printer.reader_gone:
        end_by_broken_pipe()


async def _tail(topic: str, settings: dict[str, Any], printer: Printer) -> None:
    async with open_source(topic, settings, printer.done) as consumer:
        await printer.print_all(consumer)


def start(arguments: Sequence[str] | None, process: Process | None) -> int:
    """The exit status of ``nsq_tail``."""
    return run_program(PROGRAM, TailOptions, run, arguments, process)
