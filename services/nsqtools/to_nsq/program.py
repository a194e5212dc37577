"""Standard input into messages, until its end.

stdin ─chunks─▶ Splitter ─bodies─▶ Throttle ─batches─▶ a Producer per destination ═▶ nsqd

What one read brings is published at once, as few commands as possible, to every destination; the
next read waits for that, so a slow nsqd slows the input down and nothing piles up here. Every
message is confirmed before the program ends with 0.
"""

import logging
import os
import stat
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import attrs
import trio

from nsqclient import (
    ClientError,
    Hooks,
    open_producer,
)
from nsqcore.app.process.streams import Streams
from nsqcore.app.service import Process
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.program import run_program
from nsqtools.shared.progress import Progress
from nsqtools.shared.source import user_agent
from nsqtools.to_nsq.destination import Destination
from nsqtools.to_nsq.options import ToNsqOptions, check
from nsqtools.to_nsq.publisher import LinePublisher, unless
from nsqtools.to_nsq.splitter import Splitter
from nsqtools.to_nsq.throttle import Throttle

logger = logging.getLogger(__name__)

PROGRAM = "to_nsq"

READ_SIZE = 256 * 1024

LONGEST_DELAY = 1.0


async def _publish_input(streams: Streams, publisher: LinePublisher, delimiter: bytes) -> None:
    splitter = Splitter(delimiter)
    read = partial(trio.to_thread.run_sync, streams.read, READ_SIZE, abandon_on_cancel=True)
    while True:
        chunk = await unless(publisher.shutdown, read)
        if chunk is None:
            return
        bodies = splitter.feed(chunk)
        left = len(bodies) - await publisher.publish(bodies)
        if left:
            logger.warning("input: told to stop, %d messages of it were not published", left)
        if left or not chunk:
            return


def _input_size(descriptor: int) -> int:
    """Bytes of standard input, where it is a file."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _note_reached(reached: trio.Event, _address: str) -> None:
    reached.set()


async def run(options: ToNsqOptions, process: Process) -> None:
    """Publish standard input until its end, or until told to stop."""
    check(options)
    connection = attrs.evolve(
        ClientSettings.of(options.producer_opts).connection(user_agent(PROGRAM)),
        max_reconnect_delay=LONGEST_DELAY,
    )
    progress = Progress(expected=_input_size(process.streams.stdin))
    async with AsyncExitStack() as stack:
        destinations: list[Destination] = []
        for address in dict.fromkeys(options.nsqd_tcp_addresses):
            reached = trio.Event()
            hooks = Hooks(connected=partial(_note_reached, reached))
            opening = open_producer(address, options=connection, hooks=hooks)
            destinations.append(Destination(await stack.enter_async_context(opening), reached))
        publisher = LinePublisher(
            options.topic, destinations, Throttle(options.rate), progress, process.shutdown
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(progress.show, process.streams.stderr)
            try:
                await _publish_input(process.streams, publisher, os.fsencode(options.delimiter))
            except ClientError as error:
                text = f"{error}; at least {progress.messages} messages were published before"
                raise ConnectionError(text) from error
            finally:
                nursery.cancel_scope.cancel()


def start(arguments: Sequence[str] | None, process: Process | None) -> int:
    """The exit status of ``to_nsq``."""
    return run_program(PROGRAM, ToNsqOptions, run, arguments, process)
