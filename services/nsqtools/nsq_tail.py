"""``nsq_tail``: the messages of some topics, a line each, on standard output.

nsqd ═▶ Consumer per topic ─batches─▶ Printer ─▶ stdout. A batch is written with one system call, in
a thread, because a terminal or pipe may be slow; its messages are finished after that.
"""

import os
import random
import sys
from typing import Any

import attrs
import trio

from nsqclient import Consumer, Message
from nsqclient.messages.message import State
from nsqcore.app.options import option
from nsqcore.app.pipes import end_by_broken_pipe
from nsqcore.app.service import Process
from nsqtools import cli
from nsqtools.clientopts import ClientOption

PROGRAM = "nsq_tail"

# Messages in one write: enough to be fast, few enough to appear without delay.
BATCH = 100

# Seconds in which a reader may still take what was written when we are told to stop.
GRACE = 2.0


def random_channel() -> str:
    """A channel of our own that goes away with us."""
    return f"tail{random.randrange(999_999):06d}#ephemeral"


@attrs.frozen(kw_only=True)
class TailOptions:
    """Settings of one ``nsq_tail``."""

    topics: tuple[str, ...] = cli.topics_option()
    channel: str = option("", "NSQ channel; a random ephemeral one by default")
    total: int = option(0, "number of messages to show, then exit; 0 is no limit", flag="n")
    print_topic: bool = option(False, "print the name of the topic before each message")
    max_in_flight: int = cli.max_in_flight_option()
    nsqd_tcp_addresses: tuple[str, ...] = cli.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = cli.lookupd_option()
    consumer_opts: tuple[ClientOption, ...] = cli.consumer_option()
    log_level: str = cli.fixed("info")
    log_prefix: str = cli.fixed("")
    log_format: str = cli.fixed("text")


@attrs.define(eq=False)
class Printer:
    """Writes messages to a descriptor; ``left`` is how many are still wanted, None for all.

    It sets ``done`` when there is nothing more to print.
    """

    left: int | None
    print_topic: bool
    done: trio.Event
    descriptor: int = 1
    reader_gone: bool = False
    _turn: trio.Lock = attrs.field(factory=trio.Lock)

    async def print_all(self, consumer: Consumer) -> None:
        """Print what ``consumer`` brings until it stops."""
        while True:
            try:
                messages = await consumer.take_many(BATCH)
            except StopAsyncIteration:
                return
            for message in messages:
                message.auto_touch = True  # a slow reader is no reason to show it twice
            try:
                async with self._turn:
                    await self._print(messages if self.left is None else messages[: self.left])
            finally:
                for message in messages:
                    if message.state is State.OPEN:
                        message.requeue_nowait(0, backoff=False)

    async def _print(self, messages: list[Message]) -> None:
        if not messages:
            return
        try:
            # A reader that does not read must not keep us from ending when told to.
            await trio.to_thread.run_sync(self._write, messages, abandon_on_cancel=True)
        except BrokenPipeError:
            self.reader_gone = True
            self.done.set()
            return
        for message in messages:
            if message.state is State.OPEN:
                message.finish_nowait()
        if self.left is not None:
            self.left -= len(messages)
            if not self.left:
                self.done.set()

    def _write(self, messages: list[Message]) -> None:
        parts: list[bytes] = []
        for message in messages:
            if self.print_topic:
                parts.append(f"{message.topic} | ".encode())
            parts += (message.body, b"\n")
        data = b"".join(parts)
        while data:
            data = data[os.write(self.descriptor, data) :]


async def run(options: TailOptions, process: Process) -> None:
    """Print messages until told to stop, or as many as are wanted."""
    cli.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    cli.require(options.topics, "--topic required")
    cli.check_topics(options.topics)
    total = options.total if options.total > 0 else None
    options = attrs.evolve(
        options,
        channel=options.channel or random_channel(),
        max_in_flight=min(options.max_in_flight, total or options.max_in_flight),
    )
    # Whoever looks at a message wants to see it, however often it was delivered.
    settings = cli.consumer_settings(PROGRAM, options, max_attempts=0)
    printer = Printer(total, options.print_topic, process.shutdown)
    async with trio.open_nursery() as nursery:
        for topic in dict.fromkeys(options.topics):
            nursery.start_soon(_tail, topic, settings, printer)
        await process.shutdown.wait()
        nursery.cancel_scope.deadline = trio.current_time() + GRACE
    if printer.reader_gone:
        end_by_broken_pipe()


async def _tail(topic: str, settings: dict[str, Any], printer: Printer) -> None:
    async with cli.open_source(topic, settings, printer.done) as consumer:
        await printer.print_all(consumer)


def main() -> int:
    """The exit status of ``nsq_tail``."""
    return cli.main(PROGRAM, TailOptions, run)


if __name__ == "__main__":
    sys.exit(main())
